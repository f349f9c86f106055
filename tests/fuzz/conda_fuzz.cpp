// Whatever bytes arrive as an environment.yml: an Error that tells why, or a spec whose dependencies and
// requirements stay the same when they are read again.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "runtime/base/error.hpp"
#include "runtime/environment/conda_spec.hpp"

// What was read, written and read again must be the same: environments are identified by what is written.
void must_be(const std::string& written, const std::string& again) {
  if (again == written) return;
  std::fprintf(stderr, "%s\nis read again as\n%s\n", written.c_str(), again.c_str());
  std::abort();
}

std::string read_again(const std::string& lines) {
  using namespace berth::environment;
  const Files no_files;
  RequirementsReader reader(no_files, Logins::refused);
  try {
    reader.read(lines, {"written", 1});
    return reader.take().requirements_file();
  } catch (const berth::Error& error) {
    return error.describe();
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  using namespace berth::environment::conda;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const auto spec = parse_conda({"environment.yml", {{"environment.yml", text}, {"r.txt", text}}});
    for (const auto& dependency : spec.dependencies)
      must_be(dependency.text(), parse_match_spec(dependency.text(), {}).text());
    must_be(spec.pip.requirements_file(), read_again(spec.pip.requirements_file()));
    must_be(spec.pip.constraints_file(), read_again(spec.pip.constraints_file()));
  } catch (const Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
