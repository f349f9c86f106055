#include "runtime/docker/tar.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace berth::docker::tar {
namespace {

constexpr std::size_t kLongestName = 100;
constexpr std::uint64_t kLargestOctal = 077777777777;

char type_of(Kind kind) {
  switch (kind) {
    case Kind::directory:
      return '5';
    case Kind::symlink:
      return '2';
    default:
      return '0';
  }
}

void put(std::string& block, std::size_t at, std::size_t width, std::string_view text) {
  text.copy(&block[at], std::min(width, text.size()));
}

void put_octal(std::string& block, std::size_t at, std::size_t width, std::uint64_t value) {
  std::array<char, 24> digits{};
  std::snprintf(digits.data(), digits.size(), "%0*llo", static_cast<int>(width - 1),
                static_cast<unsigned long long>(value));
  put(block, at, width - 1, digits.data());
}

std::string raw_header(char type, std::string_view name, const Entry& entry, std::uint64_t size) {
  std::string block(kBlock, '\0');
  put(block, 0, kLongestName, name);
  put_octal(block, 100, 8, entry.mode & 07777U);
  put_octal(block, 108, 8, 0);
  put_octal(block, 116, 8, 0);
  put_octal(block, 124, 12, std::min(size, kLargestOctal));
  put_octal(
      block, 136, 12,
      std::clamp<std::uint64_t>(entry.modified < 0 ? 0 : static_cast<std::uint64_t>(entry.modified), 0, kLargestOctal));
  put(block, 148, 8, "        ");
  block[156] = type;
  put(block, 157, kLongestName, entry.target);
  put(block, 257, 8, std::string_view("ustar\00000", 8));
  put(block, 265, 32, "root");
  put(block, 297, 32, "root");
  std::uint64_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put_octal(block, 148, 7, sum);
  block[155] = ' ';
  return block;
}

// "17 path=a/long/name\n", where 17 counts the whole line, itself included.
std::string pax_record(std::string_view key, std::string_view value) {
  const auto fixed = key.size() + value.size() + 3;
  auto length = fixed;
  while (fixed + std::to_string(length).size() != length) length = fixed + std::to_string(length).size();
  return std::to_string(length) + " " + std::string(key) + "=" + std::string(value) + "\n";
}

}  // namespace

std::string header(const Entry& entry) {
  auto name = entry.name + (entry.kind == Kind::directory ? "/" : "");
  const auto size = entry.kind == Kind::file ? entry.size : 0;
  std::string records;
  if (name.size() > kLongestName) records += pax_record("path", name);
  if (entry.target.size() > kLongestName) records += pax_record("linkpath", entry.target);
  if (size > kLargestOctal) records += pax_record("size", std::to_string(size));
  std::string all;
  if (!records.empty()) {
    const Entry plain{Kind::file, {}, 0644, records.size(), 0, {}};
    all = raw_header('x', "pax", plain, records.size()) + records + padding(records.size());
  }
  return all + raw_header(type_of(entry.kind), name, entry, size);
}

std::string padding(std::uint64_t size) { return std::string((kBlock - size % kBlock) % kBlock, '\0'); }

std::string end() { return std::string(2 * kBlock, '\0'); }

}  // namespace berth::docker::tar
