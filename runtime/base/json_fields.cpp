#include "runtime/base/json_fields.hpp"

#include "runtime/base/json_walkers.hpp"

namespace berth {

nlohmann::json json_of(AnyMessage message) { return described::Writer<nlohmann::json>(Texts::utf8).write(message); }

void read_fields(const nlohmann::json& json, AnyMessage message, std::string_view what, Unknown unknown) {
  described::Reader<nlohmann::json>(unknown, Texts::utf8).read(json, message, what);
}

std::string text_of(AnyMessage message) { return dumped(json_of(message)); }

std::string dumped(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace berth
