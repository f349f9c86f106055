#pragma once

// What pip's requirements files ask for, in one form for all that say the same: includes are put in where
// they stand; comments, continuation lines, the spelling of names and the names of files are gone. Whatever
// would not mean the same on another machine (local paths, -e, variables) is refused. Bounded against hostile
// files. Pure.

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/environment/credentials.hpp"
#include "runtime/environment/spec.hpp"
#include "runtime/environment/user_text.hpp"
#include "runtime/gpu/wanted.hpp"

namespace berth::environment {

// Where packages come from: URLs, without credentials, or absolute paths.
struct Indexes {
  std::string index_url;  // "" for the tool's own, PyPI
  std::vector<std::string> extra_index_urls;
  std::vector<std::string> find_links;
  std::vector<std::string> trusted_hosts;
  bool no_index = false;
  friend bool operator==(const Indexes&, const Indexes&) = default;
};

struct Requirements {
  // "numpy<2,>=1.20 ; python_version<'3.13'" (requirement.hpp) with its hashes and its options of the build
  // behind it.
  std::vector<std::string> requirements;
  std::vector<std::string> constraints;
  std::vector<std::string> options;  // "--only-binary=:all:"; their order counts
  std::set<std::string> switches;    // "--pre"
  Indexes indexes;
  std::vector<Credential> credentials;  // never part of an identity, a record or a log

  bool empty() const { return requirements.empty(); }
  bool has_hashes() const;         // if one requirement or constraint has one, pip wants them of all
  bool has_build_options() const;  // behind a requirement, as --config-settings: pip knows them, uv does not
  // If something comes with a login, or from a place that is named here: what is found there is not for everybody.
  bool are_of_user() const;
  void sort();                     // for whom the order of lines does not count, nor how often each is there

  std::vector<std::string> option_lines() const;  // the indexes and `options`
  std::string requirements_file() const;          // as pip reads it, without the constraints
  std::string constraints_file() const;

  friend bool operator==(const Requirements&, const Requirements&) = default;
};

enum class Logins { taken_out, refused };

// Collects requirements from lines and, through their -r and -c, from `files`. Every error is Code::invalid
// with place, reason and remedy, and repeats no credential.
class RequirementsReader {
 public:
  RequirementsReader(const Files& files, Logins logins) : files_(files), logins_(logins) {}

  // Lines that stand at `place`, from where what they include is looked for.
  void read(std::string_view lines, const Place& place);
  // One requirement, and nothing else that a line may be.
  void read_requirement(std::string_view text, const Place& place);
  Requirements take();

 private:
  enum class As { requirement, constraint };

  void read_lines(std::string_view text, Place place, As as);
  void read_line(std::string_view line, const Place& place, As as);
  std::string checked(std::string_view line, const Place& place);
  void keep(const std::vector<Credential>& credentials, const Place& place);
  void read_options(std::string_view line, const Place& place, As as);
  void include(const std::string& name, const Place& place, As as);
  void count(std::size_t bytes, const Place& place);

  const Files& files_;
  const Logins logins_;
  Requirements result_;
  std::vector<std::string> open_;  // the files being read, outermost first
  std::size_t lines_ = 0;
  std::size_t options_ = 0;
  std::size_t bytes_ = 0;
};

// A whole file, one of `files`, with logins taken out.
Requirements read_requirements(const std::string& file, const Files& files);

// What of CUDA they want: where packages come from tells as much as what they are.
std::vector<gpu::CudaRequirement> cuda_wanted(const Requirements& requirements);

}  // namespace berth::environment
