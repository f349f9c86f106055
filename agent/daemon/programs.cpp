#include "agent/daemon/programs.hpp"

#include <unistd.h>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"

namespace berth::daemon {

std::string find_shim(const std::string& given) {
  if (!given.empty()) return given;
  std::string self(4096, '\0');
  const auto length = ::readlink("/proc/self/exe", self.data(), self.size());
  if (length < 0) throw_errno("read", "/proc/self/exe");
  self.resize(static_cast<std::size_t>(length));
  const auto bin = os::parent_of(self);
  for (const auto& candidate : {os::join(bin, "berth-shim"), os::join(bin, "../lib/berth/berth-shim")})
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  throw Error(Code::not_found, "berth-shim is not beside " + printable(self),
              "install it there; it supervises every job");
}

std::string find_collector(const std::string& shim) {
  const auto beside = os::parent_of(shim);
  const auto below = os::join(beside, "../lib/berth/berth-collect");
  return ::access(below.c_str(), X_OK) == 0 ? below : os::join(beside, "berth-collect");
}

std::string shim_for_containers(const std::string& shim) {
  const auto apart = shim + "-static";
  return os::exists(apart) ? apart : shim;
}

}  // namespace berth::daemon
