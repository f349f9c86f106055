#pragma once

// Plain bytes over a unix socket.

#include <boost/asio/local/stream_protocol.hpp>

#include "runtime/http/connection.hpp"

namespace berth::http {

class UnixConnection : public Connection {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;

  UnixConnection(const async::Executor& executor, os::Fd accepted);

  Peer peer() const override { return peer_; }
  async::Task<std::size_t> read_some(std::span<char> buffer) override;
  bool send_some(std::span<std::string_view> pieces) override;
  async::Task<> readable() override;
  async::Task<> writable() override;
  // A client that has only finished sending is still there.
  async::Task<> gone() override;
  bool broken() const override { return broken_; }
  bool has_input() override;
  void cancel() override;
  void end_input() override;
  void end_output() override;

 private:
  bool hung_up();

  Socket socket_;
  LocalPeer peer_;
  bool broken_ = false;
};

}  // namespace berth::http
