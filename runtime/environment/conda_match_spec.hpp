#pragma once

// One dependency of a conda environment: conda's "match specification", in every form that environment files
// use.

#include <compare>
#include <map>
#include <string>
#include <string_view>

#include "runtime/environment/user_text.hpp"

namespace berth::environment::conda {

struct MatchSpec {
  std::string channel;  // "conda-forge", a URL; "" for any
  std::string subdir;   // "linux-64"; "" for any
  std::string name;     // lower case
  std::string version;  // "" for any; with its operators and no blanks: "=3.11", "==1.0", ">=1.20,<2", "1.7|1.8"
  std::string build;                           // "" for any; "py38_0", "*mkl*"
  std::map<std::string, std::string> further;  // what brackets may say besides: "md5", "build_number" …
  std::string url;                             // one package file, and then nothing above but its name

  // The same for all ways to write the same thing; micromamba, mamba and conda all read it.
  std::string text() const;

  friend auto operator<=>(const MatchSpec&, const MatchSpec&) = default;
};

// "python=3.11", "numpy >=1.20, <2", "conda-forge::scipy", "blas 2.* *mkl*", "numpy[version='>=1.20',
// build=*mkl*]", a package's URL. Throws Code::invalid naming the place, the reason and the remedy.
MatchSpec parse_match_spec(std::string_view text, const Place& place);

}  // namespace berth::environment::conda
