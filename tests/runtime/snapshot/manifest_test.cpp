#include "runtime/snapshot/manifest.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/recipe.hpp"
#include "tests/runtime/snapshot/trees.hpp"

using namespace berth;
using namespace berth::snapshot;
using namespace std::string_literals;

namespace {

Manifest example() {
  ManifestBuilder builder;
  builder.begin_directory("a");
  builder.begin_directory("empty");
  builder.end_directory();
  builder.file("run.sh", true, 3, objects::sha256("abc"));
  builder.end_directory();
  builder.file("a.py", false, 0, objects::sha256(""));
  builder.symlink("link", "a/run.sh");
  builder.file("weights", false, 2 << 20, objects::sha256("recipe"));
  return builder.finish();
}

void refused(const std::string& bytes, const char* because) {
  const auto message = message_of([&] { Manifest::parse(bytes); });
  INFO(message);
  CHECK(message.find(because) != std::string::npos);
}

const std::string kDigest(32, 'd');

}  // namespace

TEST_CASE("a manifest tells entries, paths and totals") {
  const auto manifest = example();
  REQUIRE(manifest.entries().size() == 6);
  CHECK(manifest.path(2) == "a/run.sh");
  CHECK(manifest[2].kind == Kind::executable);
  CHECK(manifest[5].is_chunked());
  CHECK(manifest.find("a/empty") == 1);
  CHECK(manifest.find("link") == 4);
  CHECK_FALSE(manifest.find("a/none"));
  CHECK_FALSE(manifest.find("a.py/x"));
  CHECK_FALSE(manifest.find(""));
  CHECK(manifest.children(Manifest::kRoot) == std::vector<std::uint32_t>{0, 3, 4, 5});
  CHECK(manifest.children(0) == std::vector<std::uint32_t>{1, 2});
  CHECK(manifest.totals().files == 3);
  CHECK(manifest.totals().directories == 2);
  CHECK(manifest.totals().symlinks == 1);
  CHECK(manifest.totals().bytes == (2 << 20) + 3);
}

TEST_CASE("the bytes of a manifest are those of format version 1") {
  ManifestBuilder builder;
  builder.begin_directory("d");
  builder.file("x", true, 300, objects::sha256("abc"));
  builder.end_directory();
  builder.symlink("l", "d/x");
  const auto digest = objects::sha256("abc").bytes;
  std::string expected =
      "BRTHSNP1\x01\x01"
      "d\x03\x01"
      "x\xAC\x02"s;
  expected.append(digest.begin(), digest.end());
  expected +=
      "\x00\x04\x01l\x03"
      "d/x\x00"s;
  const auto manifest = builder.finish();
  CHECK(manifest.bytes() == expected);
  CHECK(manifest.id() == objects::sha256(expected));
  CHECK(example().id().hex() == "6536bcc33d3b07a35b831eb1a398a5cce8bbd00cef7cb0bbe4c75a5ebb3021a2");
}

TEST_CASE("a manifest parsed from its bytes is the same") {
  const auto manifest = example();
  CHECK(Manifest::parse(std::string(manifest.bytes())) == manifest);
  CHECK(Manifest().entries().empty());
}

TEST_CASE("the name, the kind and the executable bit are part of a snapshot's id") {
  const auto id = [](std::string_view name, bool executable) {
    ManifestBuilder builder;
    builder.file(name, executable, 1, objects::sha256("x"));
    return builder.finish().id();
  };
  CHECK(id("a", false) != id("b", false));
  CHECK(id("a", false) != id("a", true));
}

TEST_CASE("names that could do harm are refused") {
  for (const auto& name :
       {".."s, "."s, "a/b"s, "/"s, "a\nb"s, "a\0b"s, ""s, "\xC3\x28"s, "\xED\xA0\x80"s, std::string(256, 'a')}) {
    CHECK_FALSE(is_valid_name(name));
    std::string bytes = "BRTHSNP1\x04";
    if (name.size() >= 128)
      bytes += static_cast<char>(name.size() | 0x80), bytes += static_cast<char>(name.size() >> 7);
    else
      bytes += static_cast<char>(name.size());
    refused(bytes + name + "\x01t\x00"s, "a name is not allowed");
  }
  for (const auto& name : {"..."s, " "s, "é"s, "-rf"s, "a\tb"s, std::string(255, 'a')}) CHECK(is_valid_name(name));
}

TEST_CASE("whatever is not canonical is refused") {
  refused("", "no manifest");
  refused("BRTHSNP2\x00"s, "no manifest");
  refused("BRTHSNP1", "ends early");
  refused("BRTHSNP1\x00\x00"s, "bytes follow");
  refused(
      "BRTHSNP1\x07\x01"
      "a\x00"s,
      "no known kind");
  refused(
      "BRTHSNP1\x01\x01"
      "b\x00\x01\x01"
      "a\x00\x00"s,
      "out of order");
  refused(
      "BRTHSNP1\x01\x01"
      "a\x00\x01\x01"
      "a\x00\x00"s,
      "out of order");
  refused(
      "BRTHSNP1\x04\x81\x00"
      "a\x01t\x00"s,
      "number is malformed");
  refused(
      "BRTHSNP1\x04\x01"
      "a\x00\x00"s,
      "target");
  refused(
      "BRTHSNP1\x04\x01"
      "a\x01\x00\x00"s,
      "target");
  refused(
      "BRTHSNP1\x02\x01"
      "a\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"s +
          kDigest + "\x00"s,
      "larger than 1 TiB");
  refused(
      "BRTHSNP1\x02\x01"
      "a\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"s +
          kDigest + "\x00"s,
      "number is malformed");
  std::string deep = "BRTHSNP1";
  for (int i = 0; i < 300; ++i)
    deep +=
        "\x01\x01"
        "a";
  refused(deep + std::string(301, '\0'), "too deep");
}

TEST_CASE("a manifest cut short anywhere is refused") {
  const auto manifest = example();
  for (std::size_t size = 0; size < manifest.bytes().size(); ++size)
    CHECK(code_of([&] { Manifest::parse(std::string(manifest.bytes().substr(0, size))); }) == Code::corrupt);
}

TEST_CASE("the builder refuses what would not be canonical") {
  ManifestBuilder builder;
  builder.file("b", false, 0, {});
  CHECK_THROWS_AS(builder.file("a", false, 0, {}), Error);
  CHECK_THROWS_AS(builder.file("c/d", false, 0, {}), Error);
  builder.begin_directory("d");
  CHECK_THROWS_AS(builder.finish(), Error);
}

TEST_CASE("a recipe adds up to its file") {
  Recipe recipe;
  recipe.add(objects::sha256("x"), 1'000'000);
  recipe.add(objects::sha256("y"), 500'000);
  const auto bytes = recipe.bytes();
  const auto parsed = Recipe::parse(bytes, 1'500'000);
  REQUIRE(parsed.chunks().size() == 2);
  CHECK(parsed.chunks()[1].offset == 1'000'000);
  CHECK(parsed.chunks()[1].digest == objects::sha256("y"));
  CHECK(code_of([&] { Recipe::parse(bytes, 1'500'001); }) == Code::corrupt);
  CHECK(code_of([&] { Recipe::parse(bytes.substr(0, 50), 1'500'000); }) == Code::corrupt);
  CHECK(code_of([&] { Recipe::parse("BRTHRCP2", 0); }) == Code::corrupt);
  Recipe empty_chunk;
  empty_chunk.add(objects::sha256(""), 0);
  CHECK(code_of([&] { Recipe::parse(empty_chunk.bytes(), 0); }) == Code::corrupt);
}
