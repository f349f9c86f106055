#pragma once

// Images against a real engine, whose namespace's registries this thread reaches.

#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "build_site.hpp"
#include "gpu_machine.hpp"
#include "runtime/environment/images.hpp"
#include "tests/support/real_engine.hpp"

namespace berth::environment::test {

namespace environment = berth::environment;

struct Site {
  explicit Site(const docker::test::RealEngine& engine) : real(engine) {
    network.emplace(real);
    settings.socket = real.socket;
    settings.directory = scratch / "images";
    settings.state = scratch.path();
    settings.time_limit = kPatience;
    real.engine().remove_image("berth-test/layers:1", true);  // so that its layers travel
  }
  ~Site() {
    const auto engine = real.engine();
    remove_pulled(engine, {"layers:1", "layers:multi", "base:1"});
    remove_made(engine);
    for (const auto* name : {"arm64", "amd64"}) remove_pulled(engine, {"layers@" + real.digests.at(name)});
  }
  // The steps of builds that were broken off, which the engine may go on with for a moment; until it makes no more.
  void remove_steps() const {
    const auto prune = "docker -H unix://" + settings.socket + " image prune -f";
    const auto script = "n=0; while [ $n -lt 3 ]; do if " + prune +
                        " | grep -q deleted:; then n=0; else n=$((n + 1)); sleep 0.3; fi; done";
    CHECK(std::system(script.c_str()) == 0);
  }
  void remove_pulled(const docker::Engine& engine, const std::vector<std::string>& names) const {
    for (const auto* registry : {"plain", "dying", "basic"})
      for (const auto& name : names) engine.remove_image(real.registries.at(registry) + "/berth-test/" + name, true);
  }
  // Those made of others first: what a build inherits carries the label too.
  void remove_made(const docker::Engine& engine) const {
    auto left = docker::test::labelled(engine, "image", std::string(environment::kStateLabel) + "=" + settings.state);
    for (auto before = left.size() + 1; !left.empty() && left.size() < before;) {
      before = left.size();
      std::erase_if(left, [&](const std::string& image) {
        try {
          engine.remove_image(image, true);
          return true;
        } catch (const Error& error) {
          return error.code() != Code::conflict;
        }
      });
    }
  }
  std::string name_of(const std::string& registry, const std::string& image) const {
    return real.image(registry, image).text();
  }
  Spec spec(const std::string& registry, const std::string& image) const {
    return Image{name_of(registry, image), std::nullopt};
  }
  // A directory with a Dockerfile.
  DockerBuild context(const std::string& name, const std::string& dockerfile) const {
    const auto directory = scratch / name;
    os::make_directories(directory);
    os::write_file(directory + "/Dockerfile", dockerfile, 0644, os::Durable::no);
    os::write_file(directory + "/data", "some data\n", 0644, os::Durable::no);
    return {directory, "Dockerfile", nullptr};
  }

  const docker::test::RealEngine& real;
  std::optional<docker::test::InsideNetwork> network;
  os::TempDir scratch{"images-test"};
  environment::ImageSettings settings;
};

// Specs to be used in a co_await, where g++ 12 destroys aggregates twice.
inline environment::Spec image_spec(const std::string& reference, std::optional<environment::Conda> conda = {}) {
  environment::Image image;
  image.reference = reference;
  image.conda = std::move(conda);
  return image;
}
inline environment::Spec docker_build(const std::string& context) {
  environment::DockerBuild build;
  build.context = context;
  return build;
}
inline environment::Spec locked_spec(const std::string& lock) {
  environment::Locked locked;
  locked.lock = lock;
  return locked;
}

inline void with_images(const environment::ImageSettings& settings, const std::function<Task<>(Images&)>& body) {
  const auto whole = [](const environment::ImageSettings& with, const std::function<Task<>(Images&)>& act) -> Task<> {
    Images images(co_await async::this_coro::executor, with);
    co_await async::with_cleanup(act(images), images.stop());
  };
  async::run(whole(settings, body), kPatience);
}

inline Task<Error> failure(Images& images, Spec spec, ImageUse use = ImageUse()) {
  Waiting waiting;
  const auto result = co_await async::attempt(images.ensure(std::move(spec), std::move(use), waiting));
  if (result) throw std::runtime_error("it was made");
  co_return result.error();
}

inline Task<> expect_cancelled(Images& images, Spec spec, Waiting& waiting, int& cancelled) {
  try {
    co_await images.ensure(std::move(spec), ImageUse(), waiting);
  } catch (const berth::Cancelled&) {
    ++cancelled;
  }
}

// On a node with a GPU (gpu_machine.hpp) and a default image for it.
inline environment::ImageSettings with_driver(environment::ImageSettings settings) {
  settings.machine = gpu_machine;
  settings.gpu_images = {{{12, 2, 0}, "node/cuda:12.2"}};
  return settings;
}

}  // namespace berth::environment::test
