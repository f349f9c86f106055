#pragma once

// TLS on a TCP connection, for clients: the server's certificate must be good for the host by the authorities of the
// files, or else by the system's store (SSL_CERT_FILE and SSL_CERT_DIR name another, as everywhere).

#include "runtime/http/tls_engine.hpp"
#include "runtime/http/wire.hpp"

namespace berth::http {

// Throws an Error that tells a bad certificate (Code::denied) from a server that is not there.
std::unique_ptr<Wire> connect_tls(const std::string& host, std::uint16_t port, const Patience& patience,
                                  const TlsFiles& files = {});

}  // namespace berth::http
