#include "runtime/http/url.hpp"

#include <algorithm>
#include <charconv>

namespace berth::http {
namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failure != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

bool host_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == ':';
}

bool parse_authority(std::string_view text, Url& url) {
  const bool bracketed = text.starts_with('[');
  const auto end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && end == std::string_view::npos) return false;
  url.host = bracketed ? text.substr(1, end - 1) : text.substr(0, end);
  const auto rest = end == std::string_view::npos ? std::string_view() : text.substr(end + (bracketed ? 1 : 0));
  if (!rest.empty()) {
    const auto port = rest.starts_with(':') ? parse_port(rest.substr(1)) : std::nullopt;
    if (!port) return false;
    url.port = *port;
  }
  return !url.host.empty() && std::ranges::all_of(url.host, host_letter);
}

}  // namespace

std::string Url::authority() const {
  const auto name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (scheme == "https" ? 443 : 80) ? name : name + ":" + std::to_string(port);
}

std::optional<Url> parse_url(std::string_view text) {
  Url url;
  for (const std::string_view scheme : {"http", "https"})
    if (text.starts_with(scheme) && text.substr(scheme.size()).starts_with("://")) url.scheme = scheme;
  if (url.scheme.empty()) return std::nullopt;
  url.port = url.scheme == "https" ? 443 : 80;
  text.remove_prefix(url.scheme.size() + 3);
  text = text.substr(0, text.find('#'));
  const auto end = text.find_first_of("/?");
  if (!parse_authority(text.substr(0, end), url)) return std::nullopt;
  if (end != std::string_view::npos) url.target = text.substr(end);
  if (url.target.starts_with('?')) url.target.insert(0, "/");
  if (std::ranges::any_of(url.target, [](char c) { return c <= ' ' || c == 0x7f; })) return std::nullopt;
  return url;
}

std::optional<Url> follow(const Url& base, std::string_view location) {
  if (location.starts_with("//")) return parse_url(base.scheme + ":" + std::string(location));
  if (!location.starts_with('/')) return parse_url(location);
  return parse_url(base.scheme + "://" + base.authority() + std::string(location));
}

}  // namespace berth::http
