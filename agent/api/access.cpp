#include "agent/api/access.hpp"

#include "runtime/base/error.hpp"

namespace berth::api {

uid_t Access::submitter(const http::Peer& peer) const {
  if (switch_user_) return peer.uid;
  if (peer.uid != agent_ && peer.uid != 0)
    throw Error(Code::denied, "this agent serves another user only", "start your own with `berthd --user`");
  return agent_;
}

store::Viewer Access::viewer(const http::Peer& peer) const { return {submitter(peer), may_read_all(peer)}; }

bool Access::may_read_all(const http::Peer& peer) const {
  return others_may_read_ || peer.uid == 0 || (!switch_user_ && peer.uid == agent_);
}

bool Access::may_read(const http::Peer& peer, const model::Job& job) const {
  return others_may_read_ || owns(peer, job);
}

bool Access::may_see(const http::Peer& peer, const std::optional<uid_t>& owner) const {
  return !owner || owns(peer, *owner);
}

Access::Sight Access::sight(const http::Peer& peer, uid_t owner) const {
  if (owns(peer, owner)) return Sight::whole;
  return others_may_read_ ? Sight::readable : Sight::outline;
}

void Access::require_control(const http::Peer& peer, const model::Job& job) const {
  if (owns(peer, job)) return;
  throw Error(Code::denied, job.id + " belongs to " + job.user, "only its owner and root may change it");
}

void Access::require_content(const http::Peer& peer, const model::Job& job) const {
  if (may_read(peer, job)) return;
  throw Error(Code::denied, job.id + " belongs to " + job.user, "only its owner and root may read its log and files");
}

void Access::require_node(const http::Peer& peer) const {
  if (peer.uid == 0 || (!switch_user_ && peer.uid == agent_)) return;
  throw Error(Code::denied, "only root may change the whole node", "run it with sudo");
}

}  // namespace berth::api
