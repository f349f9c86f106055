#include "agent/api/masked_log.hpp"

#include <fcntl.h>

#include <algorithm>

#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::api {
namespace {

constexpr std::size_t kAtOnce = 4096;  // bytes: far below a millisecond, whatever they and the secrets are

class MaskedSink : public LogSink {
 public:
  MaskedSink(LogSink& out, const logs::Mask& mask, std::string_view before, MaskingLane lane)
      : out_(out), masking_(mask), lane_(lane) {
    masking_.prime(before);
  }

  async::Task<> open() override { co_await out_.open(); }

  async::Task<> take(model::LogFrame frame) override {
    if (frame.kind == model::LogFrame::Kind::left_out) {
      co_await take_held();
      masking_.behind_hole();
      co_await out_.take(frame);
      co_return;
    }
    last_ = frame;
    const auto shown = co_await masked_piece(masking_, frame.text, lane_);
    co_await pass_on(shown);
  }

  async::Task<> finish() override {
    co_await take_held();
    co_await out_.finish();
  }

 private:
  async::Task<> take_held() {
    const auto rest = masking_.finish();
    co_await pass_on(rest);
  }

  // What is shown ends where what is still held back begins.
  async::Task<> pass_on(std::string_view shown) {
    if (shown.empty()) co_return;
    auto frame = last_;
    frame.end = last_.end - masking_.held();
    frame.begin = frame.end - shown.size();
    frame.text = shown;
    co_await out_.take(frame);
  }

  LogSink& out_;
  logs::Masking masking_;
  MaskingLane lane_;
  model::LogFrame last_;  // but for its text
};

async::Task<> write_masked(LogSink& out, LogWriter writer, std::shared_ptr<const logs::Mask> mask, std::string before,
                           MaskingLane lane) {
  MaskedSink sink(out, *mask, before, lane);
  co_await writer(sink);
}

}  // namespace

async::Task<std::string> masked_piece(logs::Masking& masking, std::string_view bytes, MaskingLane lane) {
  if (bytes.size() <= kAtOnce && !masking.is_behind_hole()) co_return masking.feed(bytes);
  auto feed = [&](const std::stop_token&) { return masking.feed(bytes); };
  co_return co_await async::offload(lane.lanes, lane.reader, feed);
}

LogWriter masked(LogWriter writer, std::shared_ptr<const logs::Mask> mask, std::string before, MaskingLane lane) {
  return [writer = std::move(writer), mask = std::move(mask), before = std::move(before), lane](LogSink& out) {
    return write_masked(out, writer, mask, before, lane);
  };
}

std::string log_before(const std::string& log, std::uint64_t offset, const logs::Mask& mask) {
  if (offset == 0 || !os::exists(log)) return {};
  std::string before(std::min<std::uint64_t>(offset, mask.longest()), '\0');
  const auto file = os::open(log, O_RDONLY);
  before.resize(os::read_at(file, std::span(before), offset - before.size()));
  return before;
}

}  // namespace berth::api
