#include "runtime/environment/requirement.hpp"

#include <doctest/doctest.h>

#include <string>

#include "runtime/base/error.hpp"

using berth::Code;
using berth::Error;
using berth::environment::canonical_requirement;

namespace {

std::string refusal(const std::string& text) {
  try {
    return "accepted: " + canonical_requirement(text, {"r.txt", 7});
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    CHECK(!error.hint().empty());
    CHECK(error.message().starts_with("r.txt:7: "));
    return error.message();
  }
}

struct Row {
  std::string written;
  std::string expected;
};

}  // namespace

TEST_CASE("all ways to write a requirement come to one form") {
  for (const auto& row : {
           Row{"numpy", "numpy"},
           {"Scikit_Learn", "scikit-learn"},
           {"ruamel.yaml", "ruamel-yaml"},
           {"a-_.b", "a-b"},
           {"numpy >= 1.20 , <2", "numpy<2,>=1.20"},
           {"NumPy >= 1.20 , <2", "numpy<2,>=1.20"},
           {"numpy\t>=1.20,<2,", "numpy<2,>=1.20"},
           {"numpy>=1,<2,>=1", "numpy<2,>=1"},
           {"numpy (>=1.20)", "numpy>=1.20"},
           {"numpy (>=1.20,<2)", "numpy<2,>=1.20"},
           {"azureml-dataprep[pandas, Fuse]", "azureml-dataprep[fuse,pandas]"},
           {"my.package [c, A_b,c] == 1.0", "my-package[a_b,c]==1.0"},
           {"a[]", "a"},
           {"azureml-sdk==1.0.33.*", "azureml-sdk==1.0.33.*"},
           {"torch==2.1.0+cu118", "torch==2.1.0+cu118"},
           {"a===1!2.0", "a===1!2.0"},
           {"a < 2.tar.gz", "a<2.tar.gz"},  // no version that any package has, but no path either
           {"a  ;  python_version<'3.8'  and os_name=='x  y'", "a ; python_version<'3.8' and os_name=='x  y'"},
           {"my-package[a-b,c]==1.0 ; python_version < \"3.13\"  and sys_platform==\"linux\"",
            "my-package[a-b,c]==1.0 ; python_version<'3.13' and sys_platform=='linux'"},
           {"a;'x'not  in platform_release and( os_name=='a'or(os_name == \"it's\"))",
            "a ; 'x' not in platform_release and (os_name=='a' or (os_name==\"it's\"))"},
           {"a @ https://host/a.whl", "a @ https://host/a.whl"},
           {"a@git+https://host/a.git@0123", "a @ git+https://host/a.git@0123"},
           {"A[b] @  https://host/a.whl; os_name == \"x\"", "a[b] @ https://host/a.whl ; os_name=='x'"},
           {"https://host/a.whl ; os_name == \"x\"", "https://host/a.whl ; os_name=='x'"},
           {"git+https://host/a.git@0123#egg=a", "git+https://host/a.git@0123#egg=a"},
           {"git+ssh://git@host/a.git", "git+ssh://git@host/a.git"},
           {"https://host/torch-1.1.0-cp36-cp36m-linux_x86_64.whl",
            "https://host/torch-1.1.0-cp36-cp36m-linux_x86_64.whl"},
       }) {
    CAPTURE(row.written);
    CHECK(canonical_requirement(row.written, {"r.txt", 1}) == row.expected);
    CHECK(canonical_requirement(row.expected, {"r.txt", 1}) == row.expected);
  }
}

TEST_CASE("what is no requirement says why") {
  for (const auto& row : {
           Row{"", "cannot be read"},
           {"a=1", "'=1' is no version"},
           {"a 1", "is no version"},
           {"a>=1 2", "is no version"},
           {"a== !1.0", "is no version"},
           {"numpy ==", "cannot be read"},
           {"num py", "cannot be read"},
           {"-a", "cannot be read"},
           {"a-", "cannot be read"},
           {"a # why", "cannot be read"},
           {"git+git@host:a.git", "cannot be read"},
           {"a[b", "brackets that are not closed"},
           {"a[b c]", "'b c' is no extra's name"},
           {"a @ b", "no URL after its '@'"},
           {"a @ https://host/a b", "that is no marker"},
           {"a @ https://host/a;os_name=='x'", "a ';' within its URL"},
           {"a ; os_name=='x", "a marker that cannot be read"},
           {"a ; os_name|'x'", "a marker that cannot be read"},
           {"a ;", "no marker after its ';'"},
       }) {
    CAPTURE(row.written);
    const auto said = refusal(row.written);
    CAPTURE(said);
    CHECK(said.find(row.expected) != std::string::npos);
  }
}

TEST_CASE("a path is refused, however it is written") {
  for (const auto* text : {".",
                           "..",
                           "./lib",
                           "../lib",
                           "/srv/lib",
                           "/opt/a",
                           "~/lib",
                           "lib/sub",
                           "lib\\sub",
                           "C:\\lib",
                           "lib-1.0-py3-none-any.whl",
                           "a-1.0-py3-none-any.whl",
                           "./dist/a-1.0-py3-none-any.whl",
                           "a.tar.gz",
                           "A.ZIP",
                           "file:lib",
                           "file:///opt/a.whl",
                           "FILE:///opt/a.whl",
                           "git+file:///srv/lib",
                           "lib @ file:///srv/lib",
                           "a @ git+file:///opt/a",
                           "lib @ ../lib"}) {
    CAPTURE(text);
    const auto said = refusal(text);
    CAPTURE(said);
    CHECK(said.find("is a path on the machine where it was written") != std::string::npos);
  }
}
