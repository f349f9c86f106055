#include "runtime/os/module.hpp"

#include <dlfcn.h>

#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {

void* load_module(const std::string& name, const char* symbol) {
  std::error_code failure;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failure).string();
  if (failure)
    throw Error(Code::unavailable, "cannot find the running program: " + failure.message(), "is /proc mounted?");
  const auto path = join(parent_of(parent_of(program)), "lib/berth/lib" + name + ".so");
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* found = module == nullptr ? nullptr : ::dlsym(module, symbol);
  if (found != nullptr) return found;
  const char* reason = ::dlerror();
  throw Error(Code::unavailable, reason != nullptr ? reason : "no module " + path,
              "a part of Berth's installation is missing, or of another version: install it again");
}

}  // namespace berth::os
