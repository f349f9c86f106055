#pragma once

// An agent that answers what it is told to, one request after the other, and keeps what it was asked.

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::cli {

class ScriptedAgent {
 public:
  struct Step {
    std::string answer;        // raw HTTP; empty: closes without a word
    bool close_after = false;  // as an agent does that is being restarted
  };

  explicit ScriptedAgent(std::vector<Step> steps) : steps_(std::move(steps)) {
    listener_ = os::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, socket().c_str());
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::listen(listener_.get(), 8);
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedAgent() { finish(); }

  std::string socket() const { return directory_ / "berth.sock"; }
  // What was asked: the request lines, and behind a space the body where there was one.
  const std::vector<std::string>& finish() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    return requests_;
  }

  static std::string ok(const std::string& body, const std::string& more = {}) {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + more +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static std::string chunks(const std::vector<std::string>& pieces, bool complete, const std::string& more = {}) {
    std::string text = "HTTP/1.1 200 OK\r\n" + more + "Transfer-Encoding: chunked\r\n\r\n";
    for (const auto& piece : pieces) {
      char size[20];
      std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
      text += size + piece + "\r\n";
    }
    return complete ? text + "0\r\n\r\n" : text;
  }
  static std::string failure(int status, const std::string& code, const std::string& message) {
    const auto body = R"({"error":{"code":")" + code + R"(","message":")" + message + R"(","hint":"","context":[]}})";
    return "HTTP/1.1 " + std::to_string(status) + " No\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
  }

 private:
  void serve() {
    std::size_t next = 0;
    while (next < steps_.size()) {
      const os::Fd connection(::accept(listener_.get(), nullptr, nullptr));
      if (!connection) return;
      std::string unread;
      while (next < steps_.size() && read_request(connection, unread)) {
        const auto& step = steps_[next++];
        ::send(connection.get(), step.answer.data(), step.answer.size(), MSG_NOSIGNAL);
        if (step.close_after || step.answer.empty()) break;
      }
    }
  }

  bool read_request(const os::Fd& connection, std::string& unread) {
    const auto more = [&] {
      std::array<char, 65536> buffer;
      const auto n = ::recv(connection.get(), buffer.data(), buffer.size(), 0);
      if (n > 0) unread.append(buffer.data(), static_cast<std::size_t>(n));
      return n > 0;
    };
    std::size_t head = 0;
    while ((head = unread.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return false;
    const auto text = unread.substr(0, head + 4);
    unread.erase(0, head + 4);
    auto request = text.substr(0, text.find(" HTTP/"));
    if (text.find("100-continue") != std::string::npos)
      ::send(connection.get(), "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    if (const auto at = text.find("Content-Length: "); at != std::string::npos) {
      const auto length = std::stoul(text.substr(at + 16));
      while (unread.size() < length)
        if (!more()) return false;
      request += " " + unread.substr(0, length);
      unread.erase(0, length);
    } else if (text.find("chunked") != std::string::npos) {
      std::string body;
      if (!read_chunks(unread, body, more)) return false;
      request += " " + body;
    }
    requests_.push_back(request);
    return true;
  }

  template <class More>
  static bool read_chunks(std::string& unread, std::string& body, const More& more) {
    for (;;) {
      std::size_t line = 0;
      while ((line = unread.find("\r\n")) == std::string::npos)
        if (!more()) return false;
      const auto size = std::stoul(unread.substr(0, line), nullptr, 16);
      while (unread.size() < line + 2 + size + 2)
        if (!more()) return false;
      body += unread.substr(line + 2, size);
      unread.erase(0, line + 2 + size + 2);
      if (size == 0) return true;
    }
  }

  os::TempDir directory_;
  std::vector<Step> steps_;
  std::vector<std::string> requests_;
  os::Fd listener_;
  std::thread thread_;
};

}  // namespace berth::cli
