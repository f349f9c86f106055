#include "runtime/os/access_list.hpp"

#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::os {
namespace {

// linux/posix_acl_xattr.h; numbers are little-endian there, as on all machines that this runs on.
struct Rule {
  std::uint16_t tag;
  std::uint16_t rights;
  std::uint32_t id;
};
struct List {
  std::uint32_t version;
  std::array<Rule, 5> rules;
};
constexpr std::uint32_t kNobody = 0xffffffff;

}  // namespace

bool let_in_only(const std::string& directory, uid_t user) {
  const List list{2,
                  {{{0x01, 7, kNobody}, {0x02, 5, user}, {0x04, 0, kNobody}, {0x10, 5, kNobody}, {0x20, 0, kNobody}}}};
  static_assert(sizeof list == 44);
  if (::setxattr(directory.c_str(), "system.posix_acl_access", &list, sizeof list, 0) == 0) return true;
  if (errno == ENOTSUP || errno == ENOSYS || errno == EPERM) return false;
  throw_errno("give a user access to", printable(directory));
}

}  // namespace berth::os
