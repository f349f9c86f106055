#include "runtime/git/provenance.hpp"

namespace berth::git {
namespace {

bool is_port(std::string_view text) { return text.find_first_not_of("0123456789") == std::string_view::npos; }

// Where the host begins. A password with a bare '/' in it cuts the authority short; then what follows its ':'
// is no port, and the '@' further on still ends the credentials.
std::size_t host_begin(std::string_view rest) {
  const auto authority = rest.substr(0, rest.find_first_of("/?#"));
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) return at + 1;
  const auto colon = authority.starts_with('[') ? std::string_view::npos : authority.find(':');
  if (colon == std::string_view::npos || is_port(authority.substr(colon + 1))) return 0;
  const auto at = rest.rfind('@');
  return at == std::string_view::npos ? 0 : at + 1;
}

}  // namespace

std::string strip_credentials(std::string_view url) {
  const auto separator = url.find("://");
  if (separator == std::string_view::npos) {
    // user@host:path; with a password only by mistake.
    const auto at = url.substr(0, url.find('/')).rfind('@');
    if (at == std::string_view::npos) return std::string(url);
    const auto user = url.substr(0, at);
    return std::string(user.substr(0, user.find(':'))) + std::string(url.substr(at));
  }
  auto scheme = url.substr(0, separator);  // or helper::scheme
  auto rest = url.substr(separator + 3);
  const auto host = host_begin(rest);
  const auto user = rest.substr(0, host == 0 ? 0 : host - 1);
  rest.remove_prefix(host);
  std::string out(url.substr(0, separator + 3));
  if (scheme.ends_with("ssh")) {
    if (host != 0) (out += user.substr(0, user.find(':'))) += '@';
  } else if (scheme.find("http") != std::string_view::npos || scheme.find("ftp") != std::string_view::npos) {
    rest = rest.substr(0, rest.find_first_of("?#"));
  }
  return out += rest;
}

}  // namespace berth::git
