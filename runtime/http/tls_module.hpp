#pragma once

// What libberth_tls.so offers: the client's side of TLS, by OpenSSL, from memory to memory. A C interface, so that
// nothing of OpenSSL or of the C++ library crosses it.

#include <cstddef>

extern "C" {

struct BerthTls;  // one connection

enum BerthTlsStep : int {
  berth_tls_done,
  berth_tls_wants_input,  // from the wire
  berth_tls_closed,       // the other side said that it ends here
  berth_tls_distrusts,    // the server's certificate is not good for the host
  berth_tls_failed,
};

// After every call that takes a BerthTls there may be output for the wire.
struct BerthTlsModule {
  // For a server of this name, or of this address. Null: `failure` gets a text that ends with NUL.
  BerthTls* (*open)(const char* host, bool is_address, char* failure, std::size_t failure_size);
  void (*close)(BerthTls* tls);
  BerthTlsStep (*handshake)(BerthTls* tls);
  // `done` bytes went or came where the step is berth_tls_done.
  BerthTlsStep (*write)(BerthTls* tls, const char* bytes, std::size_t size, std::size_t* done);
  BerthTlsStep (*read)(BerthTls* tls, char* buffer, std::size_t size, std::size_t* done);
  // Why the last step failed or distrusts.
  const char* (*failure)(const BerthTls* tls);
  // Whether read() has something to work on.
  bool (*pending)(const BerthTls* tls);
  // Takes up to `size` bytes that are for the wire; 0: there are none.
  std::size_t (*output)(BerthTls* tls, char* buffer, std::size_t size);
  // Gives it what came from the wire; false: there was no memory for it.
  bool (*input)(BerthTls* tls, const char* bytes, std::size_t size);
};

// The name carries the version of this interface.
[[gnu::visibility("default")]] const BerthTlsModule* berth_tls_1();
}
