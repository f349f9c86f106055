#include <algorithm>

#include "agent/jobfile/flags.hpp"
#include "agent/jobfile/working_directory.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::jobfile {
namespace {

constexpr const char* kInput = "-";

bool is_name(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && letter(text.front()) &&
         std::ranges::all_of(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

std::string value_of(const std::string& flag, const std::string& name, const Place& place) {
  if (auto value = place.environment_variable(name)) return std::move(*value);
  throw Error(Code::invalid, flag + ": the variable '" + name + "' is not set here",
              "set it, or name a file that holds it: " + flag + " " + name + "=FILE (- is standard input)");
}

std::string content_of(const std::string& flag, const std::string& name, const std::string& file, const Place& place) {
  if (file.empty())
    throw Error(Code::invalid, flag + ": the file of '" + name + "' is not named",
                "give " + name + "=FILE, or " + name + " alone for the variable of that name");
  if (file == kInput) return place.read_input();
  try {
    return place.read_file(absolute_path(file, place.current_directory));
  } catch (const Error& error) {
    if (error.code() != Code::not_found) throw;
    // Its path may be the secret, mistaken: it is not told.
    throw Error(Code::not_found, flag + ": there is no such file for '" + name + "'",
                "a value does not belong on the command line, where all see it: " + flag + " " + name +
                    "=-  reads it from standard input");
  }
}

model::GivenSecret secret_of(const std::string& flag, const std::string& name, const std::optional<std::string>& file,
                             const Place& place, model::SecretUse use) {
  // What is no name may be the secret itself: it is not told.
  if (!is_name(name))
    throw Error(Code::invalid, flag + ": a secret's name has letters, digits and '_' only",
                "write " + flag + " HF_TOKEN");
  return {file ? content_of(flag, name, *file, place) : value_of(flag, name, place), use};
}

}  // namespace

std::map<std::string, model::GivenSecret> secrets(const Flags& flags, const Place& place) {
  std::map<std::string, model::GivenSecret> all;
  bool input_read = false;
  const auto take = [&](const std::string& flag, const std::string& text, model::SecretUse use) {
    const auto equals = text.find('=');
    const auto name = text.substr(0, equals);
    const auto file = equals == std::string::npos ? std::nullopt : std::optional(text.substr(equals + 1));
    if (all.contains(name))
      throw Error(Code::invalid, flag + ": '" + printable(name) + "' is given twice", "give it once");
    if (file == kInput && std::exchange(input_read, true))
      throw Error(Code::invalid, flag + ": standard input can be one secret only", "give the others by files");
    all[name] = secret_of(flag, name, file, place, use);
  };
  for (const auto& text : flags.secrets) take("--secret", text, {true, false});
  for (const auto& text : flags.secret_variables) take("--secret-env", text, {true, true});
  return all;
}

}  // namespace berth::jobfile
