#include "agent/jobs/masks.hpp"

#include <optional>
#include <utility>

#include "runtime/async/attempt.hpp"
#include "runtime/base/units.hpp"

namespace berth::jobs {

using async::Task;

namespace {

constexpr std::size_t kMostOfReader = 8U << 20;
constexpr std::size_t kMostInAll = 24U << 20;
constexpr async::Shares::Owner kAll = 0;  // readers wait for each other
static_assert(model::kMostMasked * kMostSpelled * logs::Mask::kBytesPerByte < kMostOfReader);

}  // namespace

void Masks::Ledger::add(const model::Principal& reader, std::size_t more) {
  bytes[reader.limit_key()] += more;
  if (reader.is_bounded()) in_all += more;
}

void Masks::Ledger::subtract(const model::Principal& reader, std::size_t less) {
  const auto found = bytes.find(reader.limit_key());
  found->second -= less;
  if (found->second == 0) bytes.erase(found);
  if (reader.is_bounded()) in_all -= less;
}

// For as long as somebody has it, the reader it was made for pays for it.
struct Masks::Charged {
  Charged(logs::Mask made, model::Principal who, std::shared_ptr<Ledger> at)
      : mask(std::move(made)), bytes(mask.bytes()), reader(std::move(who)), ledger(std::move(at)) {
    ledger->add(reader, bytes);
  }
  Charged(const Charged&) = delete;
  Charged& operator=(const Charged&) = delete;
  ~Charged() { ledger->subtract(reader, bytes); }

  const logs::Mask mask;
  const std::size_t bytes;
  const model::Principal reader;
  const std::shared_ptr<Ledger> ledger;
};

void Masks::check_room(const model::Principal& reader, std::size_t bytes) const {
  const auto found = ledger_->bytes.find(reader.limit_key());
  const auto own = found != ledger_->bytes.end() ? found->second : 0;
  if (own + bytes > kMostOfReader)
    throw Error(Code::unavailable, "the logs that you read at this moment have more secrets than can be masked at once",
                "read one after the other");
  if (reader.is_bounded() && ledger_->in_all + bytes > kMostInAll)
    throw Error(Code::unavailable, "the logs that are read at this moment have more secrets than can be masked at once",
                "try again in a moment");
}

Task<Masks::Kept> Masks::of(model::Sequence job, model::Principal reader, std::function<Task<Values>()> open) {
  std::erase_if(entries_, [](const auto& each) { return each.second.use_count() == 1 && each.second->mask.expired(); });
  auto& place = entries_[job];
  if (!place) place = std::make_shared<Entry>();
  const auto entry = place;
  if (auto mask = entry->mask.lock()) co_return mask;
  const auto share = co_await entry->making.take(kAll);
  if (auto mask = entry->mask.lock()) co_return mask;
  auto values = co_await open();
  auto mask = co_await make(std::move(values), std::move(reader));
  entry->mask = mask;
  co_return mask;
}

Task<Masks::Kept> Masks::make(Values values, model::Principal reader) {
  check_size(values);
  check_room(reader, sizeof(logs::Mask) + model::bytes_of(values) * kMostSpelled * logs::Mask::kBytesPerByte);
  std::optional<logs::Mask> made;
  auto build = [&](const std::stop_token&) { made.emplace(mask_of(values)); };
  co_await async::offload(lanes_, reader.limit_key(), build);
  const auto charged = std::make_shared<Charged>(std::move(*made), std::move(reader), ledger_);
  co_return Kept(charged, &charged->mask);
}

Task<Error> Masks::hide(Error error, const model::JobSecrets& secrets, async::Lanes::Owner owner) {
  std::optional<Error> hidden;
  auto work = [&](const std::stop_token&) { hidden.emplace(masked(error, mask_of(secrets))); };
  auto hiding = async::offload(lanes_, owner, work);
  const auto done = co_await async::attempt(std::move(hiding));
  if (!done) {
    hidden.emplace(error.code(), "what went wrong cannot be told: " + done.error().message());
    hidden->for_lack_of(error.lack());
  }
  co_return std::move(*hidden);
}

}  // namespace berth::jobs
