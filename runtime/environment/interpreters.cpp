#include "runtime/environment/interpreters.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/python_version.hpp"
#include "runtime/environment/requirement.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {
namespace {

namespace fs = std::filesystem;

// "python3", "python3.11", and no "python3-config".
bool is_python_name(const std::string& name) {
  return name.starts_with("python3") && name.find_first_not_of("0123456789.", 7) == std::string::npos;
}

bool newer(const std::string& a, const std::string& b) {
  const auto version = [](const std::string& path) { return release_of(os::name_of(path).substr(6)); };
  return version(b) < version(a);
}

// Newest first.
std::vector<std::string> pythons_in(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(directory, failure))
    if (is_python_name(entry.path().filename().string())) found.push_back(entry.path().string());
  std::sort(found.begin(), found.end(), newer);
  return found;
}

// DIRECTORY/*/bin/python3, newest first as far as names tell.
std::vector<std::string> versions_below(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(directory, failure))
    if (const auto path = entry.path() / "bin/python3"; fs::exists(path, failure)) found.push_back(path.string());
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::string listed(const std::vector<std::string>& there) {
  if (there.empty()) return "there is none at all";
  std::string text;
  for (const auto& each : there) text += (text.empty() ? "there are " : ", ") + each;
  return text;
}

std::string wish_of(const std::vector<std::string>& wishes) {
  std::string text;
  for (const auto& wish : wishes)
    if (!wish.empty()) text += (text.empty() ? " " : ", ") + printable(wish);
  return text;
}

}  // namespace

std::vector<std::string> Interpreters::candidates(int place) const {
  if (place == 0) return named_;
  std::vector<std::string> found;
  const auto add = [&](const std::vector<std::string>& more) { found.insert(found.end(), more.begin(), more.end()); };
  for (const auto& directory : split(path_, ':')) {
    if (!directory.starts_with('/') || place == 3) continue;
    if (place == 2) add(pythons_in(directory));
    if (const auto plain = os::join(directory, "python3"); place == 1 && os::exists(plain)) add({plain});
  }
  if (place != 3) return found;
  const auto self = os::identity_of(::geteuid());
  const auto home = self ? self->home : std::string("/");
  for (const auto& root : {home + "/.pyenv", std::string("/opt/pyenv")}) add(versions_below(root + "/versions"));
  for (const auto& root : {home + "/.local/share/uv/python", std::string("/opt/uv/python")}) add(versions_below(root));
  return found;
}

// Nothing where it is no Python that the user can run.
std::optional<Python> Interpreters::look(const std::string& path) {
  const auto stamp = stamp_of(path);
  const auto known = known_.find(path);
  if (known != known_.end() && known->second.stamp == stamp &&
      known->second.executable_stamp == stamp_of(known->second.python.executable))
    return known->second.python;
  try {
    auto python = look_at_python(path, identity_, patience_);
    // A venv of a venv is none of its own.
    if (python.is_venv || python.executable.empty()) return std::nullopt;
    known_[path] = Known{stamp, stamp_of(python.executable), python};
    return python;
  } catch (const Error&) {
    return std::nullopt;
  }
}

Python Interpreters::find(const std::vector<std::string>& wishes) {
  for (const auto& wish : wishes) (void)is_wanted("3", wish);  // malformed ones are told whatever there is
  const std::lock_guard lock(mutex_);
  std::vector<std::string> there;
  for (int place = 0; place < kPlaces; ++place)
    for (const auto& path : candidates(place)) {
      const auto python = look(path);
      if (!python) continue;
      const auto fits = [&](const std::string& wish) { return is_wanted(python->version, wish); };
      if (std::all_of(wishes.begin(), wishes.end(), fits)) return *python;
      const auto name = python->version + " (" + printable(python->executable) + ")";
      if (std::find(there.begin(), there.end(), name) == there.end()) there.push_back(name);
    }
  throw Error(Code::not_found, "this machine has no Python" + wish_of(wishes) + "; " + listed(there),
              "install it, or name one that is elsewhere in the agent's configuration");
}

}  // namespace berth::environment
