// The same routes over TLS, with certificates that are made here.

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "runtime/async/event.hpp"
#include "runtime/base/error.hpp"
#include "runtime/http/listen.hpp"
#include "runtime/http/tls.hpp"
#include "tests/runtime/http/test_server.hpp"

namespace berth::http {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::RawSocket;
using test::TestServer;

void put(const std::string& path, std::string_view content) { os::write_file(path, content, 0600, os::Durable::no); }

// An authority and what it has signed, as files of a directory.
class Authority {
 public:
  explicit Authority(const std::string& name) {
    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=" + name +
            " -keyout ca.key -out ca.pem");
  }

  // Signed by way of an authority in between: a server must send its whole chain.
  TlsFiles sign(const std::string& name, const std::string& usage, std::string subject = {}) {
    make_intermediate();
    put(file("ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=" + usage + "\n");
    if (subject.empty()) subject = "/CN=" + name;
    make("leaf-" + name, subject, "between", "ext");
    const auto leaf = file("leaf-" + name + ".pem");
    put(file(name + ".pem"), os::read_file(leaf) + os::read_file(file("between.pem")));
    return {file(name + ".pem"), file("leaf-" + name + ".key"), ""};
  }
  TlsFiles server(const std::string& name = "server") { return sign(name, "serverAuth"); }
  TlsFiles client(const std::string& name, const std::string& subject = {}) {
    return sign(name, "clientAuth", subject);
  }
  // SHA-256 of what sign() has made by this name, in hex, by OpenSSL's own program.
  std::string fingerprint(const std::string& name) {
    openssl("x509 -in leaf-" + name + ".pem -noout -fingerprint -sha256 -out print");
    auto text = os::read_file(file("print"));
    text.erase(0, text.find('=') + 1);
    std::erase_if(text, [](char c) { return c == ':' || c == '\n'; });
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  }
  std::string trusted() const { return file("ca.pem"); }

 private:
  void make_intermediate() {
    if (os::exists(file("between.pem"))) return;
    put(file("ca-ext"), "basicConstraints=critical,CA:true\n");
    make("between", "/CN=between", "ca", "ca-ext");
  }
  void make(const std::string& name, const std::string& subject, const std::string& signer, const std::string& ext) {
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -utf8 -subj '" + subject + "' -keyout " + name +
            ".key -out " + name + ".csr");
    openssl("x509 -req -days 2 -in " + name + ".csr -CA " + signer + ".pem -CAkey " + signer +
            ".key -CAcreateserial -extfile " + ext + " -out " + name + ".pem");
  }
  void openssl(const std::string& arguments) {
    REQUIRE(std::system(("cd " + directory_.path() + " && openssl " + arguments + " 2>/dev/null").c_str()) == 0);
  }
  std::string file(const std::string& name) const { return directory_ / name; }

  os::TempDir directory_;
};

// Who asks, the body's size, and a stream that ends with its client.
class Routes {
 public:
  std::atomic<bool> streaming = false;
  std::atomic<int> asked_who = 0;

  void operator()(Router& router) {
    router.add("GET", "/who", [this](Request& request) -> async::Task<Response> {
      ++asked_who;
      if (const auto* local = std::get_if<LocalPeer>(&request.peer))
        co_return Response::text("uid " + std::to_string(local->uid));
      const auto& remote = std::get<RemotePeer>(request.peer);
      co_return Response::text(remote.address + " " +
                               (remote.certificate ? remote.certificate->name + " " + remote.certificate->fingerprint
                                                   : std::string("without a certificate")));
    });
    router.add("POST", "/echo", [](Request& request) -> async::Task<Response> {
      auto body = co_await request.read_body(64_MiB);
      co_return Response::text(std::move(body));
    });
    router.add("GET", "/lines", [](Request&) -> async::Task<Response> {
      co_return Response::stream("text/plain", [](Stream& stream) -> async::Task<> {
        const std::string line(100'000, 'x');
        for (int i = 0; i < 30; ++i) co_await stream.write(line);
      });
    });
    router.add("GET", "/forever", [this](Request&) -> async::Task<Response> {
      co_return Response::stream("text/plain", [this](Stream& stream) -> async::Task<> {
        struct Streaming {
          std::atomic<bool>& flag;
          explicit Streaming(std::atomic<bool>& value) : flag(value) { flag = true; }
          ~Streaming() { flag = false; }
        } const now(streaming);
        co_await stream.write("begun");
        async::Event never;
        co_await never.wait();
      });
    });
  }
};

Client client_of(std::uint16_t port, const TlsFiles& files) {
  Client::Options options;
  options.patience = 5s;
  return {[port, files] { return connect_tls("127.0.0.1", port, 5s, files); }, options};
}

Code failure_of(Client client) {
  try {
    client.request("GET", "/who");
    return Code::internal;  // there was none
  } catch (const Error& error) {
    return error.code();
  }
}

RawSocket raw(std::uint16_t port) { return RawSocket(tcp_socket("127.0.0.1", port, 5s)); }

struct Fixture {
  explicit Fixture(Limits limits = {}, ClientCertificates clients = ClientCertificates::unasked)
      : files(with_authorities(authority)), tls(files, clients), server(std::ref(routes), std::move(limits), &tls) {}

  static TlsFiles with_authorities(Authority& authority) {
    auto files = authority.server();
    files.authorities = authority.trusted();
    return files;
  }
  Client client() const { return client_of(server.tls_port(), {"", "", authority.trusted()}); }

  Authority authority{"authority"};
  TlsFiles files;
  TlsServer tls;
  Routes routes;
  TestServer server;
};

}  // namespace

TEST_CASE("one router serves a unix socket and TLS, and a handler is told who is at the other end") {
  Fixture fixture;
  auto local = fixture.server.client();
  auto remote = fixture.client();
  CHECK(local.request("GET", "/who").body == "uid " + std::to_string(::geteuid()));
  CHECK(remote.request("GET", "/who").body == "127.0.0.1 without a certificate");
  CHECK(remote.request("GET", "/who").body == "127.0.0.1 without a certificate");  // on the same connection
  remote.request("GET", "/connections");
  CHECK(fixture.server.failures() == 0);
}

TEST_CASE("bodies and streams of many records go both ways over TLS") {
  Fixture fixture;
  auto client = fixture.client();
  std::string body(5'000'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31 >> 3);
  CHECK(client.request("POST", "/echo", body).body == body);
  CHECK(client.request("GET", "/lines").body == std::string(3'000'000, 'x'));
}

TEST_CASE("a stream over TLS ends when its client goes away, and with the server") {
  Fixture fixture;
  for (const bool server_ends : {false, true}) {
    auto client = fixture.client();
    bool told = false;
    const auto stop_at_once = [&](std::string_view) {
      told = eventually([&] { return fixture.routes.streaming.load(); });
      if (server_ends) fixture.server.begin_stop();
      return server_ends;
    };
    try {
      client.stream("GET", "/forever", stop_at_once);
    } catch (const Error& error) {
      CHECK(server_ends);
      CHECK(error.code() == Code::unavailable);
    }
    CHECK(told);
    CHECK(eventually([&] { return !fixture.routes.streaming; }));
  }
}

TEST_CASE("a client that trusts another authority, or none, does not talk to the server") {
  Fixture fixture;
  Authority other("other");
  CHECK(failure_of(client_of(fixture.server.tls_port(), {"", "", other.trusted()})) == Code::denied);
  CHECK(failure_of(client_of(fixture.server.tls_port(), {})) == Code::denied);
  CHECK(fixture.client().request("GET", "/who").status == 200);
  CHECK(fixture.server.failures() == 0);
}

TEST_CASE("who speaks plain HTTP at the TLS port is told so, and who speaks something else is cut off") {
  Fixture fixture;
  auto plain = raw(fixture.server.tls_port());
  plain.send("GET /who HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto answer = plain.read_to_end();
  CHECK(answer.starts_with("HTTP/1.1 400 "));
  CHECK(answer.find("speaks TLS") != std::string::npos);
  CHECK(answer.find("127.0.0.1") == std::string::npos);
  auto noise = raw(fixture.server.tls_port());
  noise.send(std::string(1000, '\x05'));
  CHECK(noise.ended());
  CHECK(fixture.client().request("GET", "/who").status == 200);
  CHECK(fixture.server.failures() == 0);
}

TEST_CASE("who stalls in the handshake is cut off, and keeps nobody waiting") {
  Limits limits;
  limits.handshake_time = 300ms;
  Fixture fixture(limits);
  auto silent = raw(fixture.server.tls_port());
  auto stalled = raw(fixture.server.tls_port());
  stalled.send(std::string_view("\x16\x03\x01\x02\x00\x01", 6));  // the beginning of a client's first message
  CHECK(fixture.client().request("GET", "/who").status == 200);
  CHECK(silent.ended());
  CHECK(stalled.ended());
  CHECK(fixture.server.failures() == 0);
}

TEST_CASE("an address has a bounded number of connections, and those that stall give way to others") {
  Limits limits;
  limits.connections_per_source = 4;
  limits.handshake_time = 60s;
  Fixture fixture(limits);
  std::vector<RawSocket> stalled;
  for (int i = 0; i < 4; ++i) stalled.push_back(raw(fixture.server.tls_port()));
  auto watcher = fixture.server.client();
  const auto connections = [&] {
    watcher.request("GET", "/connections");
    return fixture.server.connections();
  };
  CHECK(eventually([&] { return connections() == 5; }));
  CHECK(fixture.client().request("GET", "/who").status == 200);
  CHECK(stalled.front().ended());  // the oldest
  CHECK(connections() <= 5);
}

TEST_CASE("a server that stops waits for no handshake") {
  Limits limits;
  limits.handshake_time = 60s;
  limits.drain_time = 60s;
  Fixture fixture(limits);
  auto stalled = raw(fixture.server.tls_port());
  auto watcher = fixture.server.client();
  CHECK(eventually([&] {
    watcher.request("GET", "/connections");
    return fixture.server.connections() == 2;
  }));
  const auto begin = std::chrono::steady_clock::now();
  fixture.server.stop();
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
  CHECK(stalled.ended());
}

TEST_CASE("who shows a good certificate is told by its name and its fingerprint, exactly; who shows none is nobody") {
  Fixture fixture({}, ClientCertificates::optional);
  const auto who = [&](const std::string& file, const std::string& subject) {
    auto files = fixture.authority.client(file, subject);
    files.authorities = fixture.authority.trusted();
    return client_of(fixture.server.tls_port(), files).request("GET", "/who").body;
  };
  // Name, file, subject: nobody is meant by a subject without a name, nor by one with two.
  const std::vector<std::array<std::string, 3>> clients{{"node-1", "one", "/CN=node-1"},
                                                        {"node 1 of k\u00f6ln", "other", "/CN=node 1 of k\u00f6ln"},
                                                        {"node-1", "in-lab", "/O=lab/OU=CN/CN=node-1/L=here"},
                                                        {"", "none", "/O=node-1"},
                                                        {"", "two", "/CN=node-1/CN=root"}};
  for (const auto& [name, file, subject] : clients) {
    INFO(subject);
    const auto told = who(file, subject);
    CHECK(told == "127.0.0.1 " + name + " " + fixture.authority.fingerprint(file));
  }
  CHECK(fixture.client().request("GET", "/who").body == "127.0.0.1 without a certificate");
  CHECK(fixture.server.failures() == 0);
}

TEST_CASE("a certificate that is not good gets nobody to a handler, not even as nobody") {
  for (const auto clients : {ClientCertificates::optional, ClientCertificates::required}) {
    Fixture fixture({}, clients);
    const auto is_refused = [&](TlsFiles files) {
      files.authorities = fixture.authority.trusted();
      return failure_of(client_of(fixture.server.tls_port(), files)) != Code::internal;
    };
    Authority other("authority");  // of the same name
    CHECK(is_refused(other.client("node-1")));
    CHECK(is_refused(fixture.files));  // not made for clients
    auto cut = fixture.authority.client("node-1");
    cut.certificate = cut.key.substr(0, cut.key.rfind('.')) + ".pem";  // without the authority in between
    CHECK(is_refused(cut));
    CHECK(fixture.routes.asked_who == 0);
    CHECK(is_refused({}) == (clients == ClientCertificates::required));
    CHECK(fixture.routes.asked_who == (clients == ClientCertificates::required ? 0 : 1));
    CHECK(fixture.server.failures() == 0);
    auto good = fixture.authority.client("node-2");
    good.authorities = fixture.authority.trusted();
    CHECK(client_of(fixture.server.tls_port(), good).request("GET", "/who").status == 200);
  }
}

TEST_CASE("a certificate is changed while the server runs, and a bad one is not taken") {
  Fixture fixture;
  Authority next("next");
  auto kept = fixture.client();
  CHECK(kept.request("GET", "/who").status == 200);

  const auto renewed = next.server();
  put(fixture.files.certificate, os::read_file(renewed.certificate));
  CHECK_THROWS_AS(fixture.tls.reload(), Error);  // its key is not there yet
  CHECK(fixture.client().request("GET", "/who").status == 200);
  put(fixture.files.key, os::read_file(renewed.key));
  fixture.tls.reload();

  CHECK(failure_of(fixture.client()) == Code::denied);
  CHECK(client_of(fixture.server.tls_port(), {"", "", next.trusted()}).request("GET", "/who").status == 200);
  CHECK(kept.request("GET", "/who").status == 200);  // it goes on with what it began with
}

TEST_CASE("files that are no certificate and key are refused when the server is made") {
  Authority authority("authority");
  const auto good = authority.server();
  const auto code = [](const TlsFiles& files, ClientCertificates clients = ClientCertificates::unasked) {
    try {
      TlsServer server(files, clients);
      return Code::internal;
    } catch (const Error& error) {
      return error.code();
    }
  };
  CHECK(code(good) == Code::internal);  // no error
  CHECK(code({}) == Code::invalid);
  CHECK(code({"/nonexistent", good.key, ""}) == Code::invalid);
  CHECK(code({good.certificate, authority.client("other").key, ""}) == Code::invalid);
  CHECK(code({good.certificate, "", ""}) == Code::invalid);  // no key in that file
  CHECK(code(good, ClientCertificates::required) == Code::invalid);  // nobody is trusted to sign them
}

TEST_CASE("sources: a user, an IPv4 address however it is written, the network part of an IPv6 address") {
  const auto remote = [](const char* address) { return source_of(RemotePeer{address}); };
  CHECK(source_of(LocalPeer{1, 1000, 1000}) == Source{1000});
  CHECK(remote("192.0.2.7") == remote("::ffff:192.0.2.7"));
  CHECK(remote("192.0.2.7") != remote("192.0.2.8"));
  CHECK(remote("2001:db8:1:2::1") == remote("2001:db8:1:2:ffff::"));
  CHECK(remote("2001:db8:1:2::1") != remote("2001:db8:1:3::1"));
  // None is a user's, root's above all.
  for (const auto* address : {"0.0.0.0", "::", "::1", "127.0.0.1", "::3e8", "0:3e8::", "255.255.255.255"})
    CHECK(remote(address) > source_of(LocalPeer{1, static_cast<uid_t>(-1), 0}));
}

}  // namespace berth::http
