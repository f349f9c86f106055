#pragma once

// A log as its readers may see it: with the secrets of its job hidden, byte for byte as long as it is.

#include <memory>
#include <string>

#include "runtime/async/offload.hpp"
#include "runtime/http/response.hpp"
#include "runtime/logs/mask.hpp"

namespace berth::api {

// What `writer` streams, masked. `before` is what comes before its first byte (log_before).
// Where there is much to look for, `pool` does it.
http::Response::Writer masked(http::Response::Writer writer, std::shared_ptr<const logs::Mask> mask, std::string before,
                              async::Pool& pool);
// As much of the log before `offset` as the mask must have seen; blocks for one read of some KiB. "" where there is no log.
std::string log_before(const std::string& log, std::uint64_t offset, const logs::Mask& mask);

}  // namespace berth::api
