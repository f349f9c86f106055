#include "runtime/http/allowance.hpp"

#include "runtime/base/error.hpp"

namespace berth::http {
namespace {

constexpr std::uint64_t kSmall = 64U << 10;

}  // namespace

void MemoryBudget::Share::take(std::uint64_t bytes) {
  small_ += bytes;
  if (small_ <= kSmall) return;
  auto& own = budget_.sources_[source_];
  if (own + bytes > budget_.per_source_) {
    if (own == 0) budget_.sources_.erase(source_);
    throw Error(Code::unavailable,
                "your requests under way would take more than " + to_text(ByteSize(budget_.per_source_)) + " of memory",
                "try again when one of them is done");
  }
  if (budget_.all_ + bytes > budget_.in_all_) {
    if (own == 0) budget_.sources_.erase(source_);
    throw Error(Code::unavailable,
                "all requests under way would take more than " + to_text(ByteSize(budget_.in_all_)) + " of memory",
                "try again in a moment");
  }
  own += bytes;
  budget_.all_ += bytes;
  taken_ += bytes;
}

void MemoryBudget::Share::give_back() {
  if (taken_ == 0) return;
  budget_.all_ -= taken_;
  const auto found = budget_.sources_.find(source_);
  found->second -= taken_;
  if (found->second == 0) budget_.sources_.erase(found);
  taken_ = small_ = 0;
}

}  // namespace berth::http
