#pragma once

// User names, passwords and tokens in URLs, whatever text is around them. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace berth {

struct Credential {
  std::string host;
  std::string login;
  std::string password;
  friend bool operator==(const Credential&, const Credential&) = default;
};

// "-i https://user:secret@host/x" → "-i https://host/x", whatever is around the URLs; each credential is put
// to the others. The user of "git+ssh://git@host" is no secret and stays.
std::string without_logins(std::string_view text, std::vector<Credential>& credentials);

// Without the logins, and without what no .netrc could pass on: Anaconda's tokens
// ("https://host/t/<token>/channel" → "https://host/channel"), and what parameters stand for that are named like
// secrets ("https://host/x?v=1&sig=<signature>" → "https://host/x?v=1&sig=***").
std::string without_credentials(std::string_view text);
std::vector<std::string> without_credentials(std::vector<std::string> texts);
bool has_credentials(std::string_view text);
// What is secret of them, as it is written: passwords, logins that have none, Anaconda's tokens and such parameters.
std::vector<std::string> secrets_in_urls(std::string_view text);
// Whether a URL has a password that a blank or the like cuts off, so that it cannot be taken out as a whole.
bool has_broken_login(std::string_view text);

}  // namespace berth
