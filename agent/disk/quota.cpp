#include "agent/disk/quota.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::disk {

void StorageUse::require(std::uint64_t incoming) const {
  if (incoming <= limit.bytes() && used.bytes() <= limit.bytes() - incoming && used.bytes() < limit.bytes()) return;
  throw Error(
      Code::no_space,
      "your code and your jobs' outputs here are " + to_text(used) +
          (incoming > 0 ? ", " + to_text(ByteSize(incoming)) + " are to come" : "") + ", and one user may store " +
          to_text(limit) + " (storage_per_user)",
      "send less (.amlignore leaves files out), or ask who runs this node to remove old outputs or to raise the limit");
}

std::optional<ByteSize> Quota::storage_limit() const {
  if (!limits_.storage) return std::nullopt;
  return ByteSize(limits_.storage->of(os::space_of(state_dir_).total));
}

std::uint64_t Quota::most_in_transit() const {
  const auto storage = storage_limit();
  return storage ? std::min(storage->bytes(), limits_.transit.bytes()) : limits_.transit.bytes();
}

async::Task<std::optional<StorageUse>> Quota::look(uid_t uid) {
  const auto limit = storage_limit();
  if (!limit) co_return std::nullopt;
  StorageUse use;
  use.limit = *limit;
  use.used = co_await store_.stored_by(uid);
  co_return use;
}

async::Task<std::optional<StorageUse>> Quota::storage(uid_t uid) {
  if (!limits_.storage || !binds(uid)) co_return std::nullopt;
  auto share = co_await storing_.take(uid);
  auto use = co_await look(uid);
  if (use) use->share.emplace(std::move(share));
  co_return use;
}

async::Task<> Quota::require_storage(uid_t uid, std::uint64_t incoming) {
  if (!limits_.storage || !binds(uid)) co_return;
  const auto use = co_await look(uid);
  if (use) use->require(incoming);
}

async::Task<> Quota::charge(uid_t uid, Transit::Charge& coming, std::uint64_t bytes) {
  if (!binds(uid)) co_return coming.set(bytes);
  if (limits_.storage) {
    const auto use = co_await look(uid);
    if (use) use->require(coming.others() + bytes);
  }
  if (const auto others = coming.others(); bytes > limits_.transit.bytes() || others > limits_.transit.bytes() - bytes)
    throw Error(Code::no_space,
                to_text(ByteSize(others)) + " of yours are on their way here, " + to_text(ByteSize(bytes)) +
                    " are to come, and " + to_text(limits_.transit) + " of one user may be (twice max_upload)",
                "send it again when the others are done");
  coming.set(bytes);
}

async::Task<Transit::Charge> Quota::copy(uid_t uid, std::uint64_t bytes) {
  const auto most = binds(uid) ? most_in_transit() : ~std::uint64_t{0};
  return transit_.wait(uid, bytes, most);
}

async::Task<Transit::Charge> Quota::files(uid_t uid, std::uint64_t bytes) {
  const auto limit = storage_limit();
  if (binds(uid) && limit && bytes > limit->bytes())
    throw Error(Code::too_large,
                "the files are " + to_text(ByteSize(bytes)) + ", and one user may store " + to_text(*limit) +
                    " (storage_per_user)",
                "leave files out (.amlignore), or ask who runs this node to raise the limit");
  return copy(uid, bytes);
}

void Quota::require_places(uid_t uid, std::size_t has, std::size_t more) const {
  if (!binds(uid) || (more <= limits_.jobs && has <= limits_.jobs - more)) return;
  throw Error(Code::too_large,
              "you have " + std::to_string(has) + " jobs here that have not ended, " + std::to_string(more) +
                  (more == 1 ? " is" : " are") + " to come, and one user may have " + std::to_string(limits_.jobs) +
                  " (jobs_per_user)",
              "wait until some have ended, or cancel some");
}

}  // namespace berth::disk
