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
using environment::Logins;
using environment::read_pyproject;
using environment::read_requirements;
using environment::Requirements;
using environment::RequirementsReader;
using Lines = std::vector<std::string>;

namespace {

Requirements of(const std::string& text) { return read_requirements("requirements.txt", {{"requirements.txt", text}}); }

Error failure_of(const std::string& text, const Files& more = {}) {
  Files files = more;
  files["requirements.txt"] = text;
  try {
    read_requirements("requirements.txt", files);
  } catch (const Error& error) {
    CHECK(!error.hint().empty());
    return error;
  }
  FAIL("no error for " << text);
  return Error(Code::internal, "");
}

bool says(const Error& error, const std::string& text) { return error.describe().find(text) != std::string::npos; }

// As the pip part of an environment.yml is read.
Requirements part(const std::string& lines, const Files& files = {}) {
  RequirementsReader reader(files, Logins::refused);
  reader.read(lines, {"environment.yml", 9});
  auto found = reader.take();
  found.sort();
  return found;
}

std::string refusal(const std::string& lines, const Files& files = {}) {
  try {
    return "accepted: " + part(lines, files).requirements_file();
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    CHECK(!error.hint().empty());
    return error.message();
  }
}

}  // namespace

TEST_CASE("requirements that say the same are written the same") {
  const Lines same{"numpy<2,>=1.20", "my-package[a-b,c]==1.0 ; python_version<'3.13' and sys_platform=='linux'"};
  CHECK(of("NumPy >= 1.20 , <2\nMy_Package[c, A-b] == 1.0 ; python_version < \"3.13\"  and "
           "sys_platform==\"linux\"\n")
            .requirements == same);
  CHECK(of("# a comment\n\nnumpy<2,>=1.20   # why\r\nmy.package[a-b,c]\\\n ==1.0; python_version<'3.13' and "
           "sys_platform=='linux'")
            .requirements == same);
  CHECK(of("numpy (>=1.20,<2)\n").requirements == Lines{same[0]});
}

TEST_CASE("a comment ends with its own line, and is none within a word") {
  CHECK(of("a\\\n# b \\\nc\n#d\\\n\\\ne\\").requirements == Lines{"a", "c", "e"});
  CHECK(of("https://h/a#egg=b # c\n").requirements == Lines{"https://h/a#egg=b"});
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
  CHECK(says(failure_of("-r absent.txt\n"), "'absent.txt', which was not sent"));
  CHECK(says(failure_of("-r ../up.txt\n"), "'../up.txt', which was not sent"));
  CHECK(says(failure_of("-r loop.txt\n", {{"loop.txt", "a\n-r requirements.txt\n"}}),
             "loop.txt:2: includes 'requirements.txt', which includes this file again"));
  CHECK(says(failure_of("-r https://example.org/r.txt\n"), "may change at any time"));
  CHECK(says(failure_of("-r latin.txt\n", {{"latin.txt", "\xe9"}}), "latin.txt:1: is not UTF-8"));
  CHECK_THROWS_AS(read_requirements("gone.txt", files), Error);
}

TEST_CASE("what is included stands in its place, whatever the files are called") {
  const Files files{{"r/base.txt", "# comment\nnumpy==1.26 \\\n  --hash=sha256:aa\n-r more.txt\n-c ../limits.txt\n"},
                    {"r/more.txt", "pandas\r\n"},
                    {"limits.txt", "six<2\n"}};
  const auto spread = part("-r r/base.txt", files);
  RequirementsReader reader(files, Logins::refused);
  for (const char* line : {"pandas", "numpy==1.26 --hash=sha256:aa", "-c limits.txt"})
    reader.read(line, {"environment.yml", 1});
  auto listed = reader.take();
  listed.sort();
  CHECK(spread == listed);
  CHECK(spread.requirements_file() == "numpy==1.26 --hash=sha256:aa\npandas\n");
  CHECK(spread.constraints_file() == "six<2\n");
}

TEST_CASE("hashes stay with their requirement") {
  const auto read = of("a==1 \\\n    --hash=sha256:bb \\\n    --hash sha256:aa\nb==2 --hash=sha256:cc\n");
  CHECK(read.requirements == Lines{"a==1 --hash=sha256:aa --hash=sha256:bb", "b==2 --hash=sha256:cc"});
  CHECK(read.has_hashes());
  CHECK(of("a==1\t--hash=sha256:b\t--hash=sha256:a --hash=sha256:b\n").requirements ==
        Lines{"a==1 --hash=sha256:a --hash=sha256:b"});
  CHECK(read_requirements("r", {{"r", "a\n-c c"}, {"c", "a==1 --hash=sha256:aa"}}).has_hashes());
  CHECK(!of("a @ https://h/a.zip#sha256=1\nb --config-settings='c --hash=d'\n").has_hashes());
  CHECK(says(failure_of("a --frobnicate=x\n"), "'--frobnicate' is not known behind a requirement"));
}

TEST_CASE("options of the build stay behind their requirement, in their order") {
  const auto read =
      of("a --config-setting=x=1 --global-option \"b c\" --hash=sha256:aa\nb ; os_name=='x' "
         "--config-settings \"a=b c\"\n");
  CHECK(read.requirements == Lines{"a --hash=sha256:aa --config-settings=\"x=1\" --global-option=\"b c\"",
                                   "b ; os_name=='x' --config-settings=\"a=b c\""});
  CHECK(of(read.requirements_file()) == read);
  CHECK(read.has_build_options());
  CHECK(!of("a==1 --hash=sha256:aa\n").has_build_options());
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
  CHECK(read.options == Lines{"--only-binary=:all:"});
  CHECK(read.switches == std::set<std::string>{"--pre"});
  CHECK(read.requirements == Lines{"lib @ git+https://git.example/lib.git@v1",
                                   "tool @ https://files.example/tool-1.zip ; os_name=='posix'"});
  REQUIRE(read.credentials.size() == 3);
  CHECK(read.credentials[0] == Credential{"index.example", "me", "s%20cret"});
  CHECK(read.credentials[1] == Credential{"other.example", "token", ""});
  CHECK(read.credentials[2] == Credential{"git.example", "key", ""});
  CHECK(of("git+ssh://git@git.example/lib.git\n").credentials.empty());
  CHECK(of("-i https://a@h/\n-f https://a@h/\n").credentials.size() == 1);
}

TEST_CASE("options come to one form, and the order of those that count is kept") {
  const auto found = part(
      "--pre\n-i https://a/simple\n--extra-index-url=https://b --extra-index-url "
      "https://c\n-f/wheels\n--no-index");
  CHECK(found.requirements_file() ==
        "--index-url=https://a/simple\n--extra-index-url=https://b\n--extra-index-url=https://"
        "c\n--find-links=/wheels\n"
        "--no-index\n--pre\n");
  CHECK(part("--extra-index-url https://b\n--extra-index-url https://c") !=
        part("--extra-index-url https://c\n--extra-index-url https://b"));
  CHECK(part("--pre\n--prefer-binary") == part("--prefer-binary --pre --no-cache-dir"));
  CHECK(part("--pypi-url https://a\n-i https://b\n-f /x\n-f /x") == part("-f \"/x\"\n-i https://b"));
  CHECK(part("--no-binary a\n--only-binary a\n--no-binary a") == part("--only-binary=a\n--no-binary=a"));
  CHECK(part("--only-binary=a\n--no-binary=a") != part("--no-binary=a\n--only-binary=a"));
  CHECK(part("a\nb") == part("b\na\nb"));
}

TEST_CASE("what is on the user's own machine is refused, with file and line") {
  for (const auto* text : {"-e .\n", "--editable=./lib\n", "./lib\n", "../lib\n", "/srv/lib\n", "lib/sub\n", ".\n",
                           "lib-1.0-py3-none-any.whl\n", "lib @ file:///srv/lib\n", "lib @ ../lib\n", "file:lib\n",
                           "git+file:///srv/lib\n", "-f wheels\n", "-i simple\n", "~/lib\n"}) {
    CAPTURE(text);
    const auto error = failure_of(std::string("ok\n\\\n\n") + text);
    CHECK(error.code() == Code::invalid);
    CHECK(says(error, "where it was written"));
    CHECK(error.message().starts_with("requirements.txt:4: "));
  }
}

TEST_CASE("what cannot be read is told") {
  CHECK(says(failure_of("a=1\n"), "'=1' is no version"));
  CHECK(says(failure_of("a 1\n"), "is no version"));
  CHECK(says(failure_of("a[b\n"), "brackets that are not closed"));
  CHECK(says(failure_of("--unknown x\n"), "'--unknown' is not known"));
  CHECK(says(failure_of("-r\n"), "has no value"));
  CHECK(says(failure_of("-i https://${TOKEN}@host/simple\n"), "'-i https://host/simple' uses a variable"));
}

TEST_CASE("what pip could not do elsewhere says why, with its place") {
  struct Row {
    std::string written;
    std::string why;
  };
  for (const auto& row : {
           Row{"-e .", "installs a directory"},
           {"--editable=git+https://host/x", "installs a directory"},
           {"./dist/a-1.0-py3-none-any.whl", "is a path on the machine"},
           {"a-1.0-py3-none-any.whl", "is a path on the machine"},
           {"/opt/a", "is a path on the machine"},
           {"file:///opt/a.whl", "is a path on the machine"},
           {"a @ file:///opt/a.whl", "is a path on the machine"},
           {"git+file:///opt/a", "is a path on the machine"},
           {"..", "is a path on the machine"},
           {"--find-links ./wheels", "a directory beside the file"},
           {"--frobnicate", "is not known in a list of requirements"},
           {"--hash=sha256:aa", "is not known in a list of requirements"},
           {"--index-url", "has no value"},
           {"--pre=yes", "takes no value"},
           {"-r missing.txt", "includes 'missing.txt', which was not sent with it"},
           {"-r /etc/passwd", "not a file beside this one"},
           {"-c https://host/c.txt", "may change at any time"},
           {"-r a.txt", "includes this file again"},
           {"numpy ==", "cannot be read"},
           {"num py", "cannot be read"},
           {"a[b", "brackets that are not closed"},
           {"a @ b", "no URL after its '@'"},
           {"a --frobnicate", "'--frobnicate' is not known behind a requirement"},
           {"a --hash", "'--hash' has no value"},
           {"a --hash=sha256:b\" --hash=sha256:c", "a hash that cannot be read"},
           {"a --config-settings=\"it's\"", "has a blank, quote"},
           {"a --config-settings=x\" \"#y", "has a blank, quote"},
           {"--no-binary \"a b\"", "has a blank, quote"},
           {"a==${VERSION}", "uses the variable ${VERSION}"},
           {"-i https://$HOST/", "uses the variable $HOST"},
           {"-i https://$\"HOST\"/", "uses the variable $HOST"},
           {"a==${", "uses a variable"},
           {"a\x01", "has a control character"},
           {"a ; os_name=='\u2028-e .'", "has a control character"},
       }) {
    CAPTURE(row.written);
    const auto said = refusal(row.written, {{"a.txt", "-r b.txt\n"}, {"b.txt", "\n\n-r a.txt\n"}});
    CAPTURE(said);
    CHECK(said.find(row.why) != std::string::npos);
  }
  CHECK(refusal("-e .").starts_with("environment.yml:9: "));
  CHECK(refusal("-r a.txt", {{"a.txt", "x\n\n-e .\n"}}).starts_with("a.txt:3: "));
  CHECK(refusal(std::string(10'000, 'a')).find("longer than 8192") != std::string::npos);
}

TEST_CASE("a secret in a line for pip is refused where it could not be kept, and not repeated") {
  for (const char* text :
       {"--extra-index-url https://user:word@host/simple", "--index-url=https://word@host/",
        "a @ https://user:word@host/a.whl", "git+https://word@host/a.git", "-ihttps://user:=word@host/",
        "-i https://host/t/word@/simple", "--index-url=\"https:\"//user:word@host", "-e git+https://word@host/a.git",
        "-i https://user:'word@host/", "-i https://user:${word@host/", "-i https://user:word@host/\x01"}) {
    const auto said = refusal(text);
    CAPTURE(said);
    CHECK(said.find("password or token") != std::string::npos);
    CHECK(said.find("word@") == std::string::npos);
  }
}

TEST_CASE("no error repeats a credential that was taken out") {
  for (const char* line :
       {"-e git+https://user:sesame@host/a.git", "a --frobnicate https://user:sesame@host/",
        "-r https://user:sesame@host/r.txt", "a @ https://user:sesame@host/a b", "-i https://user:${sesame}@host/",
        "-i https://user:sesame@host/$VAR", "a @ https://user:sesame@host/\x01", "--pre https://user:sesame@host/",
        "https://host/t/sesame/a", "-i \"https:\"//user:sesame@host/", "a @ https://user:ses ame@host",
        "--index-url=https://user:sesame#1@host/ --frobnicate"}) {
    CAPTURE(line);
    CHECK(failure_of(line).describe().find("sesame") == std::string::npos);
  }
}

TEST_CASE("includes that multiply are bounded") {
  Files files;
  for (int i = 0; i < 18; ++i) {
    const auto next = std::to_string(i + 1) + ".txt\n";
    files[std::to_string(i) + ".txt"] = "-r " + next + "-r " + next;
  }
  files["18.txt"] = "a\n";
  CHECK(refusal("-r 0.txt", files).find("more than 20000 lines") != std::string::npos);
  CHECK(says(failure_of("-r 0.txt\n", files), "more than 20000 lines"));
}

TEST_CASE("files and lines without end are bounded, those with many hashes are not") {
  Files deep;
  for (int i = 0; i < 30; ++i) deep[std::to_string(i) + ".txt"] = "-r " + std::to_string(i + 1) + ".txt\n";
  CHECK(says(failure_of("-r 0.txt\n", deep), "more than 20 files deep"));
  std::string long_line = "a==1";
  for (int i = 0; i < 500; ++i) long_line += " \\\n --hash=sha256:" + std::string(64, static_cast<char>('a' + i % 26));
  CHECK(of(long_line).has_hashes());
  CHECK(says(failure_of(long_line + long_line), "longer than 65536"));
  CHECK(says(failure_of(std::string(9'000, 'a')), "longer than 8192"));
  std::string joined;
  for (int i = 0; i < 30'000; ++i) joined += "\\\n";
  CHECK(says(failure_of(joined), "more than 20000 lines"));
  std::string includes;
  for (int i = 0; i < 400; ++i) includes += "-r big.txt\n";
  CHECK(says(failure_of(includes, {{"big.txt", "#" + std::string(60'000, 'x')}}), "more than 8 MiB"));
  std::string options;
  for (int i = 0; i < 1001; ++i) options += "-f /" + std::to_string(i) + " ";
  CHECK(says(failure_of(options), "more than 1000 options"));
  std::string logins;
  for (int i = 0; i < 101; ++i) logins += "-f https://me:" + std::to_string(i) + "@host/\n";
  CHECK(says(failure_of(logins), "more than 100 user names"));
}

TEST_CASE("what is written is read as the same") {
  const auto read =
      of("-i https://me:secret@h/ -f /w --extra-index-url https://b --trusted-host h "
         "--no-index\n--pre\n--no-binary=a,b\n"
         "B[y,x] >=1 , <2; python_version < '3' and (os_name==\"a b\")\nlib@git+ssh://git@h/a.git@v1#egg=x ; "
         "os_name=='x' --hash=sha256:bb --hash=sha256:aa\nc --config-settings=\"--build-option=x y\"\n");
  Files files{{"again.txt", read.requirements_file()}};
  auto again = read_requirements("again.txt", files);
  CHECK(again.credentials.empty());
  again.credentials = read.credentials;
  CHECK(again == read);
  CHECK(again.requirements_file() == read.requirements_file());
}

TEST_CASE("a pyproject's dependencies and wanted Python are read") {
  const auto project = read_pyproject(
      "[project]\nname = 'x'\nrequires-python = \">=3.10\" # why\ndependencies = [\n  \"NumPy >=1\", # a "
      "comment\n"
      "  'b[c] ; python_version < \"3.12\"',\n]\n[tool.other]\nkey = 1\n");
  CHECK(project.requires_python == ">=3.10");
  CHECK(project.requirements.requirements == Lines{"numpy>=1", "b[c] ; python_version<'3.12'"});
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
  CHECK(says(failure("[project]\ndependencies=['./lib']\n"), "pyproject.toml:2: the requirement './lib' is a path"));
  CHECK(says(failure("[project]\ndependencies=['-r x.txt']\n"), "cannot be read"));
  CHECK(says(failure("[project]\ndependencies=['a==1 --hash=sha256:aa']\n"), "is no version"));
  CHECK(says(failure("[project]\ndependencies=['a @ https://u:sesame@h/a b']\n"), "'a @ https://h/a b' has something"));
  CHECK(says(failure("[project]\ndependencies=[1]\n"), "is no text"));
}

TEST_CASE("wanted Pythons") {
  const auto wanted = [](const char* wish) { return environment::is_wanted("3.11.2", wish); };
  for (const auto* wish : {"", "3", "3.11", "3.11.2", ">=3.10", ">=3.10,<3.12", "~=3.10", "~=3.11.1", "==3.11.*",
                           "!=3.10.*", "<=3.11.2", " >= 3.11 , != 3.11.1 ", "===3.11.2", "3.11.*"}) {
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

TEST_CASE("what comes with a login, or from a place that the file names, is its user's alone") {
  const auto are_of_user = [](const std::string& text) {
    return read_requirements("requirements.txt", {{"requirements.txt", text}}).are_of_user();
  };
  CHECK(!are_of_user("numpy==1.26\npandas>=2 ; python_version<'3.13'\n--only-binary :all:\n"));
  for (const auto* line :
       {"--index-url https://ann:secret@index.example/simple", "--index-url https://index.example/simple",
        "--extra-index-url https://index.example/simple", "--find-links /data/wheels", "--trusted-host pypi.org",
        "ours @ https://example.org/ours-1.0.tar.gz", "ours @ git+https://example.org/ours@0123456789abcdef"}) {
    CAPTURE(line);
    CHECK(are_of_user(std::string("numpy\n") + line + "\n"));
  }
}
