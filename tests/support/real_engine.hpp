#pragma once

// A real Docker engine with registries, in a network namespace of its own; see tests/integration/engine.py.
// It is started when first asked for and taken down at the end of the test program.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/docker/engine.hpp"
#include "runtime/os/fd.hpp"

namespace berth::docker::test {

struct RealEngine {
  std::string socket;
  std::string network_namespace;  // a file to enter by
  std::string user;
  std::string password;
  std::string certificate;                        // of the registry "tls": its own authority
  std::map<std::string, std::string> registries;  // "plain", "basic", "token", "tls", "dying", "redirecting"
  std::map<std::string, std::string> digests;     // of manifests: "amd64", "arm64", "multi", "only-arm"

  Engine engine() const { return Engine(socket); }
  Credentials credentials() const { return {user, password, {}}; }
  Reference image(const std::string& registry, const std::string& name) const {
    return parse_reference(registries.at(registry) + "/berth-test/" + name);
  }
};

// Nothing where there can be none.
const RealEngine* real_engine();
// What a case needs that has none: "a container engine (…)".
std::string what_engine_lacks();

// What of a kind ("image", "container", running or not, "volume") carries the label "name=value", as the engine's own
// program lists it: ids, of volumes names.
std::vector<std::string> labelled(const Engine& engine, const std::string& kind, const std::string& label);

// Stops dockerd by "SIGTERM" or "SIGKILL" and starts it anew; returns when it answers.
void restart_daemon(const std::string& signal);

// While it lives, sockets that this thread makes are in the engine's network namespace.
class InsideNetwork {
 public:
  explicit InsideNetwork(const RealEngine& engine);
  ~InsideNetwork();
  InsideNetwork(const InsideNetwork&) = delete;
  InsideNetwork& operator=(const InsideNetwork&) = delete;

 private:
  os::Fd outside_;
};

}  // namespace berth::docker::test
