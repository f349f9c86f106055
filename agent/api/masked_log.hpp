#pragma once

// A log as its readers may see it: with the secrets of its job hidden, byte for byte as long as it is.

#include <memory>
#include <string>

#include "agent/api/log_sink.hpp"
#include "agent/model/principal.hpp"
#include "runtime/async/lanes.hpp"
#include "runtime/logs/mask.hpp"

namespace berth::api {

// Where and for whom logs are masked: small pieces at once, others in a lane of the reader.
struct MaskingLane {
  async::Lanes& lanes;
  model::LimitKey reader;
};

// The next piece of a stream, masked.
async::Task<std::string> masked_piece(logs::Masking& masking, std::string_view bytes, MaskingLane lane);
// What `writer` writes, masked. `before` is what comes before its first byte (log_before). What may be the beginning of
// a secret is held back, so that a frame may begin before the one it is made of; none goes beyond a hole or a log's
// end.
LogWriter masked(LogWriter writer, std::shared_ptr<const logs::Mask> mask, std::string before, MaskingLane lane);
// As much of the log before `offset` as the mask must have seen; blocks for one read of some KiB. "" where there is no
// log.
std::string log_before(const std::string& log, std::uint64_t offset, const logs::Mask& mask);

}  // namespace berth::api
