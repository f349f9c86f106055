#pragma once

// One requirement of a Python package, and the URLs and credentials in it. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace berth::environment {

// Taken out of a URL.
struct Credential {
  std::string host;
  std::string login;
  std::string password;
  friend bool operator==(const Credential&, const Credential&) = default;
};

// One requirement in its canonical form, credentials taken out.
std::string canonical_requirement(const std::string& text, std::vector<Credential>& credentials);

// "https://user:secret@host/x" → "https://host/x", with the credential put to the others.
std::string without_credentials(const std::string& url, std::vector<Credential>& credentials);

// The text of a .netrc file, which pip, uv and git read.
std::string netrc_of(const std::vector<Credential>& credentials);

// The pieces between separators that are not blank, without the white space around them.
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trimmed(std::string_view text);
bool is_url(std::string_view text);
// Code::invalid, for what an environment cannot be built of elsewhere than on the user's machine.
[[noreturn]] void refuse_local(std::string_view what);

}  // namespace berth::environment
