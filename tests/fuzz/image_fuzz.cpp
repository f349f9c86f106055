// What people write about images: names, docker_args, .dockerignore, Dockerfiles. The first byte chooses which of them
// the rest is: '0', '1', '2', '3'. Each is an Error that tells why, or what it came to holds.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/docker/arguments.hpp"
#include "runtime/docker/ignore.hpp"
#include "runtime/docker/reference.hpp"
#include "runtime/environment/dockerfile.hpp"

namespace {

using namespace berth;
using namespace berth::docker;

void require(bool holds) {
  if (!holds) std::abort();
}

// Whatever way it is written, it is the same image.
void name(std::string_view text) {
  const auto reference = parse_reference(text);
  require(parse_reference(reference.text()) == reference);
  require(parse_reference(reference.familiar()) == reference);
}

ContainerSpec spec_of_job() {
  ContainerSpec spec;
  spec.image = "sha256:0";
  spec.memory = 1_GiB;
  spec.cpus = 2;
  spec.pids = 100;
  return spec;
}

// Arguments take away, and never give more than the job has.
void docker_args(std::string_view text) {
  const auto before = spec_of_job();
  const auto spec = with_arguments(before, {std::string(text)});
  require(spec.image == before.image && spec.user == before.user && spec.command.empty() && spec.entrypoint.empty());
  require(spec.binds.empty() && spec.volumes.empty() && spec.gpus.empty() && spec.name.empty());
  const auto host = nlohmann::json::parse(to_json(spec)).at("HostConfig");
  const auto within = [&](const char* limit, std::int64_t most) {
    const auto value = host.at(limit).get<std::int64_t>();
    return value > 0 && value <= most;
  };
  require(within("Memory", std::int64_t{1} << 30) && within("NanoCpus", 2'000'000'000) && within("PidsLimit", 100));
  require(host.at("CapDrop") == nlohmann::json::array({"ALL"}) && !host.contains("Devices"));
  for (const auto& [label, value] : spec.labels) require(!label.starts_with("io.berth."));
}

// The first line is a path, the others patterns.
void dockerignore(std::string_view text) {
  const auto end = std::min(text.find('\n'), text.size());
  const auto path = text.substr(0, end);
  const auto ignore = IgnoreFile::parse(text.substr(std::min(end + 1, text.size())));
  static_cast<void>(ignore.ignores(path));
}

void dockerfile(std::string_view text) {
  const auto images = environment::images_of_dockerfile(text);
  require(images.base.empty() || images.all.contains(images.base));
}

constexpr std::array kParsers{name, docker_args, dockerignore, dockerfile};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    kParsers.at((data[0] - std::size_t{'0'}) % kParsers.size())(text);
  } catch (const Error& error) {
    require(!error.message().empty());
  }
  return 0;
}
