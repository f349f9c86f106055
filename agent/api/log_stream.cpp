#include "agent/api/log_stream.hpp"

#include <sys/inotify.h>

#include <array>

#include "runtime/async/deadline.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::api {
namespace {

using Buffer = std::array<char, 65536>;

// Sends all there is from `offset` on; returns where it stopped.
async::Task<std::uint64_t> send_rest(http::Stream& out, logs::LogReader& reader, std::uint64_t offset) {
  const auto buffer = std::make_unique<Buffer>();
  for (;;) {
    const auto piece = reader.read(offset, *buffer);
    if (piece.length == 0) co_return piece.next;
    co_await out.write(std::string_view(buffer->data(), piece.length));
    offset = piece.next;
  }
}

// Sends what is appended, for ever.
async::Task<> send_growing(http::Stream& out, logs::LogReader& reader, async::Watcher::Watch& changes,
                           std::uint64_t& offset) {
  for (;;) {
    offset = co_await send_rest(out, reader, offset);
    co_await changes.changed();
  }
}

}  // namespace

async::Task<> send_log(http::Stream& out, const std::string& log, const std::string& index, std::uint64_t offset) {
  logs::LogReader reader(log, index);
  co_await send_rest(out, reader, offset);
}

async::Task<> follow_log(http::Stream& out, jobs::Jobs& jobs, const jobs::Workplaces& workplaces,
                         async::Watcher& watcher, store::Sequence job, model::JobId id, int launch,
                         std::uint64_t offset) {
  constexpr std::string_view kNothing;
  co_await out.write(kNothing);  // the header, so that the reader knows he is connected
  for (;;) {
    // A launch that is over has its log, one that is about to start has none yet.
    if (launch == 0 || !os::exists(os::join(workplaces.directory(id, launch), shim::kLogFile))) {
      launch = co_await jobs.wait_for_launch(job, launch);
      if (launch == 0) co_return;  // it ended without a further start
    }
    const auto directory = workplaces.directory(id, launch);
    const auto log = os::join(directory, shim::kLogFile);
    logs::LogReader reader(log, os::join(directory, shim::kLogIndexFile));
    const auto changes = watcher.watch(log, IN_MODIFY);
    auto sending = send_growing(out, reader, *changes, offset);
    auto over = jobs.wait_until_over(job, launch);
    co_await async::run_until(std::move(sending), std::move(over));
    co_await send_rest(out, reader, offset);
    offset = 0;
    ++launch;
  }
}

}  // namespace berth::api
