// The configuration that the package installs is the reference: every key, with its default, commented out.

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>

#include "agent/daemon/config.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;

namespace {

struct Key {
  std::string line;  // "log_cap: 1GiB"
  bool has_default = true;
};

bool is_key_line(const std::string& line) {
  return line.size() > 1 && line[0] == '#' && line[1] >= 'a' && line[1] <= 'z' && line.find(": ") != std::string::npos;
}

// "#key: value" with the paragraph above it, which says "Unset:" where the value is only an example.
std::map<std::string, Key> keys_of(const std::string& text) {
  std::map<std::string, Key> keys;
  std::istringstream lines(text);
  bool has_default = true;
  for (std::string line; std::getline(lines, line);) {
    if (is_key_line(line)) keys[line.substr(1, line.find(':') - 1)] = {line.substr(1), has_default};
    if (line.empty()) has_default = true;
    if (line.find("Unset:") != std::string::npos) has_default = false;
  }
  return keys;
}

std::set<std::string> known_keys() {
  std::set<std::string> keys;
  try {
    daemon::parse_config("no_such_key: 1", "x", {});
  } catch (const Error& error) {
    const auto colon = error.hint().find(": ");
    REQUIRE(colon != std::string::npos);
    std::istringstream list(error.hint().substr(colon + 2));
    for (std::string key; std::getline(list >> std::ws, key, ',');) keys.insert(key);
  }
  return keys;
}

std::string installed() { return os::read_file(BERTH_INSTALLED_CONFIG, 1U << 20); }

}  // namespace

TEST_CASE("the installed configuration names every key, and no other") {
  std::set<std::string> named;
  for (const auto& [key, line] : keys_of(installed())) named.insert(key);
  CHECK(named == known_keys());
}

TEST_CASE("as installed, and with every default written out, it changes nothing") {
  const auto defaults = daemon::system_defaults();
  CHECK(daemon::parse_config(installed(), "berthd.yaml", defaults) == defaults);
  for (const auto& [key, entry] : keys_of(installed())) {
    INFO(entry.line);
    const auto config = daemon::parse_config(entry.line, "berthd.yaml", defaults);
    CHECK((config == defaults) == entry.has_default);
  }
}

TEST_CASE("with every key uncommented it is right as a whole") {
  std::string text;
  for (const auto& [key, entry] : keys_of(installed())) text += entry.line + "\n";
  CHECK_NOTHROW(daemon::parse_config(text, "berthd.yaml", daemon::system_defaults()));
}
