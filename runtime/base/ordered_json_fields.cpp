// With the fields in their order, as the files of a launch have them.

#include "runtime/base/json_fields.hpp"
#include "runtime/base/json_walkers.hpp"

namespace berth {

nlohmann::ordered_json ordered_json_of(AnyMessage message, Texts texts) {
  return described::Writer<nlohmann::ordered_json>(texts).write(message);
}

void read_fields(const nlohmann::ordered_json& json, AnyMessage message, std::string_view what, Texts texts) {
  described::Reader<nlohmann::ordered_json>(Unknown::ignored, texts).read(json, message, what);
}

}  // namespace berth
