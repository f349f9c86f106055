#include "runtime/environment/build_users.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/sandbox.hpp"

namespace berth::environment {
namespace {

constexpr uid_t kForAll = 256;  // the first of the range; the others are persons'

[[noreturn]] void none_left() {
  throw Error(Code::unavailable, "all users that builds may run as are taken",
              "give the agent a larger range: build_uids in its configuration");
}

}  // namespace

os::Identity build_identity_of(uid_t user) {
  os::Identity identity;
  identity.uid = identity.gid = user;
  identity.groups = {identity.gid};
  identity.name = "build-" + std::to_string(user);
  return identity;
}

os::Identity BuildUsers::take(const Digest& build, std::optional<uid_t> person) {
  const std::lock_guard guard(mutex_);
  const auto user = person ? user_of(*person) : free_one();
  taken_[build] = user;
  return build_identity_of(user);
}

void BuildUsers::adopt(const Digest& build, uid_t user) {
  const std::lock_guard guard(mutex_);
  const bool of_range = range_ && user >= range_->first && user - range_->first < range_->count;
  if (of_range) taken_[build] = user;
}

void BuildUsers::stop(const Digest& build) {
  const std::lock_guard guard(mutex_);
  const auto found = taken_.find(build);
  if (found != taken_.end() && !has_other(build, found->second)) os::kill_processes_of(found->second);
}

void BuildUsers::release(const Digest& build) {
  stop(build);
  const std::lock_guard guard(mutex_);
  taken_.erase(build);
}

bool BuildUsers::has_other(const Digest& build, uid_t user) const {
  return std::any_of(taken_.begin(), taken_.end(),
                     [&](const auto& one) { return one.second == user && !(one.first == build); });
}

uid_t BuildUsers::free_one() const {
  for (uid_t user = range_->first; user < range_->first + std::min(kForAll, range_->count / 2); ++user)
    if (std::none_of(taken_.begin(), taken_.end(), [&](const auto& one) { return one.second == user; })) return user;
  none_left();
}

// His cache's owner; else one to whom no cache belongs.
uid_t BuildUsers::user_of(uid_t person) const {
  const uid_t first = range_->first + std::min(kForAll, range_->count / 2);
  const uid_t end = range_->first + range_->count;
  std::set<uid_t> others;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(caches_, failure)) {
    struct stat info {};
    if (::lstat(entry.path().c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) continue;
    const bool proper = info.st_uid >= first && info.st_uid < end;
    if (proper && entry.path().filename() == std::to_string(person)) return info.st_uid;
    others.insert(info.st_uid);
  }
  for (const auto& [build, user] : taken_) others.insert(user);
  for (uid_t user = first; user < end; ++user)
    if (!others.contains(user)) return user;
  none_left();
}

}  // namespace berth::environment
