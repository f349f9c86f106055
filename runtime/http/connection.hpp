#pragma once

// One accepted unix socket, as the session uses it.

#include <boost/asio/local/stream_protocol.hpp>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/async/task.hpp"
#include "runtime/http/request.hpp"

namespace berth::http {

class Connection {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;

  explicit Connection(Socket socket);

  Peer peer() const;

  // 0 when the client sends nothing more. Throws Cancelled after cancel().
  async::Task<std::size_t> read_some(std::span<char> buffer);
  // Sends what the kernel takes at once and removes it from the pieces; throws Error(Code::unavailable) when
  // the client is gone.
  void send_some(std::span<std::string_view> pieces);
  async::Task<> readable();
  async::Task<> writable();
  // Until the client has closed the connection. One that has only finished sending is still there.
  async::Task<> gone();
  bool broken() const { return broken_; }
  // Whether something has arrived that was not read yet.
  bool has_input();

  void cancel();     // what waits throws Cancelled
  void end_input();  // a read returns what is there, then 0
  void end_output();

 private:
  bool hung_up();

  Socket socket_;
  bool broken_ = false;
};

}  // namespace berth::http
