#include "runtime/base/fields.hpp"

namespace berth {

void Fields::named(const char*, const char*) {}
void Fields::answered(const char*, const char*) {}

void Fields::visit(std::uint64_t& number, const How& how) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  visit_number(number, how.least > 0 ? static_cast<std::uint64_t>(how.least) : 0,
               how.most < kMost ? static_cast<std::uint64_t>(how.most) : std::numeric_limits<std::uint64_t>::max());
}

void Fields::visit(ByteSize& size, const How& how) {
  auto bytes = size.bytes();
  visit(bytes, how);
  size = ByteSize(bytes);
}

}  // namespace berth
