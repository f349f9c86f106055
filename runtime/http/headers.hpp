#pragma once

// Header fields of a message: in order, names compared without regard to case.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::http {

bool same_name(std::string_view a, std::string_view b);  // ASCII case ignored
std::string_view trimmed(std::string_view text);  // without blanks and tabs around it

class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  // The value of the first field of that name.
  std::optional<std::string_view> find(std::string_view name) const;
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  // Replaces all fields of that name by one.
  void set(std::string_view name, std::string value);
  std::size_t size() const { return fields_.size(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

}  // namespace berth::http
