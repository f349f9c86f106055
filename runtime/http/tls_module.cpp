#include "runtime/http/tls_module.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <string>

// The system's store of authorities; SSL_CERT_FILE and SSL_CERT_DIR name another, as everywhere.
struct BerthTls {
  struct Free {
    void operator()(SSL_CTX* old) const { ::SSL_CTX_free(old); }
    void operator()(SSL* old) const { ::SSL_free(old); }
  };
  std::unique_ptr<SSL_CTX, Free> context;
  std::unique_ptr<SSL, Free> ssl;
  std::string failure;
};

namespace {

constexpr const char* kEnded = "the connection ended";

std::string last_failure() {
  const auto code = ::ERR_get_error();
  ::ERR_clear_error();
  if (code == 0) return kEnded;
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(code);
}

int fitting(std::size_t size) { return static_cast<int>(std::min<std::size_t>(size, INT_MAX)); }

bool name_server(SSL* ssl, const char* host, bool is_address) {
  if (is_address) return ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), host) == 1;
  return SSL_set_tlsext_host_name(ssl, host) == 1 && ::SSL_set1_host(ssl, host) == 1;
}

// What could not be set up; null when all is.
const char* set_up(BerthTls& tls, const char* host, bool is_address) {
  tls.context.reset(::SSL_CTX_new(::TLS_client_method()));
  if (!tls.context) return "context";
  SSL_CTX_set_min_proto_version(tls.context.get(), TLS1_2_VERSION);
  if (::SSL_CTX_set_default_verify_paths(tls.context.get()) != 1) return "certificates";
  ::SSL_CTX_set_verify(tls.context.get(), SSL_VERIFY_PEER, nullptr);
  tls.ssl.reset(::SSL_new(tls.context.get()));
  if (!tls.ssl) return "connection";
  if (!name_server(tls.ssl.get(), host, is_address)) return "host name";
  BIO* in = ::BIO_new(::BIO_s_mem());
  BIO* out = ::BIO_new(::BIO_s_mem());
  if (in == nullptr || out == nullptr) {
    ::BIO_free(in);
    ::BIO_free(out);
    return "buffers";
  }
  ::SSL_set_bio(tls.ssl.get(), in, out);  // owns them from here on
  SSL_set_mode(tls.ssl.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return nullptr;
}

BerthTls* open(const char* host, bool is_address, char* failure, std::size_t failure_size) {
  auto tls = std::make_unique<BerthTls>();
  const char* missing = set_up(*tls, host, is_address);
  if (missing == nullptr) return tls.release();
  const auto text = std::string(missing) + ": " + last_failure();
  failure[text.copy(failure, failure_size - 1)] = '\0';
  return nullptr;
}

void close(BerthTls* tls) { delete tls; }

// What a call of OpenSSL's came to.
BerthTlsStep step(BerthTls& tls, int result) {
  if (result > 0) return berth_tls_done;
  switch (::SSL_get_error(tls.ssl.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return berth_tls_wants_input;
    case SSL_ERROR_ZERO_RETURN:
      tls.failure = kEnded;
      return berth_tls_closed;
    default:
      tls.failure = last_failure();
      return berth_tls_failed;
  }
}

BerthTlsStep handshake(BerthTls* tls) {
  const auto result = step(*tls, ::SSL_connect(tls->ssl.get()));
  if (result != berth_tls_failed) return result;
  const auto verdict = ::SSL_get_verify_result(tls->ssl.get());
  if (verdict == X509_V_OK) return berth_tls_failed;
  tls->failure = ::X509_verify_cert_error_string(verdict);
  return berth_tls_distrusts;
}

BerthTlsStep write(BerthTls* tls, const char* bytes, std::size_t size, std::size_t* done) {
  const int n = ::SSL_write(tls->ssl.get(), bytes, fitting(size));
  *done = static_cast<std::size_t>(std::max(n, 0));
  return step(*tls, n);
}

BerthTlsStep read(BerthTls* tls, char* buffer, std::size_t size, std::size_t* done) {
  const int n = ::SSL_read(tls->ssl.get(), buffer, fitting(size));
  *done = static_cast<std::size_t>(std::max(n, 0));
  return step(*tls, n);
}

const char* failure(const BerthTls* tls) { return tls->failure.c_str(); }

bool pending(const BerthTls* tls) {
  return ::SSL_pending(tls->ssl.get()) > 0 || BIO_pending(::SSL_get_rbio(tls->ssl.get())) > 0;
}

std::size_t output(BerthTls* tls, char* buffer, std::size_t size) {
  const int n = ::BIO_read(::SSL_get_wbio(tls->ssl.get()), buffer, fitting(size));
  return static_cast<std::size_t>(std::max(n, 0));
}

bool input(BerthTls* tls, const char* bytes, std::size_t size) {
  return ::BIO_write(::SSL_get_rbio(tls->ssl.get()), bytes, fitting(size)) == fitting(size);
}

}  // namespace

const BerthTlsModule* berth_tls_1() {
  static constexpr BerthTlsModule kModule{open, close, handshake, write, read, failure, pending, output, input};
  return &kModule;
}
