#include "runtime/environment/conda_pip.hpp"

#include <doctest/doctest.h>

#include <string>

#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::environment;
using namespace berth::environment::conda;

namespace {

PipPart part(const std::string& lines, const Files& files = {}) {
  PipReader reader(files);
  reader.read(lines, {"environment.yml", 9});
  return reader.take();
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

TEST_CASE("all ways to write a requirement come to one form") {
  struct Row {
    std::string written;
    std::string form;
  };
  for (const auto& row : {
           Row{"numpy", "numpy"},
           {"Scikit_Learn", "scikit-learn"},
           {"ruamel.yaml", "ruamel-yaml"},
           {"numpy >= 1.20 , <2", "numpy<2,>=1.20"},
           {"numpy (>=1.20)", "numpy>=1.20"},
           {"azureml-dataprep[pandas, Fuse]", "azureml-dataprep[fuse,pandas]"},
           {"azureml-sdk==1.0.33.*", "azureml-sdk==1.0.33.*"},
           {"torch==2.1.0+cu118", "torch==2.1.0+cu118"},
           {"a  ;  python_version<'3.8'  and os_name=='x  y'",
            "a ; python_version<'3.8' and os_name=='x  y'"},
           {"a==1 --hash=sha256:b --hash=sha256:a", "a==1 --hash=sha256:a --hash=sha256:b"},
           {"a==1\t--hash=sha256:b\t--hash=sha256:a", "a==1 --hash=sha256:a --hash=sha256:b"},
           {"a @ https://host/a.whl", "a @ https://host/a.whl"},
           {"a@git+https://host/a.git@0123", "a @ git+https://host/a.git@0123"},
           {"git+https://host/a.git@0123#egg=a", "git+https://host/a.git@0123#egg=a"},
           {"git+ssh://git@host/a.git", "git+ssh://git@host/a.git"},
           {"https://host/torch-1.1.0-cp36-cp36m-linux_x86_64.whl",
            "https://host/torch-1.1.0-cp36-cp36m-linux_x86_64.whl"},
       }) {
    CAPTURE(row.written);
    CHECK(parse_requirement(row.written, {"r.txt", 1}) == row.form);
    CHECK(parse_requirement(row.form, {"r.txt", 1}) == row.form);
  }
}

TEST_CASE("what is included stands in its place, whatever the files are called") {
  const Files files{
      {"r/base.txt", "# comment\nnumpy==1.26 \\\n  --hash=sha256:aa\n-r more.txt\n-c ../limits.txt\n"},
      {"r/more.txt", "pandas\r\n"},
      {"limits.txt", "six<2\n"}};
  const auto spread = part("-r r/base.txt", files);
  PipReader reader(files);
  for (const char* line : {"pandas", "numpy==1.26 --hash=sha256:aa", "-c limits.txt"})
    reader.read(line, {"environment.yml", 1});
  CHECK(spread == reader.take());
  CHECK(spread.requirements_file() == "numpy==1.26 --hash=sha256:aa\npandas\n");
  CHECK(spread.constraints_file() == "six<2\n");
}

TEST_CASE("options come to one form and keep their order") {
  const auto found = part(
      "--pre\n-i https://a/simple\n--extra-index-url=https://b --extra-index-url "
      "https://c\n-f/wheels\n--no-index");
  CHECK(found.requirements_file() ==
        "--index-url=https://a/simple\n--extra-index-url=https://b\n--extra-index-url=https://"
        "c\n--find-links=/wheels\n"
        "--no-index\n--pre\n");
  CHECK(part("--extra-index-url https://b\n--extra-index-url https://c") !=
        part("--extra-index-url https://c\n--extra-index-url https://b"));
  CHECK(part("a\nb") == part("b\na\nb"));
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
           {"--index-url", "has no value"},
           {"--pre=yes", "takes no value"},
           {"-r missing.txt", "includes 'missing.txt', which does not exist"},
           {"-r /etc/passwd", "not a file beside this one"},
           {"-c https://host/c.txt", "may change at any time"},
           {"-r a.txt", "includes this file again"},
           {"numpy ==", "cannot be read"},
           {"num py", "cannot be read"},
           {"a[b", "brackets that are not closed"},
           {"a @ b", "no URL after its '@'"},
           {"a --frobnicate", "has the unknown option"},
           {"a --hash=sha256:b\" --hash=sha256:c", "a hash that cannot be read"},
           {"a==${VERSION}", "uses the variable ${VERSION}"},
           {"a\x01", "has a control character"},
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

TEST_CASE("a secret in a line for pip is refused and not repeated") {
  for (const char* text :
       {"--extra-index-url https://user:word@host/simple", "--index-url=https://word@host/",
        "a @ https://user:word@host/a.whl", "git+https://word@host/a.git"}) {
    const auto said = refusal(text);
    CAPTURE(said);
    CHECK(said.find("password or token") != std::string::npos);
    CHECK(said.find("word@") == std::string::npos);
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
}
