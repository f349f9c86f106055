#pragma once

// An accepted connection over TLS, and what such connections are made of.

#include <memory>
#include <string>

#include "runtime/http/connection.hpp"
#include "runtime/http/tls_engine.hpp"

namespace berth::http {

// Whether clients show certificates.
enum class ClientCertificates {
  unasked,
  optional,  // one that is shown must be good
  required,
};

// The server's certificate and whom it trusts. Outlives no connection: those go on with what they began with.
class TlsServer {
 public:
  // Code::invalid for files that are missing, or that are not what they should be.
  explicit TlsServer(TlsFiles files, ClientCertificates clients = ClientCertificates::unasked);

  // Reads the files anew, for connections from now on. When it throws, all is as it was.
  void reload();

  // For Server. The TlsServer outlives it.
  MakeConnection connections();

 private:
  TlsFiles files_;
  ClientCertificates clients_;
  TlsContext context_;
};

}  // namespace berth::http
