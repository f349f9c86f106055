#include "runtime/base/url_credentials.hpp"

#include <algorithm>
#include <functional>

#include "runtime/base/percent.hpp"
#include "runtime/base/secret_names.hpp"

namespace berth {
namespace {

constexpr std::string_view kSlashes = "://";
constexpr std::string_view kEndsWord = " \t\r\n";
constexpr std::string_view kEndsAuthority = "/?# \t\r\n";
constexpr std::string_view kBeginsParameter = "?&;#";
constexpr std::string_view kEndsValue = "&;#\"'<>`\\";
constexpr std::string_view kLeftOut = "***";

std::size_t first_of(std::string_view text, std::string_view characters, std::size_t from) {
  return std::min(text.find_first_of(characters, from), text.size());
}

bool is_port(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "user:secret@host:80", as offsets into the word around it; the '@' of a ref comes after its end.
struct Authority {
  std::size_t at = std::string::npos;  // the '@', if there is one
  std::size_t end = 0;
};

Authority authority_at(std::string_view word, std::size_t begin, std::size_t last_at) {
  const auto end = first_of(word, kEndsAuthority, begin);
  const auto text = word.substr(begin, end - begin);
  if (const auto at = text.rfind('@'); at != std::string_view::npos) return {begin + at, end};
  const auto colon = text.find(':');
  const bool has_port = colon == std::string_view::npos || is_port(text.substr(colon + 1));
  if (has_port || text.starts_with('[') || last_at == std::string_view::npos || last_at < begin)
    return {std::string::npos, end};
  // What is no port is a password with a character that had to be written as "%23" or the like.
  return {last_at, first_of(word, kEndsAuthority, last_at)};
}

Credential credential_of(std::string_view user, std::string_view host) {
  const auto colon = std::min(user.find(':'), user.size());
  return {std::string(host.substr(0, host.find_first_of(":\"'"))), std::string(user.substr(0, colon)),
          std::string(user.substr(std::min(colon + 1, user.size())))};
}

// Linear in the word's length, whatever is in it.
std::string plain_word(std::string_view word, std::vector<Credential>& credentials) {
  const auto last_at = word.rfind('@');
  std::string plain;
  std::size_t begin = 0;  // of what is not in `plain` yet
  for (auto slashes = word.find(kSlashes); slashes != std::string_view::npos; slashes = word.find(kSlashes, begin)) {
    const auto scheme_end = slashes + kSlashes.size();
    plain += word.substr(begin, scheme_end - begin);
    begin = scheme_end;
    for (;;) {
      const auto [at, end] = authority_at(word, begin, last_at);
      if (at == std::string_view::npos) break;
      const auto user = word.substr(begin, at - begin);
      if (word.substr(0, slashes).ends_with("ssh") && user.find(':') == std::string_view::npos) break;
      credentials.push_back(credential_of(user, word.substr(at + 1, end - at - 1)));
      begin = at + 1;
    }
  }
  return plain += word.substr(begin);
}

std::string plain_words(std::string_view text, const std::function<std::string(std::string_view)>& plain_one) {
  std::string plain;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = first_of(text, kEndsWord, at);
    (plain += plain_one(text.substr(at, end - at))) += text.substr(end, 1);
    at = end + 1;
  }
  return plain;
}

// Anaconda's: "/t/<token>/" at the start of the path.
std::string without_tokens(std::string_view word) {
  std::string plain;
  std::size_t begin = 0;
  for (auto slashes = word.find(kSlashes); slashes != std::string_view::npos; slashes = word.find(kSlashes, begin)) {
    auto path = first_of(word, kEndsAuthority, slashes + kSlashes.size());
    plain += word.substr(begin, path - begin);
    while (word.substr(path, 3) == "/t/") path = first_of(word, kEndsAuthority, path + 3);
    begin = path;
  }
  return plain += word.substr(begin);
}

// Of the parameters in a URL's query or fragment those that are named like a secret: tells where their values are.
void for_each_secret_parameter(std::string_view word,
                               const std::function<void(std::size_t begin, std::size_t end)>& tell) {
  const auto url = word.find(kSlashes);
  if (url == std::string_view::npos) return;
  for (auto at = word.find_first_of(kBeginsParameter, url); at != std::string_view::npos;) {
    const auto begin = at + 1;
    at = word.find_first_of("=?&;#", begin);
    if (at == std::string_view::npos || word[at] != '=') continue;
    const auto name = percent_decoded(word.substr(begin, at - begin));
    const auto value = at + 1;
    const auto end = first_of(word, kEndsValue, value);
    const auto text = word.substr(value, end - value);
    if (!text.empty() && text != kLeftOut && names_secret_parameter(name) && !only_counts(name, text)) tell(value, end);
    at = word.find_first_of(kBeginsParameter, end);
  }
}

std::string without_secret_parameters(std::string_view word) {
  std::string plain;
  std::size_t copied = 0;
  for_each_secret_parameter(word, [&](std::size_t begin, std::size_t end) {
    (plain += word.substr(copied, begin - copied)) += kLeftOut;
    copied = end;
  });
  return plain += word.substr(copied);
}

}  // namespace

std::string without_logins(std::string_view text, std::vector<Credential>& credentials) {
  return plain_words(text, [&](std::string_view word) { return plain_word(word, credentials); });
}

std::string without_credentials(std::string_view text) {
  std::vector<Credential> unused;
  return plain_words(without_logins(text, unused),
                     [](std::string_view word) { return without_secret_parameters(without_tokens(word)); });
}

std::vector<std::string> without_credentials(std::vector<std::string> texts) {
  for (auto& text : texts) text = without_credentials(text);
  return texts;
}

std::vector<std::string> secrets_in_urls(std::string_view text) {
  std::vector<Credential> credentials;
  const auto plain = without_logins(text, credentials);
  std::vector<std::string> secrets;
  for (auto& [host, login, password] : credentials) {
    const bool login_is_token = password.empty() || password == "x-oauth-basic";  // the latter is GitHub's
    auto& secret = login_is_token ? login : password;
    if (!secret.empty()) secrets.push_back(std::move(secret));
  }
  for (auto slashes = plain.find(kSlashes); slashes != std::string::npos; slashes = plain.find(kSlashes, slashes + 1)) {
    auto path = first_of(plain, kEndsAuthority, slashes + kSlashes.size());
    for (; plain.compare(path, 3, "/t/") == 0; path = first_of(plain, kEndsAuthority, path + 3))
      if (const auto begin = path + 3, end = first_of(plain, kEndsAuthority, begin); end > begin)
        secrets.push_back(plain.substr(begin, end - begin));
  }
  plain_words(plain, [&](std::string_view word) {
    for_each_secret_parameter(
        word, [&](std::size_t begin, std::size_t end) { secrets.emplace_back(word.substr(begin, end - begin)); });
    return std::string();
  });
  return secrets;
}

bool has_broken_login(std::string_view text) {
  for (auto slashes = text.find(kSlashes); slashes != text.npos; slashes = text.find(kSlashes, slashes + 1)) {
    const auto begin = slashes + kSlashes.size();
    const auto authority = text.substr(begin, first_of(text, kEndsAuthority, begin) - begin);
    const auto colon = authority.find(':');
    const bool whole = colon == authority.npos || authority.find('@') != authority.npos || authority.starts_with('[');
    if (!whole && !is_port(authority.substr(colon + 1))) return true;
  }
  return false;
}

bool has_credentials(std::string_view text) { return without_credentials(text) != text; }

}  // namespace berth
