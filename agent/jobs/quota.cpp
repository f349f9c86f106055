#include "agent/jobs/quota.hpp"

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {

void StorageUse::require(std::uint64_t incoming) const {
  if (incoming <= limit.bytes() && used.bytes() <= limit.bytes() - incoming && used.bytes() < limit.bytes()) return;
  throw Error(Code::no_space,
              "your code and your jobs' outputs here are " + to_text(used) +
                  (incoming > 0 ? ", " + to_text(ByteSize(incoming)) + " are to come" : "") +
                  ", and one user may store " + to_text(limit) + " (storage_per_user)",
              "send less (.amlignore leaves files out), or ask who runs this node to remove old outputs or to raise the limit");
}

async::Task<StorageUse> Quota::look(uid_t uid) {
  StorageUse use;
  use.limit = ByteSize(limits_.storage->of(os::space_of(state_dir_).total));
  use.used = co_await store_.stored_by(uid);
  co_return use;
}

async::Task<std::optional<StorageUse>> Quota::storage(uid_t uid) {
  if (!limits_.storage || !binds(uid)) co_return std::nullopt;
  auto share = co_await storing_.take(uid);
  auto use = co_await look(uid);
  use.share.emplace(std::move(share));
  co_return use;
}

async::Task<> Quota::require_storage(uid_t uid, std::uint64_t incoming) {
  if (!limits_.storage || !binds(uid)) co_return;
  const auto use = co_await look(uid);
  use.require(incoming);
}

void Quota::require_places(uid_t uid, std::size_t has, std::size_t more) const {
  if (!binds(uid) || (more <= limits_.jobs && has <= limits_.jobs - more)) return;
  throw Error(Code::too_large,
              "you have " + std::to_string(has) + " jobs here that have not ended, " + std::to_string(more) +
                  (more == 1 ? " is" : " are") + " to come, and one user may have " + std::to_string(limits_.jobs) +
                  " (jobs_per_user)",
              "wait until some have ended, or cancel some");
}

}  // namespace berth::jobs
