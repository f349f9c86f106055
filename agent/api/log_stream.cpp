#include "agent/api/log_stream.hpp"

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <string_view>

#include "agent/api/log_changes.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/logs/mask.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::api {
namespace {

using Buffer = std::array<char, 65536>;

// A mask adds what it held back of the piece before.
static_assert(std::tuple_size_v<Buffer> + logs::Mask::kLongest <= model::LogFrame::kLongestText);

constexpr int kPiecesAtOnce = 4;

// A reader who takes everything at once would otherwise keep the loop to himself.
async::Task<> let_others_in() { co_await boost::asio::post(boost::asio::use_awaitable); }

// Sends all there is from `offset` on; returns where it stopped.
async::Task<std::uint64_t> send_rest(LogSink& out, logs::LogReader& reader, int attempt, std::uint64_t offset) {
  using Kind = model::LogFrame::Kind;
  const auto buffer = std::make_unique<Buffer>();
  model::LogFrame frame;
  frame.attempt = attempt;
  for (int pieces = 1;; ++pieces) {
    const auto piece = reader.read(offset, *buffer);
    if (piece.length == 0) co_return piece.next;
    frame.kind = piece.left_out ? Kind::left_out : Kind::text;
    frame.begin = offset;
    frame.end = offset = piece.next;
    frame.text = std::string_view(buffer->data(), piece.length);
    co_await out.take(frame);
    if (pieces % kPiecesAtOnce == 0) co_await let_others_in();
  }
}

// Only waiting is ever interrupted, never a write: what a slow reader has not got when the launch ends is sent then.
async::Task<> follow_launch(LogSink& out, Services& services, const Following& what, int attempt) {
  const auto directory = services.directories.directory(what.id, what.launch);
  const auto log = os::join(directory, shim::kLogFile);
  logs::LogReader reader(log, os::join(directory, shim::kLogIndexFile));
  LogChanges changes(services.watcher, services.log_watches, what.reader, log);
  auto offset = what.offset;
  bool over = false;
  for (;;) {
    const auto end = co_await send_rest(out, reader, attempt, offset);
    if (end != offset) changes.grew();
    offset = end;
    if (over) co_return;
    auto change = changes.changed();
    auto ended = services.jobs.wait_until_over(what.job, what.launch);
    over = co_await async::run_until(std::move(change), std::move(ended));
  }
}

bool has_log(const Services& services, const Following& what) {
  return what.launch > 0 && os::exists(os::join(services.directories.directory(what.id, what.launch), shim::kLogFile));
}

// Which attempt the launch belongs to; 0 while it is not on record. An attempt is there with its last launch; those
// before it, back to the attempt before, never began.
int attempt_of(const Services& services, const Following& what) {
  if (const auto job = services.store.columns(what.job))
    for (const auto& attempt : job->attempts)
      if (attempt.launch >= what.launch) return attempt.number;
  return 0;
}

}  // namespace

async::Task<> send_log(LogSink& out, const std::string& log, const std::string& index, int attempt,
                       std::uint64_t offset) {
  logs::LogReader reader(log, index);
  co_await send_rest(out, reader, attempt, offset);
  co_await out.finish();
}

async::Task<> follow_log(LogSink& out, Services& services, Following what) {
  co_await out.open();
  for (;;) {
    // A launch that is over has its log and is on record; one that is about to start may have one of both already.
    int attempt = has_log(services, what) ? attempt_of(services, what) : 0;
    if (attempt == 0) {
      what.launch = co_await services.jobs.wait_for_launch(what.job, what.launch);
      if (what.launch == 0) co_return;  // it ended without a further start
      attempt = attempt_of(services, what);
    }
    if (what.attempt && attempt != *what.attempt) co_return;
    co_await follow_launch(out, services, what, attempt);
    co_await out.finish();
    what.offset = 0;
    ++what.launch;
  }
}

}  // namespace berth::api
