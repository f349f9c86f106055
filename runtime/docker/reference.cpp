#include "runtime/docker/reference.hpp"

#include <algorithm>

#include "runtime/base/digest.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::docker {
namespace {

constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kLibrary = "library/";  // where the hub has images without a directory
constexpr std::string_view kAlgorithm = "sha256:";
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestTag = 128;

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool number(char c) { return c >= '0' && c <= '9'; }

[[noreturn]] void refuse(std::string_view text, const std::string& why, const std::string& hint = {}) {
  throw Error(Code::invalid, "\"" + printable(text) + "\" is no image name: " + why, hint);
}

// Letters and digits, with ".", "_", "__" or dashes between them.
bool is_component(std::string_view part) {
  const auto plain = [](char c) { return lower(c) || number(c); };
  if (part.empty() || !plain(part.front()) || !plain(part.back())) return false;
  for (std::size_t i = 0; i < part.size();) {
    if (plain(part[i])) {
      ++i;
      continue;
    }
    const auto end = static_cast<std::size_t>(std::ranges::find_if(part.substr(i), plain) - part.begin());
    const auto between = part.substr(i, end - i);
    const bool dashes = std::ranges::all_of(between, [](char c) { return c == '-'; });
    if (between != "." && between != "_" && between != "__" && !dashes) return false;
    i = end;
  }
  return true;
}

bool is_tag(std::string_view tag) {
  const auto word = [](char c) { return lower(c) || upper(c) || number(c) || c == '_'; };
  return !tag.empty() && tag.size() <= kLongestTag && word(tag.front()) &&
         std::ranges::all_of(tag, [&](char c) { return word(c) || c == '.' || c == '-'; });
}

bool is_registry(std::string_view host) {
  const bool bracketed = host.starts_with('[');
  const auto colon = host.find(':', bracketed ? host.find(']') : 0);
  const auto name = host.substr(0, colon);
  const auto letter = [&](char c) {
    return lower(c) || upper(c) || number(c) || c == '.' || c == '-' ||
           (bracketed && (c == ':' || c == '[' || c == ']'));
  };
  if (name.empty() || !std::ranges::all_of(name, letter)) return false;
  if (colon == std::string_view::npos) return true;
  const auto port = host.substr(colon + 1);
  return !port.empty() && port.size() <= 5 && std::ranges::all_of(port, number);
}

// The part before the first slash is a registry when it could be nothing else.
bool names_registry(std::string_view first) {
  return first.find_first_of(".:[") != std::string_view::npos || first == "localhost" ||
         std::ranges::any_of(first, upper);
}

void check_repository(std::string_view text, std::string_view repository) {
  for (std::size_t at = 0; at <= repository.size();) {
    const auto end = std::min(repository.find('/', at), repository.size());
    const auto part = repository.substr(at, end - at);
    if (std::ranges::any_of(part, upper))
      refuse(text, "the repository \"" + printable(repository) + "\" has upper-case letters",
             "repositories are lower-case");
    if (!is_component(part)) refuse(text, "\"" + printable(part) + "\" cannot be a part of a repository's name");
    at = end + 1;
  }
}

void take_digest(std::string_view text, std::string_view& rest, Reference& reference) {
  const auto at = rest.find('@');
  if (at == std::string_view::npos) return;
  reference.digest = rest.substr(at + 1);
  rest = rest.substr(0, at);
  if (!is_digest(reference.digest)) refuse(text, "after \"@\" comes sha256: and 64 hexadecimal digits");
}

void take_tag(std::string_view text, std::string_view& rest, Reference& reference) {
  const auto colon = rest.rfind(':');
  const auto slash = rest.rfind('/');
  if (colon == std::string_view::npos || (slash != std::string_view::npos && colon < slash)) return;
  reference.tag = rest.substr(colon + 1);
  rest = rest.substr(0, colon);
  if (!is_tag(reference.tag))
    refuse(text,
           "the tag \"" + printable(reference.tag) + "\" has other letters than A-Z a-z 0-9 _ . -, or is too long");
}

}  // namespace

bool is_digest(std::string_view text) {
  return text.starts_with(kAlgorithm) && parse_digest(text.substr(kAlgorithm.size())).has_value();
}

std::string Reference::text() const {
  return name() + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest);
}

// Shortened only as far as it is still read as this image.
std::string Reference::familiar() const {
  if (registry != kHub) return text();
  const auto base = std::string_view(repository).substr(std::min(kLibrary.size(), repository.size()));
  const bool alone =
      repository.starts_with(kLibrary) && base.find('/') == std::string_view::npos && !parse_digest(base);
  if (!alone && names_registry(std::string_view(repository).substr(0, repository.find('/')))) return text();
  return text().substr(kHub.size() + 1 + (alone ? kLibrary.size() : 0));
}

Reference Reference::with_digest(std::string other) const {
  auto reference = *this;
  reference.digest = std::move(other);
  return reference;
}

Reference parse_reference(std::string_view text) {
  if (text.empty()) refuse(text, "it is empty");
  if (text.find("://") != std::string_view::npos)
    refuse(text, "it is a web address", "write it without the scheme: ghcr.io/team/image:tag");
  Reference reference;
  auto rest = text;
  take_digest(text, rest, reference);
  take_tag(text, rest, reference);
  if (parse_digest(rest)) refuse(text, "it is an image's number", "write the image's name, or name@sha256:…");
  const auto slash = rest.find('/');
  const auto first = rest.substr(0, slash);
  const bool named = slash != std::string_view::npos && names_registry(first);
  reference.registry = named ? first : kHub;
  reference.repository = named ? rest.substr(slash + 1) : rest;
  if (!is_registry(reference.registry)) refuse(text, "\"" + printable(first) + "\" is no registry's host");
  if (reference.registry == "index.docker.io") reference.registry = kHub;
  check_repository(text, reference.repository);
  if (reference.registry == kHub && reference.repository.find('/') == std::string::npos)
    reference.repository.insert(0, kLibrary);
  if (reference.name().size() > kLongestName) refuse(text, "it is longer than 255 letters");
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

}  // namespace berth::docker
