#pragma once

// Who may do what. The kernel says who calls; there are no passwords on the socket.

#include <sys/types.h>

#include <optional>

#include "agent/model/job.hpp"
#include "agent/model/principal.hpp"
#include "agent/store/records.hpp"
#include "runtime/http/peer.hpp"

namespace berth::api {

class Access {
 public:
  // `agent` is the user the agent runs as; with `switch_user` (a machine's agent) jobs belong to their submitters,
  // without, everything belongs to the agent's user and nobody else but root is served.
  Access(uid_t agent, bool switch_user, bool others_may_read)
      : agent_(agent), switch_user_(switch_user), others_may_read_(others_may_read) {}

  // Who is at the other end: the only place where a principal is made of a connection. Code::denied for who is not
  // served at all.
  model::Principal principal(const http::Peer& peer) const;

  // Whose job a submission is. Code::denied for who may not submit.
  uid_t submitter(const model::Principal& who) const;
  // The same, as who refers to stored content by its digest.
  store::Viewer viewer(const model::Principal& who) const;
  // Whether all that is on the node is shown: to who runs it, and where everybody may read.
  bool may_read_all(const model::Principal& who) const;
  // What is `owner`'s alone, or everybody's where there is none: to all others it is not there.
  bool may_see(const model::Principal& who, const std::optional<uid_t>& owner) const;
  // Whether the content of a job is shown: its log, files, command.
  bool may_read(const model::Principal& who, const model::Job& job) const;

  // What of a job somebody is shown: all of it, all but the values of its variables (where others may read), or what
  // everybody sees of the queue.
  enum class Sight { whole, readable, outline };
  Sight sight(const model::Principal& who, uid_t owner) const;
  Sight sight(const model::Principal& who, const model::Job& job) const { return sight(who, job.uid); }

  // All throw Code::denied, naming the job and its owner.
  void require_control(const model::Principal& who, const model::Job& job) const;
  void require_content(const model::Principal& who, const model::Job& job) const;
  void require_node(const model::Principal& who) const;

 private:
  uid_t agent_;
  bool switch_user_;
  bool others_may_read_;
};

}  // namespace berth::api
