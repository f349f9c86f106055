#include "runtime/docker/engine_error.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/json.hpp"

namespace berth::docker {
namespace {

constexpr std::size_t kShown = 600;

std::string shown(const std::string& said) { return printable(std::string_view(said).substr(0, kShown)); }

bool says(const std::string& said, std::initializer_list<std::string_view> phrases) {
  std::string lower = said;
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::ranges::any_of(phrases, [&](auto phrase) { return lower.find(phrase) != std::string::npos; });
}

struct Kind {
  Code code;
  const char* what;
  const char* hint;
};

// In this order: "pull access denied, repository does not exist" is about credentials as much as about the
// name.
std::optional<Kind> kind_of(const std::string& said) {
  if (says(said, {"no space left on device", "disk quota exceeded"}))
    return Kind{Code::no_space, "the engine's disk is full",
                "free space where the engine keeps its images: berth gc, docker system df"};
  if (says(said, {"no matching manifest", "does not match the specified platform", "exec format error",
                  "cannot be used on this platform", "no image found in manifest list for architecture",
                  "no image found in image index for architecture"}))
    return Kind{Code::unsupported, "there is none for this machine's architecture",
                "choose an image that is built for this machine"};
  if (says(said, {"toomanyrequests", "rate limit"}))
    return Kind{Code::unavailable, "the registry limits how much is pulled", "log in to it, or try again later"};
  if (says(said, {"unauthorized", "authentication required", "no basic auth credentials", "access denied", "denied:",
                  "incorrect username or password", "insufficient_scope", "access to the resource is denied"}))
    return Kind{Code::denied, "the registry refuses us, or there is no such repository",
                "check the name; for a private image give credentials: docker login, or the job's own"};
  if (says(said, {"manifest unknown", "manifest for", "not found", "name unknown", "unknown manifest"}))
    return Kind{Code::not_found, "the registry has no such image", "check name and tag"};
  // What an answer says for good is no outage.
  if (says(said, {"no such host"})) return Kind{Code::not_found, "there is no registry of that name", "check the name"};
  if (says(said, {"x509", "server gave http response", "tls: unrecognized name"}))
    return Kind{Code::unsupported, "the registry cannot be spoken to",
                "the engine must know its certificate, or that it is an insecure one"};
  if (says(said,
           {"connection refused", "i/o timeout", "timeout", "network is unreachable", "no route to host",
            "tls handshake", "network is down", "unexpected http status: 5", "temporary failure in name resolution",
            "service unavailable", "deadline exceeded", "server misbehaving", "lookup ", "pinging container registry"}))
    return Kind{Code::unavailable, "the registry cannot be reached", "check its name and this machine's network"};
  if (says(said, {"unexpected eof", "eof", "connection reset", "broken pipe", "short read",
                  "filesystem layer verification failed", "expected http 206"}))
    return Kind{Code::unavailable, "the registry broke off in the middle", "try again"};
  return std::nullopt;
}

// What is said of a registry that is away, breaks off or wants a rest.
Error of_kind(const Kind& kind, std::string message) {
  Error error(kind.code, std::move(message), kind.hint);
  if (kind.code == Code::unavailable) error.for_lack_of(Lack::registry);
  return error;
}

}  // namespace

std::string message_of(std::string_view body) {
  const auto json = json_or_null(body, kAnswerBounds);
  for (const char* name : {"message", "cause"})
    if (json.is_object() && json.contains(name) && json[name].is_string()) return json[name].get<std::string>();
  return std::string(body.substr(0, kShown));
}

Error pull_error(const Reference& image, const std::string& said) {
  const auto what = "cannot pull " + image.text() + ": ";
  if (const auto kind = kind_of(said)) return of_kind(*kind, what + kind->what + " (" + shown(said) + ")");
  return Error(Code::io, what + shown(said));
}

Error build_error(const std::string& said) {
  // A step that failed speaks for itself, whatever words are in it.
  const bool step = says(said, {"returned a non-zero code", "dockerfile parse error", "copy failed", "add failed"});
  if (const auto kind = step ? std::nullopt : kind_of(said))
    return of_kind(*kind, std::string("the image's build failed: ") + kind->what + " (" + shown(said) + ")");
  return Error(Code::invalid, "the image's build failed: " + shown(said), "the build's log has what led to it");
}

Error call_error(int status, const std::string& action, const std::string& object, const std::string& said) {
  const auto what = "cannot " + action + " " + printable(object) + ": " + shown(said);
  if (says(said, {"no space left on device"})) return Error(Code::no_space, what, "free space on the engine's disk");
  // An engine on its way down fails at what it was asked for a moment ago.
  if (status >= 500 && says(said, {"shutting down", "transport is closing", "connection is closing", "context canceled",
                                   "containerd.sock", "error reading from server", "connection error"}))
    return Error(Code::unavailable, "the container engine is stopping: " + what).for_lack_of(Lack::engine);
  if (says(said, {"could not select device driver"}))
    return Error(Code::unsupported, what, "install the NVIDIA container toolkit and restart the engine");
  if (status == 404) return Error(Code::not_found, what);
  if (status == 409) return Error(Code::conflict, what);
  if (status == 400) return Error(Code::invalid, what);
  return Error(Code::io, what);
}

}  // namespace berth::docker
