#include "runtime/os/identity.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::os {
namespace {

constexpr std::size_t kLargestEntry = 16U << 20;

// An entry of a user database, with the memory that it points into.
template <class Entry>
struct Looked {
  Entry entry{};
  std::vector<char> memory = std::vector<char>(4096);
};

// `ask` is one of get…_r. Nothing where the databases have no such entry. Whether they all could be asked is in its
// result: POSIX has errors for a look that failed, and the manual's list of those that stand for "not found".
template <class Entry, class Ask>
std::optional<Looked<Entry>> look_up(const std::string& what, Ask ask) {
  Looked<Entry> looked;
  for (;;) {
    Entry* found = nullptr;
    const int result = ask(&looked.entry, looked.memory.data(), looked.memory.size(), &found);
    if (found != nullptr) return looked;
    if (result == EINTR) continue;
    if (result == ERANGE && looked.memory.size() < kLargestEntry) {
      looked.memory.resize(looked.memory.size() * 4);
      continue;
    }
    if (result == 0 || result == ENOENT || result == ESRCH || result == EBADF || result == EPERM) return std::nullopt;
    throw Error(Code::unavailable,
                "the name service does not answer for " + what + ": " + std::generic_category().message(result),
                "is its daemon (sssd, nslcd, winbind) running?")
        .for_lack_of(Lack::names);
  }
}

std::optional<Looked<passwd>> user(uid_t uid) {
  return look_up<passwd>("the user with the number " + std::to_string(uid),
                         [&](passwd* entry, char* memory, std::size_t size, passwd** result) {
                           return ::getpwuid_r(uid, entry, memory, size, result);
                         });
}

}  // namespace

std::optional<Identity> identity_of(uid_t uid) {
  const auto found = user(uid);
  if (!found) return std::nullopt;
  const auto& entry = found->entry;
  Identity identity{uid, entry.pw_gid, {}, entry.pw_name, entry.pw_dir, entry.pw_shell};
  int count = 64;
  identity.groups.resize(static_cast<std::size_t>(count));
  while (::getgrouplist(entry.pw_name, entry.pw_gid, identity.groups.data(), &count) < 0)
    identity.groups.resize(static_cast<std::size_t>(count));
  identity.groups.resize(static_cast<std::size_t>(count));
  return identity;
}

std::optional<Identity> identity_of(const std::string& name) {
  const auto found = look_up<passwd>("the user " + printable(name),
                                     [&](passwd* entry, char* memory, std::size_t size, passwd** result) {
                                       return ::getpwnam_r(name.c_str(), entry, memory, size, result);
                                     });
  return found ? identity_of(found->entry.pw_uid) : std::nullopt;
}

std::optional<gid_t> group_id(const std::string& name) {
  const auto found =
      look_up<group>("the group " + printable(name), [&](group* entry, char* memory, std::size_t size, group** result) {
        return ::getgrnam_r(name.c_str(), entry, memory, size, result);
      });
  return found ? std::optional(found->entry.gr_gid) : std::nullopt;
}

std::string user_name(uid_t uid) {
  try {
    if (const auto found = user(uid)) return found->entry.pw_name;
  } catch (const Error&) {  // a number is a name, too
  }
  return std::to_string(uid);
}

bool has_no_account(uid_t uid) {
  try {
    return !user(uid);
  } catch (const Error&) {
    return false;
  }
}

Membership membership(gid_t group) {
  Membership membership;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  groups.resize(static_cast<std::size_t>(std::max(::getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
  membership.in_session = ::getegid() == group || std::find(groups.begin(), groups.end(), group) != groups.end();
  if (const auto identity = identity_of(::geteuid())) {
    const auto& all = identity->groups;
    membership.in_database = identity->gid == group || std::find(all.begin(), all.end(), group) != all.end();
  }
  return membership;
}

ActAs::ActAs(uid_t uid, gid_t gid) {
  if (::geteuid() != 0 || uid == 0) return;
  ::setfsgid(gid);  // before the user: afterwards the right to change it is gone
  ::setfsuid(uid);
  active_ = true;
}

ActAs::~ActAs() {
  if (!active_) return;
  ::setfsuid(::geteuid());
  ::setfsgid(::getegid());
}

}  // namespace berth::os
