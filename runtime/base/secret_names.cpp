#include "runtime/base/secret_names.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace berth {
namespace {

// Parts that tell a secret wherever they stand in a name.
constexpr std::array<std::string_view, 6> kTelling{"TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "CREDENTIAL"};
// Words that do, alone or at the end of a longer one where that is usual.
constexpr std::array<std::string_view, 9> kWords{"KEY",     "KEYS", "PWD",  "PASS",  "CREDS",
                                                 "APIKEYS", "PAT",  "AUTH", "BEARER"};
constexpr std::array<std::string_view, 10> kEnds{"APIKEY",     "ACCESSKEY",  "PRIVATEKEY", "AUTHKEY",       "SSHKEY",
                                                 "SIGNINGKEY", "ACCOUNTKEY", "LICENSEKEY", "ENCRYPTIONKEY", "SSHPASS"};
constexpr std::array<std::string_view, 2> kSigned{"SIG", "SIGNATURE"};
// What looks like it and counts, cuts up or orders things.
constexpr std::array<std::string_view, 3> kHarmless{"TOKENIZ", "TOKENIS", "DETOKEN"};

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
char upper(char c) { return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }

// "wandbApiKey2" → WANDB, API, KEY; whatever is no letter separates.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  bool in_word = false;
  for (std::size_t at = 0; at < name.size(); ++at) {
    const char c = name[at];
    if (!is_upper(c) && !is_lower(c)) {
      in_word = false;
      continue;
    }
    const bool hump = is_upper(c) && at > 0 && is_lower(name[at - 1]);
    if (!in_word || hump) words.emplace_back();
    in_word = true;
    words.back() += upper(c);
  }
  return words;
}

bool tells(std::string_view word) {
  const auto in = [&](std::string_view part) { return word.find(part) != std::string_view::npos; };
  if (std::ranges::any_of(kHarmless, in)) return false;
  return std::ranges::any_of(kTelling, in) || std::ranges::find(kWords, word) != kWords.end() ||
         std::ranges::any_of(kEnds, [&](std::string_view end) { return word.ends_with(end); });
}

// A count of them, and no list of secrets.
bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 12 && std::ranges::all_of(text, [](char c) {
    return is_digit(c) || c == '.' || c == '_' || c == '-' || c == '+' || c == 'e' || c == 'k' || c == 'M';
  });
}

}  // namespace

bool names_secret(std::string_view name) {
  if (name == "PWD" || name == "OLDPWD") return false;  // where a shell is
  if (name == "SSH_AUTH_SOCK") return false;            // where an agent listens
  return std::ranges::any_of(words_of(name), tells);
}

bool names_secret_parameter(std::string_view name) {
  return names_secret(name) || std::ranges::any_of(words_of(name), [](std::string_view word) {
           return std::ranges::find(kSigned, word) != kSigned.end();
         });
}

bool only_counts(std::string_view name, std::string_view value) {
  if (!is_number(value)) return false;
  auto words = words_of(name);
  std::erase(words, "TOKENS");
  return std::ranges::none_of(words, tells);
}

}  // namespace berth
