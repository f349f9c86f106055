#include "agent/api/access.hpp"

#include "runtime/base/error.hpp"

namespace berth::api {

using model::Principal;
using model::Role;

Principal Access::principal(const http::Peer& peer) const {
  const auto* local = std::get_if<http::LocalPeer>(&peer);
  if (local == nullptr)
    throw Error(Code::denied, "this agent serves users of its own machine only", "run `berth` on that machine");
  if (switch_user_)
    return Principal::local_user(local->uid, local->uid, {local->uid == 0 ? Role::administrator : Role::submitter});
  if (local->uid != agent_ && local->uid != 0)
    throw Error(Code::denied, "this agent serves another user only", "start your own with `berthd --user`");
  return Principal::local_user(local->uid, agent_, {Role::administrator});
}

uid_t Access::submitter(const Principal& who) const {
  if (who.account() && who.has(Role::submitter)) return *who.account();
  throw Error(Code::denied, "you may not have jobs on this node", "ask who runs it for an account");
}

store::Viewer Access::viewer(const Principal& who) const { return {submitter(who), may_read_all(who)}; }

bool Access::may_read_all(const Principal& who) const { return others_may_read_ || who.has(Role::reader); }

bool Access::may_read(const Principal& who, const model::Job& job) const {
  return may_read_all(who) || who.owns(job.uid);
}

bool Access::may_see(const Principal& who, const std::optional<uid_t>& owner) const {
  return !owner || who.owns(*owner);
}

Access::Sight Access::sight(const Principal& who, uid_t owner) const {
  if (who.owns(owner)) return Sight::whole;
  return may_read_all(who) ? Sight::readable : Sight::outline;
}

void Access::require_control(const Principal& who, const model::Job& job) const {
  if (who.owns(job.uid)) return;
  throw Error(Code::denied, job.id + " belongs to " + job.user, "only its owner and root may change it");
}

void Access::require_content(const Principal& who, const model::Job& job) const {
  if (may_read(who, job)) return;
  throw Error(Code::denied, job.id + " belongs to " + job.user, "only its owner and root may read its log and files");
}

void Access::require_node(const Principal& who) const {
  if (who.has(Role::administrator)) return;
  throw Error(Code::denied, "only root may change the whole node", "run it with sudo");
}

}  // namespace berth::api
