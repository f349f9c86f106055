// Whatever bytes arrive as a job request: an Error that tells why, or a request that survives its JSON
// unchanged.

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "agent/wire/json_text.hpp"
#include "agent/wire/request.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  try {
    const auto request =
        wire::request_from(wire::parse_json(std::string_view(reinterpret_cast<const char*>(data), size)));
    if (wire::request_from(wire::parse_json(text_of(request))) != request) std::abort();
    model::validate(request);
  } catch (const Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
