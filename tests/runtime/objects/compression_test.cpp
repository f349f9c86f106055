#include "runtime/objects/compression.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "runtime/base/error.hpp"
#include "runtime/objects/frame.hpp"
#include "tests/runtime/objects/random_bytes.hpp"

using namespace berth;
using namespace berth::objects;

TEST_CASE("a one-line edit of a small file makes a delta of a few dozen bytes") {
  const auto before = random_text(10'000, 1);
  auto after = before;
  after.insert(5000, "a new line of code\n");
  Compressor compressor;
  const auto delta = compressor.delta(after, before);
  CHECK(delta.size() < 60);
  Decompressor decompressor;
  std::string applied(after.size(), '\0');
  CHECK(decompressor.apply(delta, before, applied));
  CHECK(applied == after);
}

TEST_CASE("a delta against the wrong base, or of the wrong size, is refused or wrong but never harmful") {
  const auto before = random_text(10'000, 1);
  const auto after = before + "more\n";
  Compressor compressor;
  const auto delta = compressor.delta(after, before);
  Decompressor decompressor;
  std::string room(after.size() - 1, '\0');
  CHECK_FALSE(decompressor.apply(delta, before, room));
  room.resize(after.size() + 1);
  CHECK_FALSE(decompressor.apply(delta, before, room));
  CHECK_FALSE(decompressor.apply("garbage", before, room));
  room.resize(after.size());
  if (decompressor.apply(delta, random_text(10'000, 2), room)) CHECK(room != after);
  // The context is none the worse for it.
  CHECK(decompressor.apply(delta, before, room));
  CHECK(room == after);
}

TEST_CASE("frames keep what does not shrink as it is") {
  Compressor compressor;
  Decompressor decompressor;
  for (const bool shrinks : {false, true}) {
    for (const std::size_t size : {0U, 1U, 1000U, 300'000U, 1'500'000U}) {
      const auto raw = shrinks ? random_text(size, 5) : random_bytes(size, 5);
      Buffer stored;
      const auto encoding = encode_frame(compressor, raw, stored);
      CHECK((encoding == Encoding::zstd) == (shrinks && size >= 1000));
      Buffer back(size);
      decode_frame(decompressor, encoding, stored.view(), back.span());
      CHECK(back.view() == raw);
    }
  }
}

TEST_CASE("numbers shrink by their exponents") {
  std::mt19937 random(1);
  std::normal_distribution<float> weight(0.0F, 0.02F);
  for (const std::size_t odd : {0U, 3U}) {
    std::string raw(2'000'000 + odd, 'x');
    for (std::size_t i = 0; i + 4 <= raw.size() - odd; i += 4) {
      const float value = weight(random);
      std::memcpy(raw.data() + odd + i, &value, 4);
    }
    Compressor compressor;
    Decompressor decompressor;
    Buffer stored;
    CHECK(encode_frame(compressor, raw, stored) == Encoding::planes);
    CHECK(stored.size() < raw.size() * 88 / 100);
    Buffer back(raw.size());
    decode_frame(decompressor, Encoding::planes, stored.view(), back.span());
    CHECK(back.view() == raw);
    CHECK_THROWS_AS(decode_frame(decompressor, Encoding::planes, stored.view(), back.span().first(raw.size() - 1)),
                    Error);
  }
}

TEST_CASE("a frame that yields more or less than it claims is refused") {
  const auto raw = random_text(100'000, 1);
  Compressor compressor;
  Decompressor decompressor;
  Buffer stored;
  REQUIRE(encode_frame(compressor, raw, stored) == Encoding::zstd);
  for (const std::size_t claimed : {raw.size() - 1, raw.size() + 1}) {
    Buffer back(claimed);
    CHECK_THROWS_AS(decode_frame(decompressor, Encoding::zstd, stored.view(), back.span()), Error);
    CHECK_THROWS_AS(decode_frame(decompressor, Encoding::raw, stored.view(), back.span()), Error);
  }
}
