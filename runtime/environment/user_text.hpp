#pragma once

// What the readers of users' files share: the place of an error, and questions about words.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::environment {

// Where in a user's file something stands.
struct Place {
  std::string file;
  std::size_t line = 1;
};

// Throws Code::invalid: "environment.yml:7: <why>", with the remedy as its hint.
[[noreturn]] void refuse(const Place& place, const std::string& why, const std::string& remedy);

bool is_alphanumeric(char c);  // in ASCII
std::string_view trimmed(std::string_view text);
// The pieces between separators that are not blank, without the blanks around them.
std::vector<std::string> split(std::string_view text, char separator);
std::string lower_case(std::string_view text);  // of ASCII
// At blanks; a quoted part belongs to its word, without the quotes.
std::vector<std::string> words_of(std::string_view text);
// Without the '#' comment: one that starts the text or follows a blank, so that a URL's fragment stays.
std::string_view without_comment(std::string_view text);
// Relative to the directory of `from`, with "." and ".." resolved as far as that goes; nothing where it names no
// file.
std::optional<std::string> relative_to(std::string_view from, std::string_view name);

// The first "${NAME}" or "$NAME" in the text, as both conda and pip would replace them; "" for none.
std::string variable_reference(std::string_view text);

// For a POSIX shell: 'it'"'"'s'.
std::string shell_quoted(std::string_view text);

}  // namespace berth::environment
