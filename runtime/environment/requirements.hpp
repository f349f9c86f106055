#pragma once

// What pip's requirements files ask for, in one form for all that say the same: includes are put in,
// comments, continuation lines, the spelling of names and the names of files are gone. The order of lines
// stays. Pure.

#include <string>
#include <vector>

#include "runtime/environment/requirement.hpp"
#include "runtime/environment/spec.hpp"

namespace berth::environment {

// Where packages come from. URLs are without credentials.
struct Indexes {
  std::string index_url;  // "" for the tool's own, PyPI
  std::vector<std::string> extra_index_urls;
  std::vector<std::string> find_links;
  std::vector<std::string> trusted_hosts;
  bool no_index = false;
  friend bool operator==(const Indexes&, const Indexes&) = default;
};

struct Requirements {
  std::vector<std::string> requirements;  // "numpy<2,>=1.20;python_version<'3.13'", with hashes where given
  std::vector<std::string> constraints;
  std::vector<std::string> options;  // "--pre", "--only-binary=:all:"
  Indexes indexes;
  std::vector<Credential> credentials;  // never part of an identity, a record or a log

  bool has_hashes() const;
};

// `file` is one of `files`, from where includes are looked for too. Errors (Code::invalid) name file and
// line: what would be read from this machine or from the user's own directory is refused, as are included
// files that were not sent.
Requirements read_requirements(const std::string& file, const Files& files);

}  // namespace berth::environment
