#include "runtime/environment/environment.hpp"

#include <iterator>

#include "runtime/async/attempt.hpp"
#include "runtime/base/error.hpp"

namespace berth::environment {

using async::Task;

namespace {

bool is_absent(const Error& error) { return error.code() == Code::not_found; }

[[noreturn]] void in_no_store(const Digest& digest) {
  throw Error(Code::not_found, "there is no environment " + digest.brief(), "`berth env ls` lists those there are");
}

}  // namespace

Task<Leased> Environments::ensure(Spec spec, Context context, Waiting& waiting) {
  auto& provider = providers_.of(spec);
  co_return co_await provider.ensure(std::move(spec), std::move(context), waiting);
}

Task<std::optional<Leased>> Environments::lease(Digest digest) {
  for (auto* store : stores_) {
    auto leased = co_await store->lease(digest);
    if (leased) co_return leased;
  }
  co_return std::nullopt;
}

Task<std::optional<Leased>> Environments::lease_present(Digest digest) {
  for (auto* store : stores_) {
    auto leased = co_await store->lease_present(digest);
    if (leased) co_return leased;
  }
  co_return std::nullopt;
}

Task<std::optional<bool>> Environments::is_as_built(Digest digest) {
  for (auto* store : stores_) {
    const auto answer = co_await store->is_as_built(digest);
    if (answer) co_return answer;
  }
  co_return std::nullopt;
}

Task<std::vector<Entry>> Environments::list() {
  std::vector<Entry> all;
  for (auto* store : stores_) {
    auto entries = co_await store->list();
    std::move(entries.begin(), entries.end(), std::back_inserter(all));
  }
  co_return all;
}

std::vector<Waiting::Build> Environments::building() const {
  std::vector<Waiting::Build> all;
  for (const auto* store : stores_) {
    auto builds = store->building();
    std::move(builds.begin(), builds.end(), std::back_inserter(all));
  }
  return all;
}

Task<std::string> Environments::show(Digest digest) {
  for (auto* store : stores_) {
    auto shown = co_await async::attempt(store->show(digest));
    if (shown || !is_absent(shown.error())) co_return std::move(shown.value());
  }
  in_no_store(digest);
}

Task<> Environments::remove(Digest digest) {
  for (auto* store : stores_) {
    const auto removed = co_await async::attempt(store->remove(digest));
    if (!removed && is_absent(removed.error())) continue;
    removed.value();
    co_return;
  }
  in_no_store(digest);
}

}  // namespace berth::environment
