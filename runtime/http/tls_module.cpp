#include "runtime/http/tls_module.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <string>

namespace {

struct Free {
  void operator()(SSL_CTX* old) const { ::SSL_CTX_free(old); }
  void operator()(SSL* old) const { ::SSL_free(old); }
  void operator()(X509* old) const { ::X509_free(old); }
};

}  // namespace

struct BerthTlsContext {
  std::unique_ptr<SSL_CTX, Free> context;
};

struct BerthTls {
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

void tell(const char* missing, char* failure, std::size_t size) {
  const auto text = std::string(missing) + ": " + last_failure();
  failure[text.copy(failure, size - 1)] = '\0';
}

int fitting(std::size_t size) { return static_cast<int>(std::min<std::size_t>(size, INT_MAX)); }

// Nobody is asked for the password of a key.
int no_password(char*, int, int, void*) { return -1; }

// What is not as it should be; null when all is.
const char* use_own(SSL_CTX* context, const BerthTlsFiles& files) {
  if (files.certificate == nullptr) return nullptr;
  ::SSL_CTX_set_default_passwd_cb(context, no_password);
  if (::SSL_CTX_use_certificate_chain_file(context, files.certificate) != 1) return "certificate";
  const char* key = files.key != nullptr ? files.key : files.certificate;
  if (::SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) return "key";
  return ::SSL_CTX_check_private_key(context) == 1 ? nullptr : "the key is not the certificate's";
}

const char* set_up_client(SSL_CTX* context, const BerthTlsFiles& files) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // The system's store; SSL_CERT_FILE and SSL_CERT_DIR name another, as everywhere.
  const int trusting = files.authorities != nullptr ? ::SSL_CTX_load_verify_file(context, files.authorities)
                                                    : ::SSL_CTX_set_default_verify_paths(context);
  if (trusting != 1) return "authorities";
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return use_own(context, files);
}

const char* ask_clients(SSL_CTX* context, const BerthTlsFiles& files, BerthTlsClients clients) {
  if (clients == berth_tls_clients_unasked) return nullptr;
  if (files.authorities == nullptr || ::SSL_CTX_load_verify_file(context, files.authorities) != 1)
    return "authorities of clients";
  STACK_OF(X509_NAME)* names = ::SSL_load_client_CA_file(files.authorities);
  if (names == nullptr) return "authorities of clients";
  ::SSL_CTX_set_client_CA_list(context, names);  // owns them from here on
  const int required = clients == berth_tls_clients_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nullptr);
  return nullptr;
}

// Nothing is resumed: a client whose certificate is no good any more is not let in by what it proved earlier.
const char* set_up_server(SSL_CTX* context, const BerthTlsFiles& files, BerthTlsClients clients) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  ::SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  if (files.certificate == nullptr) return "no certificate";
  if (const char* missing = use_own(context, files)) return missing;
  return ask_clients(context, files, clients);
}

template <class SetUp>
BerthTlsContext* make_context(const SSL_METHOD* method, SetUp set_up, char* failure, std::size_t failure_size) {
  ::ERR_clear_error();
  auto made = std::make_unique<BerthTlsContext>();
  made->context.reset(::SSL_CTX_new(method));
  const char* missing = made->context ? set_up(made->context.get()) : "context";
  if (missing == nullptr) return made.release();
  tell(missing, failure, failure_size);
  return nullptr;
}

BerthTlsContext* client(const BerthTlsFiles* files, char* failure, std::size_t failure_size) {
  auto set_up = [&](SSL_CTX* context) { return set_up_client(context, *files); };
  return make_context(::TLS_client_method(), set_up, failure, failure_size);
}

BerthTlsContext* server(const BerthTlsFiles* files, BerthTlsClients clients, char* failure, std::size_t failure_size) {
  auto set_up = [&](SSL_CTX* context) { return set_up_server(context, *files, clients); };
  return make_context(::TLS_server_method(), set_up, failure, failure_size);
}

void drop(BerthTlsContext* context) { delete context; }

bool name_server(SSL* ssl, const char* host, bool is_address) {
  if (is_address) return ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), host) == 1;
  return SSL_set_tlsext_host_name(ssl, host) == 1 && ::SSL_set1_host(ssl, host) == 1;
}

const char* set_up(BerthTls& tls, SSL_CTX* context) {
  tls.ssl.reset(::SSL_new(context));
  if (!tls.ssl) return "connection";
  BIO* in = ::BIO_new(::BIO_s_mem());
  BIO* out = ::BIO_new(::BIO_s_mem());
  if (in == nullptr || out == nullptr) {
    ::BIO_free(in);
    ::BIO_free(out);
    return "buffers";
  }
  ::SSL_set_bio(tls.ssl.get(), in, out);  // owns them from here on
  SSL_set_mode(tls.ssl.get(),
               SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  return nullptr;
}

BerthTls* open(BerthTlsContext* context, const char* host, bool is_address, char* failure, std::size_t failure_size) {
  auto tls = std::make_unique<BerthTls>();
  const char* missing = set_up(*tls, context->context.get());
  if (missing == nullptr && !name_server(tls->ssl.get(), host, is_address)) missing = "host name";
  if (missing == nullptr) {
    ::SSL_set_connect_state(tls->ssl.get());
    return tls.release();
  }
  tell(missing, failure, failure_size);
  return nullptr;
}

BerthTls* accept(BerthTlsContext* context, char* failure, std::size_t failure_size) {
  auto tls = std::make_unique<BerthTls>();
  if (const char* missing = set_up(*tls, context->context.get())) {
    tell(missing, failure, failure_size);
    return nullptr;
  }
  ::SSL_set_accept_state(tls->ssl.get());
  return tls.release();
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
  ::ERR_clear_error();
  const int done = ::SSL_do_handshake(tls->ssl.get());
  const auto reason = ERR_GET_REASON(::ERR_peek_error());
  const auto result = step(*tls, done);
  if (result != berth_tls_failed) return result;
  if (reason == SSL_R_HTTP_REQUEST) return berth_tls_spoken_plainly;
  const auto verdict = ::SSL_get_verify_result(tls->ssl.get());
  if (verdict == X509_V_OK) return berth_tls_failed;
  tls->failure = ::X509_verify_cert_error_string(verdict);
  return berth_tls_distrusts;
}

BerthTlsStep write(BerthTls* tls, const char* bytes, std::size_t size, std::size_t* done) {
  ::ERR_clear_error();
  const int n = ::SSL_write(tls->ssl.get(), bytes, fitting(size));
  *done = static_cast<std::size_t>(std::max(n, 0));
  return step(*tls, n);
}

BerthTlsStep read(BerthTls* tls, char* buffer, std::size_t size, std::size_t* done) {
  ::ERR_clear_error();
  const int n = ::SSL_read(tls->ssl.get(), buffer, fitting(size));
  *done = static_cast<std::size_t>(std::max(n, 0));
  return step(*tls, n);
}

BerthTlsStep peek(BerthTls* tls) {
  ::ERR_clear_error();
  char byte = 0;
  return step(*tls, ::SSL_peek(tls->ssl.get(), &byte, 1));
}

void end(BerthTls* tls) {
  ::ERR_clear_error();
  ::SSL_shutdown(tls->ssl.get());
  ::ERR_clear_error();
}

// As UTF-8; "" where there is none, or more than one: then nobody can say who is meant.
std::string common_name(const X509_NAME* subject) {
  const int first = ::X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (first < 0 || ::X509_NAME_get_index_by_NID(subject, NID_commonName, first) >= 0) return {};
  unsigned char* text = nullptr;
  const int size = ::ASN1_STRING_to_UTF8(&text, ::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(subject, first)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  ::OPENSSL_free(text);
  return name;
}

bool certificate(const BerthTls* tls, unsigned char digest[32], char* name, std::size_t name_size) {
  const std::unique_ptr<X509, Free> shown(::SSL_get1_peer_certificate(tls->ssl.get()));
  if (!shown) return false;
  unsigned size = 0;
  if (::X509_digest(shown.get(), ::EVP_sha256(), digest, &size) != 1) return false;
  const auto common = common_name(::X509_get_subject_name(shown.get()));
  const bool fits = common.size() < name_size && common.find('\0') == std::string::npos;
  const auto end = std::copy_n(common.begin(), fits ? common.size() : 0, name);
  *end = '\0';
  return true;
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

const BerthTlsModule* berth_tls_2() {
  static constexpr BerthTlsModule kModule{client, server, drop, open,        accept,  close,   handshake, write,
                                          read,   peek,   end,  certificate, failure, pending, output,    input};
  return &kModule;
}
