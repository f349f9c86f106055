// What registries, engines and credential files say. The first byte chooses which of them the rest is, from '0' on:
// a registry's JSON, a challenge, an engine's stream of progress, a failure's body, a config.json. Each is an Error
// that tells why, or what it came to holds.

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/base64.hpp"
#include "runtime/base/error.hpp"
#include "runtime/docker/credentials.hpp"
#include "runtime/docker/engine_error.hpp"
#include "runtime/docker/manifest.hpp"
#include "runtime/docker/progress.hpp"
#include "runtime/docker/registry_auth.hpp"
#include "runtime/gpu/wanted.hpp"
#include "runtime/http/url.hpp"

namespace {

using namespace berth;
using namespace berth::docker;

void require(bool holds) {
  if (!holds) std::abort();
}

// Runs one that may refuse its input, so that the next gets it too.
template <class F>
void tolerant(F parser) {
  try {
    parser();
  } catch (const Error& error) {
    require(!error.message().empty());
  }
}

void cuda_of(const ImageConfig& config) {
  gpu::Variables variables;
  for (const auto& entry : config.environment) {
    const auto equals = std::min(entry.find('='), entry.size());
    variables.emplace_back(entry.substr(0, equals), entry.substr(std::min(equals + 1, entry.size())));
  }
  const auto wanted = gpu::wanted_by_image("docker.io/library/x:latest", variables);
  if (!wanted) return;
  for (const auto& requirement : wanted->requirements)
    static_cast<void>(gpu::is_met(requirement, {{12, 4, 0}, {550, 54, 14}, {9, 0, 0}, "tesla"}));
}

void registry_json(const std::string& text) {
  static const auto kReference = parse_reference("x");
  const Platform platform{"linux", "amd64"};
  tolerant([&] {
    if (const auto digest = manifest_for(text, platform, kReference)) require(is_digest(*digest));
  });
  tolerant([&] { require(is_digest(parse_manifest(text, kReference).config_digest)); });
  tolerant([&] { cuda_of(parse_image_config(text, platform, kReference)); });
}

void challenge(const std::string& text) {
  if (const auto parsed = parse_challenge(text)) {
    require(!parsed->scheme.empty());
    for (const auto& [name, value] : parsed->parameters) require(!name.empty());
  }
  if (const auto url = http::parse_url(text)) require(http::parse_url(url->text())->text() == url->text());
  require(from_base64(base64(text, Base64::url)) == text);
  if (const auto bytes = from_base64(text)) require(from_base64(base64(*bytes)) == bytes);
}

// The lines that a stream in pieces of `step` bytes comes to.
std::vector<std::string> lines_of(std::string_view text, std::size_t step) {
  std::vector<std::string> lines;
  const PullProgress::Clock::time_point now;
  BuildProgress progress([&](std::string_view line) { lines.emplace_back(line); }, now);
  MessageStream stream([&](const Message& message) { progress.take(message, now); });
  try {
    for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) stream.feed(text.substr(0, step));
    stream.finish();
    progress.finish();
  } catch (const Error&) {
    lines.emplace_back("refused");
  }
  return lines;
}

void progress(const std::string& text) { require(lines_of(text, 7) == lines_of(text, text.size() + 1)); }

void failure(const std::string& text) {
  const auto said = message_of(text);
  static const auto kReference = parse_reference("x");
  require(!pull_error(kReference, said).describe().empty());
  require(!build_error(said).describe().empty());
  require(!call_error(500, "start", "x", said).describe().empty());
}

// No helper is there to be asked.
void config_json(const std::string& text) {
  static const int file = ::memfd_create("config.json", MFD_CLOEXEC);
  require(::ftruncate(file, 0) == 0);
  require(::pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  const Keychain keychain("/proc/self/fd/" + std::to_string(file), "/nowhere");
  for (const auto* registry : {"docker.io", "ghcr.io"}) {
    tolerant([&] {
      const auto found = keychain.find(registry);
      require(from_base64(registry_auth(found, registry)).has_value());
      require(from_base64(registry_config({{registry, found}})).has_value());
    });
  }
}

constexpr std::array kParsers{registry_json, challenge, progress, failure, config_json};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  tolerant([&] { kParsers.at((data[0] - std::size_t{'0'}) % kParsers.size())(text); });
  return 0;
}
