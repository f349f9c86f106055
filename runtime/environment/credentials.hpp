#pragma once

// User names, passwords and tokens in the URLs of indexes, repositories and channels. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace berth::environment {

struct Credential {
  std::string host;
  std::string login;
  std::string password;
  friend bool operator==(const Credential&, const Credential&) = default;
};

bool is_url(std::string_view text);  // has a scheme, as in "https://"

// "-i https://user:secret@host/x" → "-i https://host/x", whatever is around the URLs; each credential is put
// to the others. The user of "git+ssh://git@host" is no secret and stays.
std::string without_logins(std::string_view text, std::vector<Credential>& credentials);

// Without the logins, and without Anaconda's tokens, which no .netrc could pass on:
// "https://host/t/<token>/channel" → "https://host/channel".
std::string without_credentials(std::string_view text);
std::vector<std::string> without_credentials(std::vector<std::string> texts);
bool has_credentials(std::string_view text);
// Whether a URL has a password that a blank or the like cuts off, so that it cannot be taken out as a whole.
bool has_broken_login(std::string_view text);

// The text of a .netrc file, which pip, uv and git read.
std::string netrc_of(const std::vector<Credential>& credentials);

}  // namespace berth::environment
