#pragma once

// A container engine on a unix socket that runs nothing: for what a real one cannot be made to do, to be away at a
// given moment, to break off in the middle of a request, to hang, to refuse, to lose a container. What it keeps a test
// may read and change at any time.

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::fakes {

class Engine {
 public:
  using Json = nlohmann::json;

  Engine() { come(); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() { go(); }

  std::string socket() const { return directory_ / "engine.sock"; }

  // From now on nothing listens. Who waits for an answer gets none.
  void go() {
    if (!thread_.joinable()) return;
    ::eventfd_write(end_.get(), 1);
    thread_.join();
  }
  void come() {
    end_ = os::Fd(::eventfd(0, EFD_CLOEXEC));
    listener_ = os::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, socket().c_str());
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 16) == 0);
    thread_ = std::thread([this] { serve(); });
  }

  struct Container {
    std::string name;
    Json asked;  // what it was made of
    bool running = false;
    pid_t pid = 0;
    bool out_of_memory = false;
  };
  struct Image {
    std::vector<std::string> environment;
    std::string directory;
  };
  // What it has; nobody else looks meanwhile.
  struct State {
    std::map<std::string, Container> containers;  // by id
    std::map<std::string, Json> volumes;          // by name, what they were made of
    std::map<std::string, Image> images;          // by id
    pid_t next_pid = ::getpid();                  // of what is started
    std::vector<std::string> requests;            // "POST /containers/create", in their order
  };
  template <class Look>
  auto with(Look look) {
    const std::lock_guard lock(mutex_);
    return look(state_);
  }
  std::size_t asked(const std::string& request) {
    return with([&](State& state) {
      return static_cast<std::size_t>(
          std::ranges::count_if(state.requests, [&](const std::string& each) { return each.starts_with(request); }));
    });
  }
  // Called before each request is answered, on the engine's thread.
  std::function<void(const std::string& request)> before;

  // Of the next request that begins like this.
  void refuse(std::string request, int status, std::string message) {
    add({std::move(request), Fault::What::refuse, status, std::move(message)});
  }
  // Done or not, nobody is told.
  void break_off(std::string request, bool done) {
    add({std::move(request), done ? Fault::What::break_off_after : Fault::What::break_off, 0, {}});
  }
  // Until it goes.
  void hang(std::string request) { add({std::move(request), Fault::What::hang, 0, {}}); }

 private:
  struct Fault {
    enum class What { refuse, break_off, break_off_after, hang };
    std::string request;
    What what = What::refuse;
    int status = 0;
    std::string message;
  };
  struct Reply {
    int status = 200;
    Json body = Json::object();
  };

  void add(Fault fault) {
    const std::lock_guard lock(mutex_);
    faults_.push_back(std::move(fault));
  }

  void serve() {
    std::vector<os::Fd> hanging;
    for (;;) {
      std::array<pollfd, 2> events{{{listener_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}}};
      ::poll(events.data(), events.size(), -1);
      if (events[1].revents != 0) break;
      os::Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (connection && answer(connection)) hanging.push_back(std::move(connection));
    }
    listener_.reset();
    os::remove_file(socket());
  }

  // One request of each connection. Whether it gets no answer for now.
  bool answer(const os::Fd& connection) {
    std::string target;
    std::string body;
    if (!read_request(connection, target, body)) return false;
    if (before) before(target.substr(0, target.find('?')));
    const std::lock_guard lock(mutex_);
    state_.requests.push_back(target.substr(0, target.find('?')));
    const auto fault =
        std::ranges::find_if(faults_, [&](const Fault& each) { return target.starts_with(each.request); });
    Reply reply;
    if (fault == faults_.end()) {
      reply = perform(target, body);
    } else {
      const auto what = std::move(*fault);
      faults_.erase(fault);
      if (what.what == Fault::What::break_off_after) perform(target, body);
      if (what.what == Fault::What::hang) return true;
      if (what.what != Fault::What::refuse) return false;
      reply = failure(what.status, what.message);
    }
    const auto text = reply.status == 204 ? std::string() : reply.body.dump();
    const auto whole = "HTTP/1.1 " + std::to_string(reply.status) + " X\r\nContent-Type: application/json\r\n" +
                       "Connection: close\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
    ::send(connection.get(), whole.data(), whole.size(), MSG_NOSIGNAL);
    return false;
  }

  // `target` with its method, without the version.
  static bool read_request(const os::Fd& connection, std::string& target, std::string& body) {
    std::string text;
    std::array<char, 65536> buffer;
    const auto more = [&] {
      const auto n = ::recv(connection.get(), buffer.data(), buffer.size(), 0);
      if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
      return n > 0;
    };
    std::size_t head = 0;
    while ((head = text.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return false;
    const auto length_at = text.find("Content-Length: ");
    const auto length = length_at < head ? std::stoul(text.substr(length_at + 16)) : 0;
    while (text.size() < head + 4 + length)
      if (!more()) return false;
    body = text.substr(head + 4, length);
    target = text.substr(0, text.find(" HTTP/"));
    if (const auto version = target.find(" /v1."); version != std::string::npos)
      target.erase(version + 1, target.find('/', version + 2) - version - 1);
    return true;
  }

  static Reply failure(int status, const std::string& message) { return {status, {{"message", message}}}; }
  static Reply absent(const std::string& what) { return failure(404, "no such thing: " + what); }

  Reply perform(const std::string& target, const std::string& body) {
    const auto path = target.substr(0, target.find('?'));
    if (path == "GET /version") return {200, {{"Version", "fake"}, {"ApiVersion", "1.41"}, {"MinAPIVersion", "1.12"}}};
    if (path == "POST /containers/create") return create(target.substr(target.find("name=") + 5), Json::parse(body));
    if (path == "POST /volumes/create") {
      const auto asked = Json::parse(body);
      state_.volumes[asked.at("Name")] = asked;
      return {201, {{"Name", asked.at("Name")}}};
    }
    const auto name = path.substr(path.find('/', path.find('/') + 1) + 1);  // "ID" or "ID/json"
    const auto object = name.substr(0, name.find('/'));
    if (path.starts_with("DELETE /volumes/")) return state_.volumes.erase(object) > 0 ? Reply{204} : absent(object);
    if (path.starts_with("GET /images/")) return show_image(object);
    const auto found = std::ranges::find_if(
        state_.containers, [&](const auto& each) { return each.first == object || each.second.name == object; });
    if (found == state_.containers.end()) return absent(object);
    auto& container = found->second;
    if (path.ends_with("/start")) {
      container.running = true;
      container.pid = state_.next_pid;
      return {204};
    }
    if (path.starts_with("DELETE /containers/")) {
      state_.containers.erase(found);
      return {204};
    }
    if (path.ends_with("/json")) return show(found->first, container);
    return failure(501, "not scripted: " + target);
  }

  Reply create(const std::string& name, const Json& asked) {
    for (const auto& [id, container] : state_.containers)
      if (container.name == name) return failure(409, "the name is taken");
    const auto id = "c" + std::to_string(++made_);
    state_.containers[id] = {name, asked};
    return {201, {{"Id", id}}};
  }
  Reply show_image(const std::string& id) {
    const auto found = state_.images.find(id);
    if (found == state_.images.end()) return absent(id);
    const auto& image = found->second;
    return {200, {{"Id", id}, {"Config", {{"Env", image.environment}, {"WorkingDir", image.directory}}}}};
  }
  static Reply show(const std::string& id, const Container& container) {
    const Json state = {{"Running", container.running},
                        {"Pid", container.running ? container.pid : 0},
                        {"OOMKilled", container.out_of_memory},
                        {"Status", container.running ? "running" : "exited"}};
    return {200, {{"Id", id}, {"Name", "/" + container.name}, {"State", state}}};
  }

  os::TempDir directory_;
  std::mutex mutex_;
  State state_;
  std::list<Fault> faults_;
  int made_ = 0;
  os::Fd end_;
  os::Fd listener_;
  std::thread thread_;
};

}  // namespace berth::fakes
