#pragma once

// What libberth_tls.so offers: both sides of TLS (1.2 and later), by OpenSSL, from memory to memory. A C interface, so
// that nothing of OpenSSL or of the C++ library crosses it.

#include <cstddef>

extern "C" {

struct BerthTlsContext;  // what connections have in common; theirs go on when it is gone
struct BerthTls;         // one connection

// Files in PEM; null: none.
struct BerthTlsFiles {
  const char* certificate;  // our own, with the chain to its authority behind it
  const char* key;          // null: it is in the same file
  const char* authorities;  // who signs the other side's; for a client null is the system's store
};

enum BerthTlsClients : int {  // of a server
  berth_tls_clients_unasked,
  berth_tls_clients_asked,  // for a certificate, which must be good if there is one
  berth_tls_clients_required,
};

enum BerthTlsStep : int {
  berth_tls_done,
  berth_tls_wants_input,  // from the wire
  berth_tls_closed,       // the other side said that it ends here
  berth_tls_distrusts,    // the other side's certificate is not good (a server's: for the host)
  berth_tls_spoken_plainly,  // a server's client speaks HTTP without TLS
  berth_tls_failed,
};

// After every call that takes a BerthTls there may be output for the wire.
struct BerthTlsModule {
  // Null: `failure` gets a text that ends with NUL.
  BerthTlsContext* (*client)(const BerthTlsFiles* files, char* failure, std::size_t failure_size);
  BerthTlsContext* (*server)(const BerthTlsFiles* files, BerthTlsClients clients, char* failure,
                             std::size_t failure_size);
  void (*drop)(BerthTlsContext* context);
  // With a server of this name, or of this address. Null: as above.
  BerthTls* (*open)(BerthTlsContext* context, const char* host, bool is_address, char* failure,
                    std::size_t failure_size);
  // With a client.
  BerthTls* (*accept)(BerthTlsContext* context, char* failure, std::size_t failure_size);
  void (*close)(BerthTls* tls);
  BerthTlsStep (*handshake)(BerthTls* tls);
  // `done` bytes went or came where the step is berth_tls_done.
  BerthTlsStep (*write)(BerthTls* tls, const char* bytes, std::size_t size, std::size_t* done);
  BerthTlsStep (*read)(BerthTls* tls, char* buffer, std::size_t size, std::size_t* done);
  // Whether read() would give something, with what has come from the wire.
  BerthTlsStep (*peek)(BerthTls* tls);
  // Tells the other side that nothing more will come.
  void (*end)(BerthTls* tls);
  // The other side's certificate, after the handshake: the SHA-256 of it, and its common name, cut to fit. False:
  // it has shown none.
  bool (*certificate)(const BerthTls* tls, unsigned char digest[32], char* name, std::size_t name_size);
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
[[gnu::visibility("default")]] const BerthTlsModule* berth_tls_2();
}
