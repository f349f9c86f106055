#pragma once

// Users and groups of this machine, and acting as one of them.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace berth::os {

// What a process of a user runs as.
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  std::string name;
  std::string home;
  std::string shell;
};

// From the user databases (NSS), supplementary groups included; nothing for an unknown uid. Code::unavailable where it
// could not be found out, since a name service does not answer.
std::optional<Identity> identity_of(uid_t uid);
std::optional<Identity> identity_of(const std::string& name);
std::optional<gid_t> group_id(const std::string& name);
// Whether this process' user is in the group: in the user database, which counts from his next login on, and in this
// session.
struct Membership {
  bool in_database = false;
  bool in_session = false;
};
Membership membership(gid_t group);
// Whether no account has that number; false also where the user database does not answer.
bool has_no_account(uid_t uid);
// The name, or the number as text where there is none.
std::string user_name(uid_t uid);

// While it lives, this thread (alone) opens files as that user: the kernel checks his rights, not root's.
// Without root it does nothing, since there is nobody else to be.
class ActAs {
 public:
  ActAs(uid_t uid, gid_t gid);
  ~ActAs();
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

 private:
  bool active_ = false;
};

}  // namespace berth::os
