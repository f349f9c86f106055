#pragma once

// TLS from memory to memory, by the module that is loaded with the first use (tls_module.hpp): an agent that asks no
// registry has no need of OpenSSL.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/http/peer.hpp"
#include "runtime/http/tls_module.hpp"

namespace berth::http {

const BerthTlsModule& tls_module();

struct DropTlsContext {
  void operator()(BerthTlsContext* context) const { tls_module().drop(context); }
};
using TlsContext = std::unique_ptr<BerthTlsContext, DropTlsContext>;

struct CloseTls {
  void operator()(BerthTls* tls) const { tls_module().close(tls); }
};
using Tls = std::unique_ptr<BerthTls, CloseTls>;

// Files in PEM; "": none.
struct TlsFiles {
  std::string certificate;  // our own, with the chain to its authority behind it
  std::string key;          // "": it is in the same file
  std::string authorities;  // who signs the other side's; a client without has the system's store

  BerthTlsFiles names() const;
};

// Code::invalid for files that are missing, or that are not what they should be.
TlsContext tls_client(const TlsFiles& files);
TlsContext tls_server(const TlsFiles& files, BerthTlsClients clients);
// The host: a name, or an address.
Tls tls_to(BerthTlsContext* context, const std::string& host);
Tls tls_from_client(BerthTlsContext* context);

// What the other side has shown in the handshake.
std::optional<RemotePeer::Certificate> certificate_of(const BerthTls* tls);

}  // namespace berth::http
