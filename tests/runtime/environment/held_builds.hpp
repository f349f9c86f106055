#pragma once

// Builds that go on for as long as a test wants, in a place where their scripts leave marks.

#include <sys/stat.h>

#include "build_site.hpp"

namespace berth::environment::test {

// A place that the build user may reach, with a directory where his scripts may leave marks.
class Place {
 public:
  Place() {
    ::chmod(scratch.path().c_str(), 0755);
    os::make_directories(marks(), 0777);
    ::chmod(marks().c_str(), 0777);
  }
  std::string marks() const { return scratch / "marks"; }
  std::string mark(const std::string& name) const { return os::join(marks(), name); }
  BuildSettings settings() const { return settings_in(scratch / "environments"); }

  os::TempDir scratch{"builds-test"};
};

// Builds for as long as the file `hold` is there.
inline std::string while_held(const Place& place) {
  return "echo begun >> " + place.mark("begun") + "\nwhile [ -e " + place.mark("hold") + " ]; do sleep 0.02; done\n";
}

inline void hold(const Place& place) { os::write_file(place.mark("hold"), "", 0644, os::Durable::no); }

inline void let_go(const Place& place) { os::remove_file(place.mark("hold")); }

inline Task<> keep(Builds& builds, Recipe recipe, Waiting& waiting, std::vector<Leased>& made) {
  auto leased = co_await builds.ensure(std::move(recipe), waiting);
  made.push_back(std::move(leased));
}

// Nothing of it is left but logs of failures and the tools' cache.
inline bool nothing_left(const BuildSettings& settings, const Recipe& recipe) {
  return !os::exists(os::join(settings.directory, digest_of(recipe).hex()));
}

}  // namespace berth::environment::test
