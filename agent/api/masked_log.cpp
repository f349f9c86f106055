#include "agent/api/masked_log.hpp"

#include <fcntl.h>

#include <algorithm>

#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::api {
namespace {

class MaskedStream : public http::Stream {
 public:
  MaskedStream(http::Stream& out, const logs::Mask& mask, std::string_view before) : out_(out), masking_(mask) {
    masking_.prime(before);
  }

  async::Task<> write(std::string_view bytes) override {
    const auto shown = masking_.feed(bytes);
    if (!shown.empty() || bytes.empty()) co_await out_.write(shown);
  }

  async::Task<> finish() {
    const auto rest = masking_.finish();
    if (!rest.empty()) co_await out_.write(rest);
  }

 private:
  http::Stream& out_;
  logs::Masking masking_;
};

async::Task<> write_masked(http::Stream& out, http::Response::Writer writer, std::shared_ptr<const logs::Mask> mask,
                           std::string before) {
  MaskedStream stream(out, *mask, before);
  co_await writer(stream);
  co_await stream.finish();
}

}  // namespace

http::Response::Writer masked(http::Response::Writer writer, std::shared_ptr<const logs::Mask> mask, std::string before) {
  return [writer = std::move(writer), mask = std::move(mask), before = std::move(before)](http::Stream& out) {
    return write_masked(out, writer, mask, before);
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
