#include "runtime/objects/workers.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>

namespace berth::objects {
namespace {

unsigned usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1U, static_cast<unsigned>(CPU_COUNT(&set)));
}

}  // namespace

unsigned workers_for(std::uint64_t bytes) {
  constexpr std::uint64_t kWorthAThread = 1ULL << 20;
  if (bytes < 2 * kWorthAThread) return 1;
  return static_cast<unsigned>(std::min<std::uint64_t>({4, usable_cores(), bytes / kWorthAThread}));
}

void parallel_for(unsigned workers, std::size_t count, const std::function<void(std::size_t, unsigned)>& work) {
  std::atomic<std::size_t> following{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto loop = [&](unsigned worker) {
    try {
      for (std::size_t i = following++; i < count; i = following++) work(i, worker);
    } catch (...) {
      following = count;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    try {
      for (unsigned i = 1; i < workers; ++i) threads.emplace_back([&loop, i] { loop(i); });
    } catch (const std::exception&) {  // those that could be started do it
    }
    loop(0);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace berth::objects
