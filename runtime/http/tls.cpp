#include "runtime/http/tls.hpp"

#include <cerrno>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/http/tls_engine.hpp"

namespace berth::http {
namespace {

constexpr std::size_t kBlock = 32 << 10;

// TLS works on memory only; the bytes go through the socket's own stream, which never raises SIGPIPE.
class TlsWire : public Wire {
 public:
  TlsWire(std::unique_ptr<Wire> wire, const std::string& host, const TlsFiles& files)
      : wire_(std::move(wire)), host_(host), tls_(tls_to(tls_client(files).get(), host)) {
    handshake();
  }
  ~TlsWire() override {
    tls_module().end(tls_.get());
    if (wire_->writable_within(std::chrono::milliseconds(0))) flush();
  }
  TlsWire(const TlsWire&) = delete;
  TlsWire& operator=(const TlsWire&) = delete;

  ssize_t send(std::string_view head, std::string_view body) override {
    const auto part = head.empty() ? body : head;
    if (part.empty()) return 0;
    while (true) {
      std::size_t done = 0;
      const auto step = tls_module().write(tls_.get(), part.data(), part.size(), &done);
      if (!flush()) return -1;
      if (step == berth_tls_done) return static_cast<ssize_t>(done);
      if (const auto got = more(step); got <= 0) return lost(got);
    }
  }

  ssize_t receive(std::span<char> buffer) override {
    while (true) {
      std::size_t done = 0;
      const auto step = tls_module().read(tls_.get(), buffer.data(), buffer.size(), &done);
      if (!flush()) return -1;
      if (step == berth_tls_done) return static_cast<ssize_t>(done);
      if (step == berth_tls_closed) return 0;
      if (const auto got = more(step); got <= 0) return got;
    }
  }

  bool readable_within(std::chrono::milliseconds time) override {
    return tls_module().pending(tls_.get()) || wire_->readable_within(time);
  }
  bool writable_within(std::chrono::milliseconds time) override { return wire_->writable_within(time); }

 private:
  void handshake() {
    while (true) {
      const auto step = tls_module().handshake(tls_.get());
      if (!flush()) throw_errno("send to", printable(host_));
      if (step == berth_tls_done) return;
      if (step != berth_tls_wants_input) refuse(step);
      const auto got = more(step);
      if (got < 0 && errno == EAGAIN)
        throw Error(Code::timeout, printable(host_) + " does not answer the start of TLS");
      if (got <= 0) throw Error(Code::unavailable, printable(host_) + " closed the connection at the start of TLS");
    }
  }

  [[noreturn]] void refuse(BerthTlsStep step) {
    const std::string failure = tls_module().failure(tls_.get());
    if (step == berth_tls_distrusts)
      throw Error(Code::denied, "the certificate of " + printable(host_) + " is not good: " + failure,
                  "install its authority's certificate on this machine (update-ca-certificates), or check the name");
    throw Error(Code::unavailable, "no TLS connection with " + printable(host_) + ": " + failure,
                "does the server speak HTTPS on this port?");
  }

  // What is ready for the wire, all of it.
  bool flush() {
    std::vector<char> block(kBlock);
    std::size_t n = 0;
    while ((n = tls_module().output(tls_.get(), block.data(), block.size())) > 0) {
      std::string_view rest(block.data(), n);
      while (!rest.empty()) {
        const auto sent = wire_->send(rest, {});
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return false;
        rest.remove_prefix(static_cast<std::size_t>(sent));
      }
    }
    return true;
  }

  // Feeds TLS from the wire: as receive().
  ssize_t more(BerthTlsStep step) {
    const auto broken = "the TLS connection with " + printable(host_) + " broke: ";
    if (step != berth_tls_wants_input) throw Error(Code::io, broken + tls_module().failure(tls_.get()));
    std::vector<char> block(kBlock);
    ssize_t n = 0;
    while ((n = wire_->receive(block)) < 0 && errno == EINTR) continue;
    if (n > 0 && !tls_module().input(tls_.get(), block.data(), static_cast<std::size_t>(n)))
      throw Error(Code::io, broken + "no memory");
    return n;
  }

  static ssize_t lost(ssize_t got) {
    if (got == 0) errno = EPIPE;
    return -1;
  }

  std::unique_ptr<Wire> wire_;
  std::string host_;
  Tls tls_;
};

}  // namespace

std::unique_ptr<Wire> connect_tls(const std::string& host, std::uint16_t port, const Patience& patience,
                                  const TlsFiles& files) {
  return std::make_unique<TlsWire>(connect_tcp(host, port, patience), host, files);
}

}  // namespace berth::http
