#include "runtime/environment/credentials.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/base/percent.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/user_text.hpp"

namespace berth::environment {

bool is_url(std::string_view text) {
  const auto scheme = text.substr(0, text.find(std::string_view("://")));
  return scheme.size() < text.size() && !scheme.empty() && is_alphanumeric(scheme[0]) &&
         std::all_of(scheme.begin(), scheme.end(),
                     [&](char c) { return is_alphanumeric(c) || c == '+' || c == '-' || c == '.'; });
}

std::string netrc_of(const std::vector<Credential>& credentials) {
  std::string text;
  for (const auto& [host, login, password] : credentials) {
    // A token may stand for either.
    const auto name = percent_decoded(login);
    const auto secret = percent_decoded(password);
    for (const auto& word : {host, name, secret})
      if (word.find_first_of(" \t\r\n\"\\") != std::string::npos)
        throw Error(Code::invalid,
                    "the credentials for " + printable(host) + " hold a character that cannot be passed on");
    const auto line = "machine " + host + " login " + (name.empty() ? "token" : name) + " password " +
                      (secret.empty() ? "x-oauth-basic" : secret) + "\n";
    if (text.find(line) == std::string::npos) text += line;
  }
  return text;
}

}  // namespace berth::environment
