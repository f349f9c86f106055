#include "runtime/http/tls_engine.hpp"

#include <arpa/inet.h>

#include <array>

#include "runtime/base/error.hpp"
#include "runtime/base/hex.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/module.hpp"

namespace berth::http {
namespace {

using Failure = std::array<char, 256>;

const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

Error bad_files(const Failure& failure, const TlsFiles& files) {
  std::string named;
  for (const auto* file : {&files.certificate, &files.key, &files.authorities})
    if (!file->empty()) named += (named.empty() ? "" : ", ") + printable(*file);
  return {Code::invalid,
          "cannot set up TLS (" + std::string(failure.data()) + ")" + (named.empty() ? "" : ": " + named),
          "they must be PEM files that the agent may read: the certificate with its chain, its key, the authorities"};
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> parsed;
  return ::inet_pton(AF_INET, host.c_str(), parsed.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), parsed.data()) == 1;
}

}  // namespace

const BerthTlsModule& tls_module() {
  static const auto* const loaded =
      reinterpret_cast<const BerthTlsModule* (*)()>(os::load_module("berth_tls", "berth_tls_2"))();
  return *loaded;
}

BerthTlsFiles TlsFiles::names() const { return {or_null(certificate), or_null(key), or_null(authorities)}; }

TlsContext tls_client(const TlsFiles& files) {
  const auto names = files.names();
  Failure failure{};
  TlsContext context(tls_module().client(&names, failure.data(), failure.size()));
  if (!context) throw bad_files(failure, files);
  return context;
}

TlsContext tls_server(const TlsFiles& files, BerthTlsClients clients) {
  const auto names = files.names();
  Failure failure{};
  TlsContext context(tls_module().server(&names, clients, failure.data(), failure.size()));
  if (!context) throw bad_files(failure, files);
  return context;
}

Tls tls_to(BerthTlsContext* context, const std::string& host) {
  Failure failure{};
  Tls tls(tls_module().open(context, host.c_str(), is_address(host), failure.data(), failure.size()));
  if (!tls) throw Error(Code::internal, std::string("cannot set up TLS (") + failure.data() + ")");
  return tls;
}

Tls tls_from_client(BerthTlsContext* context) {
  Failure failure{};
  Tls tls(tls_module().accept(context, failure.data(), failure.size()));
  if (!tls) throw Error(Code::internal, std::string("cannot set up TLS (") + failure.data() + ")");
  return tls;
}

std::optional<RemotePeer::Certificate> certificate_of(const BerthTls* tls) {
  std::array<unsigned char, 32> digest{};
  std::array<char, 256> name{};
  if (!tls_module().certificate(tls, digest.data(), name.data(), name.size())) return std::nullopt;
  const std::string_view bytes(reinterpret_cast<const char*>(digest.data()), digest.size());
  return RemotePeer::Certificate{name.data(), to_hex(bytes)};
}

}  // namespace berth::http
