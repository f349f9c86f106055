#include "runtime/environment/conda_match_spec.hpp"

#include <doctest/doctest.h>

#include <string>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::environment;
using namespace berth::environment::conda;

namespace {

std::string one_form(const std::string& text) { return parse_match_spec(text, {"environment.yml", 7}).text(); }

std::string refusal(const std::string& text) {
  try {
    return "accepted: " + one_form(text);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    CHECK(!error.hint().empty());
    return error.message();
  }
}

}  // namespace

TEST_CASE("all ways to write a dependency come to one form") {
  struct Row {
    std::string written;
    std::string form;
  };
  for (const auto& row : {
           Row{"numpy", "numpy"},
           {"Pillow", "pillow"},
           {" numpy  # for arrays", "numpy"},
           {"numpy *", "numpy"},
           {"numpy=*", "numpy"},
           {"_libgcc_mutex", "_libgcc_mutex"},
           {"python=3.11", "python=3.11"},
           {"python = 3.11", "python=3.11"},
           {"python =3.11", "python=3.11"},
           {"python==3.11.4", "python==3.11.4"},
           {"python 3.11.4", "python==3.11.4"},
           {"python[version=3.11.4]", "python==3.11.4"},
           {"python=3.11.*", "python=3.11.*"},
           {"python 3.11.*", "python=3.11.*"},
           {"numpy>=1.20,<2", "numpy>=1.20,<2"},
           {"numpy >=1.20, <2", "numpy>=1.20,<2"},
           {"numpy >= 1.20 , < 2", "numpy>=1.20,<2"},
           {"numpy[version='>=1.20,<2']", "numpy>=1.20,<2"},
           {"numpy~=1.20", "numpy~=1.20"},
           {"numpy!=1.21", "numpy!=1.21"},
           {"numpy 1.7|1.8", "numpy[version='1.7|1.8']"},
           {"numpy=1.20=py38_0", "numpy=1.20=py38_0"},
           {"numpy==1.20=py38_0", "numpy=1.20=py38_0"},
           {"numpy 1.20 py38_0", "numpy=1.20=py38_0"},
           {"numpy[version='==1.20', build=\"py38_0\"]", "numpy=1.20=py38_0"},
           {"blas=*=*mkl*", "blas[build='*mkl*']"},
           {"blas * *mkl*", "blas[build='*mkl*']"},
           {"blas=*=*", "blas"},
           {"blas 2.* mkl", "blas=2.*=mkl"},
           {"python=3.8.*=*_cpython", "python=3.8.*=*_cpython"},
           {"numpy>=1.20=*mkl*", "numpy[build='*mkl*',version='>=1.20']"},
           {"numpy >=1.20 *mkl*", "numpy[build='*mkl*',version='>=1.20']"},
           {"numpy[build=*mkl*, version='>=1.20']", "numpy[build='*mkl*',version='>=1.20']"},
           {"conda-forge::scipy=1.11", "conda-forge::scipy=1.11"},
           {"scipy[channel=conda-forge,version='1.11.*']", "conda-forge::scipy=1.11.*"},
           {"conda-forge/linux-64::scipy", "conda-forge/linux-64::scipy"},
           {"scipy[channel=conda-forge, subdir=linux-64]", "conda-forge/linux-64::scipy"},
           {"pkgs/main::openssl", "pkgs/main::openssl"},
           {"https://host/channel::scipy", "https://host/channel::scipy"},
           {"file:///srv/channel::hello>=1", "file:///srv/channel::hello>=1"},
           {"scipy[md5=0123456789abcdef]", "scipy[md5='0123456789abcdef']"},
           {"https://host/c/linux-64/scipy-1.11-py_0.conda", "https://host/c/linux-64/scipy-1.11-py_0.conda"},
       }) {
    CAPTURE(row.written);
    CHECK(one_form(row.written) == row.form);
    CHECK(one_form(row.form) == row.form);
  }
}

TEST_CASE("a dependency that cannot be read says why, with its place") {
  struct Row {
    std::string written;
    std::string why;
  };
  for (const auto& row : {
           Row{"", "is empty"},
           {"# only this", "is empty"},
           {"--yes", "is an option, not a package"},
           {"-c conda-forge", "is an option, not a package"},
           {">=1.0", "does not start with a package's name"},
           {"a b c d", "strange build string"},
           {"numpy>=", "operator without a version"},
           {"numpy>", "cannot be read"},
           {"numpy>=1,", "cannot be read"},
           {"numpy=1;rm", "cannot be read"},
           {"numpy[version=1", "not closed"},
           {"numpy[version]", "not lists of key=value"},
           {"numpy[version='1]", "quote that is not closed"},
           {"numpy[colour=red]", "unknown key 'colour'"},
           {"numpy=1.0[version=2]", "tells its version twice"},
           {"numpy[version='', build=py38_0]", "empty version"},
           {"python===3.8.*=*_cpython", "an operator that conda does not know"},
           {"./local::numpy", "on the machine where it was written"},
           {"./numpy-1.0-0.conda", "on the machine where it was written"},
           {"/tmp/numpy-1.0-0.tar.bz2", "on the machine where it was written"},
           {"https://host/nothing.conda", "not the URL of a conda package"},
           {"$CHANNEL::numpy", "uses the variable $CHANNEL"},
           {"::numpy", "names no proper channel"},
           {"num\npy", "does not start with"},
           {"num\x01py", "does not start with"},
       }) {
    CAPTURE(row.written);
    const auto said = refusal(row.written);
    CAPTURE(said);
    CHECK(said.starts_with("environment.yml:7: "));
    CHECK(said.find(row.why) != std::string::npos);
  }
  CHECK(refusal(std::string(2000, 'a')).find("longer than 1024") != std::string::npos);
}

TEST_CASE("a secret in a dependency is refused and not repeated") {
  for (const char* text : {"https://user:word@host/c::numpy", "https://host/t/word/c::numpy",
                           "numpy[channel=https://user:word@host/c]", "https://user:word@host/numpy-1-0.conda"}) {
    const auto said = refusal(text);
    CAPTURE(said);
    CHECK(said.find("token") != std::string::npos);
    CHECK(said.find("user:") == std::string::npos);
  }
}
