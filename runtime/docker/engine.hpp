#pragma once

// The Docker Engine API over its unix socket; Podman's compatible one works too. Every call blocks, makes a
// connection of its own and may come from any thread. No docker program, no shell.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "runtime/base/units.hpp"
#include "runtime/docker/container.hpp"
#include "runtime/docker/context.hpp"
#include "runtime/docker/credentials.hpp"
#include "runtime/docker/progress.hpp"
#include "runtime/docker/reference.hpp"
#include "runtime/http/client.hpp"

namespace berth::docker {

using Labels = std::map<std::string, std::string>;

struct EngineVersion {
  std::string name;  // "20.10.24+dfsg1", "podman 4.3.1"
  std::string api;   // the newest it speaks: "1.41"
  std::string oldest_api;
  std::string architecture;  // Go's name: "amd64"
};

struct EngineInfo {
  std::string root_directory;         // where images and volumes are, on this machine
  std::vector<std::string> runtimes;  // "runc", "nvidia"
  bool rootless = false;  // its root is a plain user: ids in its containers are not this machine's
  bool live_restore = false;  // its containers go on while it is restarted
};

struct Image {
  std::string id;                        // "sha256:…", of the configuration
  std::vector<std::string> tags;         // "debian:12"
  std::vector<std::string> digests;      // "debian@sha256:…": by which registries know it
  std::vector<std::string> environment;  // NAME=VALUE
  std::vector<std::string> entrypoint;
  Labels labels;
  std::string architecture;
  std::string os;
  std::string working_directory;
  ByteSize size;
  std::chrono::system_clock::time_point created;

  // The value of a variable of `environment`; "" where it is not set.
  std::string variable(std::string_view name) const;
};

struct Container {
  std::string id;
  std::string name;
  std::string image;  // its id
  Labels labels;
  std::string status;  // "created", "running", "exited", "dead" …
  bool running = false;
  pid_t pid = 0;  // of its first process, as this machine numbers it; 0: none
  int exit_code = 0;
  bool out_of_memory = false;
  std::string error;  // why the engine could not start it
};

struct BuildOptions {
  std::string dockerfile = "Dockerfile";
  std::vector<std::string> tags;
  Labels labels;
  std::map<std::string, std::string> arguments;    // ARG name → value
  std::map<std::string, Credentials> credentials;  // by registry, for base images
  std::optional<ByteSize> memory;                  // of each step
  std::uint32_t cpu_milli = 0;                     // of each step, in thousandths of a CPU; 0: no limit
  std::string network;                             // "" leaves it to the engine; "none", "host"
  // Base images by their registries, which are asked with `credentials`, even where they are there: whatever the
  // Dockerfile spells, no name or id of what is only here leads to it.
  bool pull = false;
  // With `pull`: what the engine says it had from a registry, as soon as it says so, by the reference that it made of
  // the Dockerfile; `fetched`: not all of it was here. Of a digest whose image is here it has not asked the registry,
  // for that is how it is: so whoever must not have it is turned away by throwing, which ends the build before the next
  // step.
  std::function<void(const std::string& reference, bool fetched)> on_base;
};

class Engine {
 public:
  // A stop ends every call.
  explicit Engine(std::string socket = "/var/run/docker.sock", std::stop_token stop = {})
      : socket_(std::move(socket)), stop_(std::move(stop)) {}

  // The same engine, with what is known of it, whose calls this stop ends.
  Engine stopped_by(std::stop_token stop) const {
    auto same = *this;
    same.stop_ = std::move(stop);
    return same;
  }

  // All calls throw Error. Code::unavailable: no engine listens (with how to get one); Code::denied: its
  // socket is not ours to use; Code::timeout: it hangs. What a call adds is said with it. A stop is
  // Cancelled.

  EngineVersion version() const;
  EngineInfo info() const;

  // Nothing where the engine has no such image. By reference, digest or id.
  std::optional<Image> find_image(const std::string& name) const;
  // Code::not_found where it is absent.
  Image image(const std::string& name) const;
  // Fetches what is missing and returns it as it is here. Errors as in pull_error; an image that is here but
  // for another architecture is Code::unsupported.
  Image pull(const Reference& reference, const Credentials& credentials, const LineSink& progress,
             std::stop_token stop = {}) const;
  // Asks the registry whether it lets these credentials have the image, here or not; nothing is fetched. Errors as in
  // pull_error. (A pull by digest does not ask where the image is here.)
  void ask_registry(const Reference& reference, const Credentials& credentials, std::stop_token stop = {}) const;
  // Returns the image's id. Code::invalid with the failed step's words. Stopped by closing the connection, on
  // which the engine kills the step that runs.
  std::string build(BuildContext context, const BuildOptions& options, const LineSink& output,
                    std::stop_token stop = {}) const;
  void tag(const std::string& image, const Reference& name) const;
  // With `force`, although other tags or stopped containers use it. False when there was none; Code::conflict
  // where it is in use.
  bool remove_image(const std::string& image, bool force = false) const;
  // Why it could not be removed now: "the container x has it"; nothing where it could.
  std::optional<std::string> use_of_image(const std::string& id) const;

  // Returns the id. Code::not_found: the image is not here; Code::conflict: the name is taken.
  std::string create_container(const ContainerSpec& spec) const;
  // Code::unsupported where GPUs are asked for and the engine knows no driver. Starting a running one is
  // fine.
  void start(const std::string& container) const;
  std::optional<Container> find_container(const std::string& container) const;
  Container container(const std::string& container) const;
  // False when it did not run.
  bool kill(const std::string& container, int signal = 9) const;
  // With `force` it is killed first. False when there was none.
  bool remove_container(const std::string& container, bool force = true) const;

  // A volume of the local driver that is an overlay mounted when a container uses it. The directories must
  // exist; a
  // ":" or "," in their paths is Code::invalid.
  void create_overlay_volume(const std::string& name, const std::vector<std::string>& lower, const std::string& upper,
                             const std::string& work, const Labels& labels) const;
  // False when there was none; Code::conflict while a container has it.
  bool remove_volume(const std::string& name) const;

  const std::string& socket() const { return socket_; }

 private:
  http::Client client(http::Patience patience, std::stop_token stop = {}) const;
  http::Answer ask(std::string_view method, const std::string& path, std::string_view body = {}) const;
  std::string versioned(const std::string& path) const;
  void check_architecture(const Reference& reference, const Image& image) const;

  struct Known {
    std::mutex mutex;
    std::optional<EngineVersion> version;  // asked once
  };

  std::string socket_;
  std::stop_token stop_;
  std::shared_ptr<Known> known_ = std::make_shared<Known>();
};

}  // namespace berth::docker
