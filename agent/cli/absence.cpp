#include "agent/cli/absence.hpp"

#include <algorithm>
#include <thread>

#include "agent/cli/output.hpp"

namespace berth::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstPause{20};
constexpr milliseconds kLongestPause{1000};
constexpr std::chrono::minutes kPatience{10};

}  // namespace

bool agent_is_away(const Error& error) {
  return error.code() == Code::unavailable || error.code() == Code::io || error.code() == Code::timeout;
}

void Absence::endure(const Error& why, const std::string& hint) {
  if (!since_) {
    since_ = steady_clock::now();
    remark("the agent went away (it may be restarting); " + meanwhile_ + ", waiting for the agent");
  }
  if (steady_clock::now() - *since_ > kPatience)
    throw Error(Code::unavailable, "the agent did not come back: " + why.message(), hint);
  const auto pause = pause_.value_or(kFirstPause);
  std::this_thread::sleep_for(pause);
  pause_ = std::min(pause * 2, kLongestPause);
}

void Absence::end() {
  remark("the agent is back");
  since_.reset();
  pause_.reset();
}

}  // namespace berth::cli
