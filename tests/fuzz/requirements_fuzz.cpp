// Whatever bytes arrive as a requirements file: an Error that tells why, or requirements that are read as the
// same when they are written for pip and read again, with no login left in them.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "runtime/base/error.hpp"
#include "runtime/environment/requirements.hpp"

using namespace berth::environment;

Requirements written_and_read(const Requirements& wanted) {
  return read_requirements(
      "r.txt", {{"r.txt", wanted.requirements_file() + "-c c.txt\n"}, {"c.txt", wanted.constraints_file()}});
}

void must_stay(Requirements wanted) {
  wanted.credentials.clear();  // the first to be read may have them, what is written may not
  try {
    if (written_and_read(wanted) == wanted) return;
  } catch (const berth::Error& error) {
    std::fprintf(stderr, "%s\n", error.describe().c_str());
  }
  std::fprintf(stderr, "is not read again as it was written:\n%s", wanted.requirements_file().c_str());
  std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    must_stay(read_requirements("r.txt", {{"r.txt", text + "\n-c c.txt\n"}, {"c.txt", text}}));
  } catch (const berth::Error& error) {
    if (error.message().empty() || error.hint().empty()) std::abort();
  }
  return 0;
}
