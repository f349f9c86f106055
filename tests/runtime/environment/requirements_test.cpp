#include "runtime/environment/requirements.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "runtime/environment/pyproject.hpp"
#include "runtime/environment/python_version.hpp"

namespace environment = berth::environment;
using berth::Code;
using berth::Error;
using environment::Credential;
using environment::Files;
using environment::read_pyproject;
using environment::read_requirements;
using environment::Requirements;
using Lines = std::vector<std::string>;

namespace {

Requirements of(const std::string& text) {
  return read_requirements("requirements.txt", {{"requirements.txt", text}});
}

Error failure_of(const std::string& text, const Files& more = {}) {
  Files files = more;
  files["requirements.txt"] = text;
  try {
    read_requirements("requirements.txt", files);
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error for " << text);
  return Error(Code::internal, "");
}

bool says(const Error& error, const std::string& text) {
  return error.describe().find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("requirements that say the same are written the same") {
  const Lines same{"numpy<2,>=1.20",
                   "my-package[a-b,c]==1.0;python_version<'3.13' and sys_platform=='linux'"};
  CHECK(of("NumPy >= 1.20 , <2\nMy_Package[c, A_b] == 1.0 ; python_version < \"3.13\"  and "
           "sys_platform==\"linux\"\n")
            .requirements == same);
  CHECK(of("# a comment\n\nnumpy<2,>=1.20   # why\r\nmy.package[a-b,c]\\\n ==1.0; python_version<'3.13' and "
           "sys_platform=='linux'")
            .requirements == same);
  CHECK(of("numpy (>=1.20,<2)\n").requirements == Lines{same[0]});
}

TEST_CASE("what differs stays different") {
  CHECK(of("a==1\n").requirements != of("a==2\n").requirements);
  CHECK(of("a\nb\n").requirements != of("b\na\n").requirements);
  CHECK(of("https://h/a.zip#sha256=1\n").requirements != of("https://h/a.zip#sha256=2\n").requirements);
}

TEST_CASE("includes are put in where they stand, and found from the file that names them") {
  const Files files{{"requirements.txt", "-r sub/base.txt\nlast\n-c limits.txt\n"},
                    {"sub/base.txt", "first\n--requirement=more.txt\n"},
                    {"sub/more.txt", "second # twice\n"},
                    {"limits.txt", "numpy==1.26\n-r sub/more.txt\n"}};
  const auto read = read_requirements("requirements.txt", files);
  CHECK(read.requirements == Lines{"first", "second", "last"});
  CHECK(read.constraints == Lines{"numpy==1.26", "second"});
  CHECK(says(failure_of("-r absent.txt\n"), "absent.txt was not sent"));
  CHECK(says(failure_of("-r ../up.txt\n"), "../up.txt was not sent"));
  CHECK(says(failure_of("-r loop.txt\n", {{"loop.txt", "a\n-r requirements.txt\n"}}), "includes itself"));
  CHECK(failure_of("-r https://example.org/r.txt\n").code() == Code::unsupported);
}

TEST_CASE("hashes stay with their requirement") {
  const auto read = of("a==1 \\\n    --hash=sha256:bb \\\n    --hash sha256:aa\nb==2 --hash=sha256:cc\n");
  CHECK(read.requirements == Lines{"a==1 --hash=sha256:aa --hash=sha256:bb", "b==2 --hash=sha256:cc"});
  CHECK(read.has_hashes());
  CHECK(says(failure_of("a --global-option=x\n"), "not known behind a requirement"));
}

TEST_CASE("indexes and options are read, credentials are taken out") {
  const auto read =
      of("-i https://me:s%20cret@index.example/simple\n--extra-index-url=https://token@other.example:8443/x\n"
         "--find-links /srv/wheels\n--trusted-host index.example\n--pre\n--only-binary :all:\n"
         "lib @ git+https://key@git.example/lib.git@v1\ntool @ https://files.example/tool-1.zip ; os_name == "
         "'posix'\n");
  CHECK(read.indexes.index_url == "https://index.example/simple");
  CHECK(read.indexes.extra_index_urls == Lines{"https://other.example:8443/x"});
  CHECK(read.indexes.find_links == Lines{"/srv/wheels"});
  CHECK(read.indexes.trusted_hosts == Lines{"index.example"});
  CHECK(read.options == Lines{"--pre", "--only-binary=:all:"});
  CHECK(read.requirements == Lines{"lib @ git+https://git.example/lib.git@v1",
                                   "tool @ https://files.example/tool-1.zip ; os_name=='posix'"});
  REQUIRE(read.credentials.size() == 3);
  CHECK(read.credentials[0] == Credential{"index.example", "me", "s%20cret"});
  CHECK(read.credentials[1] == Credential{"other.example", "token", ""});
  CHECK(read.credentials[2] == Credential{"git.example", "key", ""});
  CHECK(of("git+ssh://git@git.example/lib.git\n").credentials.empty());
  CHECK_THROWS_AS(environment::netrc_of({{"h", "a", "b%20c"}}), Error);
  CHECK(environment::netrc_of({{"h", "a", "b%2Fc"}}) == "machine h login a password b/c\n");
}

TEST_CASE("what is on the user's own machine is refused, with file and line") {
  for (const auto* text : {"-e .\n", "--editable=./lib\n", "./lib\n", "../lib\n", "/srv/lib\n", "lib/sub\n",
                           ".\n", "lib-1.0-py3-none-any.whl\n", "lib @ file:///srv/lib\n", "lib @ ../lib\n",
                           "file:lib\n", "git+file:///srv/lib\n", "-f wheels\n", "~/lib\n"}) {
    CAPTURE(text);
    const auto error = failure_of(std::string("ok\n\\\n\n") + text);
    CHECK(error.code() == Code::invalid);
    CHECK(says(error, "is on your own machine"));
    CHECK(says(error, "in requirements.txt, line 4"));
    CHECK(!error.hint().empty());
  }
}

TEST_CASE("what cannot be read is told") {
  CHECK(says(failure_of("a=1\n"), "'=1' is no version"));
  CHECK(says(failure_of("a 1\n"), "is no version"));
  CHECK(says(failure_of("a[b\n"), "] is missing"));
  CHECK(says(failure_of("--unknown x\n"), "'--unknown' is not known"));
  CHECK(says(failure_of("-r\n"), "needs a value"));
  CHECK(says(failure_of("-i https://${TOKEN}@host/simple\n"), "'${TOKEN}' is not set"));
}

TEST_CASE("a pyproject's dependencies and wanted Python are read") {
  const auto project = read_pyproject(
      "[project]\nname = 'x'\nrequires-python = \">=3.10\" # why\ndependencies = [\n  \"NumPy >=1\", # a "
      "comment\n"
      "  'b[c] ; python_version < \"3.12\"',\n]\n[tool.other]\nkey = 1\n");
  CHECK(project.requires_python == ">=3.10");
  CHECK(project.requirements.requirements == Lines{"numpy>=1", "b[c];python_version<'3.12'"});
  CHECK(read_pyproject("[project]\nname='x'\n").requirements.requirements.empty());
  const auto failure = [](const std::string& text) {
    try {
      read_pyproject(text);
    } catch (const Error& error) {
      return error;
    }
    return Error(Code::internal, "");
  };
  CHECK(says(failure("[tool.poetry]\n"), "has no [project]"));
  CHECK(failure("[project]\ndynamic=['dependencies']\n").code() == Code::unsupported);
  CHECK(says(failure("[project\n"), "in line 1"));
  CHECK(says(failure("[project]\ndependencies=['./lib']\n"), "on your own machine"));
  CHECK(says(failure("[project]\ndependencies=[1]\n"), "is no text"));
}

TEST_CASE("wanted Pythons") {
  const auto wanted = [](const char* wish) { return environment::is_wanted("3.11.2", wish); };
  for (const auto* wish :
       {"", "3", "3.11", "3.11.2", ">=3.10", ">=3.10,<3.12", "~=3.10", "~=3.11.1", "==3.11.*", "!=3.10.*",
        "<=3.11.2", " >= 3.11 , != 3.11.1 ", "===3.11.2", "3.11.*"}) {
    CAPTURE(wish);
    CHECK(wanted(wish));
  }
  for (const auto* wish :
       {"3.1", "3.12", "2", "3.11.4", ">3.11.2", "<3.11", "==3.11", "~=3.11.3", "!=3.11.2", "~=4.0"}) {
    CAPTURE(wish);
    CHECK(!wanted(wish));
  }
  for (const auto* wish : {"three", ">=", "~=3", "3.x", "=>3.10"}) {
    CAPTURE(wish);
    CHECK_THROWS_AS(wanted(wish), Error);
  }
}
