// Whatever bytes arrive as a job request: an Error that tells why, or a request that survives its JSON
// unchanged.

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "agent/model/json.hpp"
#include "runtime/base/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  try {
    const auto request =
        model::request_from_json(model::parse_json(std::string_view(reinterpret_cast<const char*>(data), size)));
    if (model::request_from_json(model::parse_json(model::to_json(request).dump())) != request) std::abort();
    model::validate(request);
  } catch (const Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
