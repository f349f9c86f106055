#pragma once

// The `pip:` part of a conda environment: the lines of a requirements file, with what they include put in
// their place. What it comes to does not depend on the files' names, nor on how the lines are spread over
// them.

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/environment/conda_text.hpp"
#include "runtime/environment/spec.hpp"

namespace berth::environment::conda {

struct PipPart {
  std::vector<std::string> options;    // "--extra-index-url=…", as pip reads them; their order counts
  std::set<std::string> switches;      // "--pre"
  std::set<std::string> requirements;  // one a line, hashes and markers on it
  std::set<std::string> constraints;

  bool empty() const { return requirements.empty(); }
  std::string requirements_file() const;  // as pip reads it, without the constraints
  std::string constraints_file() const;

  friend bool operator==(const PipPart&, const PipPart&) = default;
};

// Collects a pip part from lines and, through their -r and -c, from `files`. Everything that would not mean
// the same on another machine (local paths, -e, variables) and every credential is Code::invalid, with place
// and remedy.
class PipReader {
 public:
  explicit PipReader(const Files& files) : files_(files) {}

  // With this, an included file that is missing is noted rather than an error.
  void note_missing(std::set<std::string>& missing) { missing_ = &missing; }

  // Lines that stand at `place`, such as one entry of the list in environment.yml.
  void read(std::string_view lines, const Place& place);
  PipPart take() { return std::move(part_); }

 private:
  enum class As { requirement, constraint };

  void read_lines(std::string_view text, Place place, As as);
  void read_line(std::string_view line, const Place& place, As as);
  void read_options(std::string_view line, const Place& place, As as);
  void take_option(const std::string& name, const std::string& value, const Place& place, As as);
  void include(const std::string& name, const Place& place, As as);
  void count(const Place& place);

  const Files& files_;
  std::set<std::string>* missing_ = nullptr;
  PipPart part_;
  std::vector<std::string> open_;  // the files being read, outermost first
  std::size_t lines_ = 0;
};

// One requirement in its one form: "scikit_learn [a]>= 1.0,<2" and "Scikit-Learn[a]<2,>=1.0" are the same.
std::string parse_requirement(std::string_view line, const Place& place);

}  // namespace berth::environment::conda
