// Whatever bytes arrive as an environment.yml: an Error that tells why, or a spec whose dependencies and
// requirements stay the same when they are read again.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/base/error.hpp"
#include "runtime/environment/conda_spec.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  using namespace berth::environment::conda;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const auto spec = parse_conda({"environment.yml", {{"environment.yml", text}, {"r.txt", text}}});
    for (const auto& dependency : spec.dependencies)
      if (parse_match_spec(dependency.text(), {}).name != dependency.name) std::abort();
    for (const auto& requirement : spec.pip.requirements)
      parse_requirement(requirement, {});
  } catch (const Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
