#include "runtime/shim/protection.hpp"

#include "runtime/os/protection.hpp"

namespace berth::shim {

os::Fd owner_of_environment(const Launch& launch) {
  const bool owned = launch.protection && launch.protection->environment && launch.protection->environment_owned;
  if (!owned || !launch.identity || launch.identity->uid == 0) return {};
  return os::swapped_ids(launch.identity->uid, launch.identity->gid);
}

void mount_protection(const Protection& protection, const os::Fd& owner) {
  auto writable = protection.writable;
  if (const auto& environment = protection.environment) {
    if (owner) os::mount_owned(environment->target, owner);
    os::mount_overlay(*environment);
    writable.push_back(environment->target);
  }
  os::protect(protection.read_only, writable);
}

}  // namespace berth::shim
