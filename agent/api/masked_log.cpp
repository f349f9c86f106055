#include "agent/api/masked_log.hpp"

#include <fcntl.h>

#include <algorithm>

#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::api {
namespace {

constexpr std::size_t kQuick = 2U << 20;  // bytes to look at, counted for each text: below a millisecond

class MaskedStream : public http::Stream {
 public:
  MaskedStream(http::Stream& out, const logs::Mask& mask, std::string_view before, async::Pool& pool)
      : out_(out), mask_(mask), masking_(mask), pool_(pool) {
    masking_.prime(before);
  }

  async::Task<> write(std::string_view bytes) override {
    std::string shown;
    auto feed = [&] { shown = masking_.feed(bytes); };
    if (mask_.texts().size() * bytes.size() > kQuick)
      co_await async::offload(pool_, feed);
    else
      feed();
    if (!shown.empty() || bytes.empty()) co_await out_.write(shown);
  }

  async::Task<> finish() {
    const auto rest = masking_.finish();
    if (!rest.empty()) co_await out_.write(rest);
  }

 private:
  http::Stream& out_;
  const logs::Mask& mask_;
  logs::Masking masking_;
  async::Pool& pool_;
};

async::Task<> write_masked(http::Stream& out, http::Response::Writer writer, std::shared_ptr<const logs::Mask> mask,
                           std::string before, async::Pool& pool) {
  MaskedStream stream(out, *mask, before, pool);
  co_await writer(stream);
  co_await stream.finish();
}

}  // namespace

http::Response::Writer masked(http::Response::Writer writer, std::shared_ptr<const logs::Mask> mask, std::string before,
                              async::Pool& pool) {
  return [writer = std::move(writer), mask = std::move(mask), before = std::move(before), &pool](http::Stream& out) {
    return write_masked(out, writer, mask, before, pool);
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
