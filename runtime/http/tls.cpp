#include "runtime/http/tls.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::http {
namespace {

constexpr std::size_t kBlock = 32 << 10;

struct ContextTraits {
  using type = SSL_CTX*;
  static constexpr type none = nullptr;
  static void close(type context) { ::SSL_CTX_free(context); }
};
struct SslTraits {
  using type = SSL*;
  static constexpr type none = nullptr;
  static void close(type ssl) { ::SSL_free(ssl); }
};
using SslContext = os::Handle<ContextTraits>;
using Ssl = os::Handle<SslTraits>;

std::string last_failure() {
  const auto code = ::ERR_get_error();
  ::ERR_clear_error();
  if (code == 0) return "the connection ended";
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(code);
}

[[noreturn]] void fail_setup(const char* what) {
  throw Error(Code::internal, std::string("cannot set up TLS (") + what + "): " + last_failure());
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> parsed;
  return ::inet_pton(AF_INET, host.c_str(), parsed.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), parsed.data()) == 1;
}

// OpenSSL works on memory only; the bytes go through the socket's own stream, which never raises SIGPIPE.
class TlsWire : public Wire {
 public:
  TlsWire(std::unique_ptr<Wire> wire, const std::string& host) : wire_(std::move(wire)), host_(host) {
    context_.reset(::SSL_CTX_new(::TLS_client_method()));
    if (!context_) fail_setup("context");
    ::SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
    if (::SSL_CTX_set_default_verify_paths(context_.get()) != 1) fail_setup("certificates");
    ::SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    ssl_.reset(::SSL_new(context_.get()));
    if (!ssl_) fail_setup("connection");
    name_server();
    BIO* in = ::BIO_new(::BIO_s_mem());
    BIO* out = ::BIO_new(::BIO_s_mem());
    if (in == nullptr || out == nullptr) fail_setup("buffers");
    ::SSL_set_bio(ssl_.get(), in, out);  // owns them from here on
    ::SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    handshake();
  }

  ssize_t send(std::string_view head, std::string_view body) override {
    const auto part = head.empty() ? body : head;
    if (part.empty()) return 0;
    while (true) {
      const int n =
          ::SSL_write(ssl_.get(), part.data(), static_cast<int>(std::min<std::size_t>(part.size(), INT_MAX)));
      const int reason = n > 0 ? SSL_ERROR_NONE : ::SSL_get_error(ssl_.get(), n);
      if (!flush()) return -1;
      if (n > 0) return n;
      if (const auto got = more(reason); got <= 0) return lost(got);
    }
  }

  ssize_t receive(std::span<char> buffer) override {
    while (true) {
      const int n = ::SSL_read(ssl_.get(), buffer.data(),
                               static_cast<int>(std::min<std::size_t>(buffer.size(), INT_MAX)));
      const int reason = n > 0 ? SSL_ERROR_NONE : ::SSL_get_error(ssl_.get(), n);
      if (!flush()) return -1;
      if (n > 0) return n;
      if (reason == SSL_ERROR_ZERO_RETURN) return 0;
      if (const auto got = more(reason); got <= 0) return got;
    }
  }

  bool readable_within(std::chrono::milliseconds time) override {
    return ::SSL_pending(ssl_.get()) > 0 || BIO_pending(::SSL_get_rbio(ssl_.get())) > 0 ||
           wire_->readable_within(time);
  }
  bool writable_within(std::chrono::milliseconds time) override { return wire_->writable_within(time); }

 private:
  void name_server() {
    if (is_address(host_)) {
      ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl_.get()), host_.c_str());
      return;
    }
    ::SSL_set_tlsext_host_name(ssl_.get(), host_.c_str());
    if (::SSL_set1_host(ssl_.get(), host_.c_str()) != 1) fail_setup("host name");
  }

  void handshake() {
    while (true) {
      const int n = ::SSL_connect(ssl_.get());
      const int reason = n == 1 ? SSL_ERROR_NONE : ::SSL_get_error(ssl_.get(), n);
      if (!flush()) throw_errno("send to", printable(host_));
      if (n == 1) return;
      if (reason != SSL_ERROR_WANT_READ) refuse();
      const auto got = more(reason);
      if (got < 0 && errno == EAGAIN)
        throw Error(Code::timeout, printable(host_) + " does not answer the start of TLS");
      if (got <= 0)
        throw Error(Code::unavailable, printable(host_) + " closed the connection at the start of TLS");
    }
  }

  [[noreturn]] void refuse() {
    const auto verdict = ::SSL_get_verify_result(ssl_.get());
    const auto failure = last_failure();
    if (verdict != X509_V_OK)
      throw Error(
          Code::denied,
          "the certificate of " + printable(host_) +
              " is not good: " + ::X509_verify_cert_error_string(verdict),
          "install its authority's certificate on this machine (update-ca-certificates), or check the name");
    throw Error(Code::unavailable, "no TLS connection with " + printable(host_) + ": " + failure,
                "does the server speak HTTPS on this port?");
  }

  // What OpenSSL has ready for the wire, all of it.
  bool flush() {
    std::vector<char> block(kBlock);
    int n = 0;
    while ((n = ::BIO_read(::SSL_get_wbio(ssl_.get()), block.data(), static_cast<int>(block.size()))) > 0) {
      std::string_view rest(block.data(), static_cast<std::size_t>(n));
      while (!rest.empty()) {
        const auto sent = wire_->send(rest, {});
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return false;
        rest.remove_prefix(static_cast<std::size_t>(sent));
      }
    }
    return true;
  }

  // Feeds OpenSSL from the wire: as receive().
  ssize_t more(int reason) {
    if (reason != SSL_ERROR_WANT_READ)
      throw Error(Code::io, "the TLS connection with " + printable(host_) + " broke: " + last_failure());
    std::vector<char> block(kBlock);
    ssize_t n = 0;
    while ((n = wire_->receive(block)) < 0 && errno == EINTR) continue;
    if (n > 0) ::BIO_write(::SSL_get_rbio(ssl_.get()), block.data(), static_cast<int>(n));
    return n;
  }

  static ssize_t lost(ssize_t got) {
    if (got == 0) errno = EPIPE;
    return -1;
  }

  std::unique_ptr<Wire> wire_;
  std::string host_;
  SslContext context_;
  Ssl ssl_;
};

}  // namespace

std::unique_ptr<Wire> connect_tls(const std::string& host, std::uint16_t port, const Patience& patience) {
  return std::make_unique<TlsWire>(connect_tcp(host, port, patience), host);
}

}  // namespace berth::http
