#include "agent/api/masked_log.hpp"

#include <fcntl.h>

#include <algorithm>

#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::api {
namespace {

constexpr std::size_t kAtOnce = 4096;  // bytes: far below a millisecond, whatever they and the secrets are

class MaskedStream : public http::Stream {
 public:
  MaskedStream(http::Stream& out, const logs::Mask& mask, std::string_view before, MaskingLane lane)
      : out_(out), masking_(mask), lane_(lane) {
    masking_.prime(before);
  }

  async::Task<> write(std::string_view bytes) override {
    const auto shown = co_await masked_piece(masking_, bytes, lane_);
    if (!shown.empty() || bytes.empty()) co_await out_.write(shown);
  }

  async::Task<> finish() {
    const auto rest = masking_.finish();
    if (!rest.empty()) co_await out_.write(rest);
  }

 private:
  http::Stream& out_;
  logs::Masking masking_;
  MaskingLane lane_;
};

async::Task<> write_masked(http::Stream& out, http::Response::Writer writer, std::shared_ptr<const logs::Mask> mask,
                           std::string before, MaskingLane lane) {
  MaskedStream stream(out, *mask, before, lane);
  co_await writer(stream);
  co_await stream.finish();
}

}  // namespace

async::Task<std::string> masked_piece(logs::Masking& masking, std::string_view bytes, MaskingLane lane) {
  if (bytes.size() <= kAtOnce) co_return masking.feed(bytes);
  auto feed = [&](const std::stop_token&) { return masking.feed(bytes); };
  co_return co_await async::offload(lane.lanes, lane.reader, feed);
}

http::Response::Writer masked(http::Response::Writer writer, std::shared_ptr<const logs::Mask> mask, std::string before,
                              MaskingLane lane) {
  return [writer = std::move(writer), mask = std::move(mask), before = std::move(before), lane](http::Stream& out) {
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
