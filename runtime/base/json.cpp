#include "runtime/base/json.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/units.hpp"

namespace berth {
namespace {

// The library's own ways to look at values as they are read go through what was read before, for each object.
template <class Json>
class Reading : public nlohmann::json_sax<Json> {
 public:
  Reading(const JsonBounds& bounds, std::size_t& values) : bounds_(bounds), values_(values) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(typename Json::number_integer_t value) override { return add(value); }
  bool number_unsigned(typename Json::number_unsigned_t value) override { return add(value); }
  bool number_float(typename Json::number_float_t value, const typename Json::string_t&) override { return add(value); }
  bool string(typename Json::string_t& value) override { return add(std::move(value)); }
  bool binary(typename Json::binary_t& value) override { return add(std::move(value)); }

  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(typename Json::string_t& name) override {
    count();
    member_ = &(*open_.back())[std::move(name)];
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const typename Json::exception& error) override {
    if (dynamic_cast<const typename Json::out_of_range*>(&error) != nullptr)  // a number that no double holds
      throw Error(Code::invalid, "JSON with a number out of range");
    throw Error(Code::invalid, "malformed JSON at byte " + std::to_string(position));
  }

 private:
  void count() {
    if (values_ == 0) throw Error(Code::too_large, "JSON with more values than are read here");
    --values_;
  }

  Json& place(Json value) {
    count();
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_object()) return *member_ = std::move(value);
    return open_.back()->emplace_back(std::move(value));
  }

  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  // What is open is the last of its list, or the member that is read: nothing moves it.
  bool open(Json value) {
    if (open_.size() >= bounds_.depth) throw Error(Code::invalid, "JSON is nested too deeply");
    open_.push_back(&place(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const JsonBounds& bounds_;
  std::size_t& values_;
  Json root_;
  std::vector<Json*> open_;
  Json* member_ = nullptr;
};

template <class Json>
Json read(std::string_view text, const JsonBounds& bounds, std::size_t& values) {
  if (text.size() > bounds.bytes)
    throw Error(Code::too_large, "JSON of " + to_text(ByteSize(text.size())) + " is over the limit of " +
                                     to_text(ByteSize(bounds.bytes)));
  Reading<Json> reading(bounds, values);
  Json::sax_parse(text, &reading);
  return reading.take();
}

}  // namespace

nlohmann::json read_json(std::string_view text, const JsonBounds& bounds, std::size_t& values) {
  return read<nlohmann::json>(text, bounds, values);
}

nlohmann::json read_json(std::string_view text, const JsonBounds& bounds) {
  auto values = bounds.values;
  return read<nlohmann::json>(text, bounds, values);
}

nlohmann::ordered_json read_ordered_json(std::string_view text, const JsonBounds& bounds) {
  auto values = bounds.values;
  return read<nlohmann::ordered_json>(text, bounds, values);
}

nlohmann::json json_or_null(std::string_view text, const JsonBounds& bounds) {
  try {
    return read_json(text, bounds);
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace berth
