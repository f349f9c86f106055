#pragma once

// .dockerignore with Docker's own rules: every pattern is relative to the context, the last that matches
// decides, "!" takes back, and what matches a directory matches all below it.

#include <string>
#include <string_view>
#include <vector>

namespace berth::docker {

class IgnoreFile {
 public:
  IgnoreFile() = default;
  // Throws Error(Code::invalid) naming the line, for an unfinished [set].
  static IgnoreFile parse(std::string_view content);

  // `path` is relative to the context: "a/b".
  bool ignores(std::string_view path) const;
  // Whether something below an ignored directory could be taken back.
  bool takes_back() const { return takes_back_; }

 private:
  struct Pattern {
    std::string text;
    bool negated = false;
  };
  std::vector<Pattern> patterns_;
  bool takes_back_ = false;
};

// Go's path.Match with "**" for any number of directories: * ? [set] [^set] and backslash.
bool matches_path(std::string_view pattern, std::string_view path);

}  // namespace berth::docker
