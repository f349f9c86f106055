#include "runtime/environment/waiting.hpp"

#include "runtime/base/units.hpp"

namespace berth::environment {

std::string Waiting::description(Instant now) const {
  if (!build_) return {};
  const auto so_long = to_words(std::max(now - build_->since, Micros(0)));
  return "waits for the " + build_->words + " " + build_->digest.brief() +
         (build_->running ? ", building for " + so_long : ", which waits for other builds since " + so_long);
}

void Waiting::abandon() {
  abandoned_ = true;
  changed_.notify_all();
}

async::Task<> Waiting::until_abandoned() {
  while (!abandoned_) co_await changed_.wait();
}

void Waiting::tell(Build build) {
  build_ = std::move(build);
  changed_.notify_all();
}

}  // namespace berth::environment
