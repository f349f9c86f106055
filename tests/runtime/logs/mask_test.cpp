#include "runtime/logs/mask.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace berth::logs;

namespace {

std::string in_pieces(const Mask& mask, const std::string& text, std::size_t piece) {
  Masking masking(mask);
  std::string shown;
  for (std::size_t at = 0; at < text.size(); at += piece) shown += masking.feed(std::string_view(text).substr(at, piece));
  return shown + masking.finish();
}

// Byte by byte, the slow and sure way.
std::string naive(const Mask& mask, const std::string& text) {
  auto shown = text;
  for (const auto& hidden : mask.texts())
    for (std::size_t at = text.find(hidden); at != std::string::npos; at = text.find(hidden, at + 1))
      shown.replace(at, hidden.size(), std::string(hidden.size(), '*'));
  return shown;
}

}  // namespace

TEST_CASE("what is hidden is as many stars, wherever the pieces end") {
  const Mask mask({"s3cr3t-value", "other-one"});
  const std::string text = "a s3cr3t-value b s3cr3t-valu c\nother-ones3cr3t-valuex s3cr3t";
  const std::string shown = "a ************ b s3cr3t-valu c\n*********************x ******";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    CAPTURE(piece);
    CHECK(in_pieces(mask, text, piece) == shown);  // what may begin a secret at the very end is hidden, too
  }
}

TEST_CASE("texts that overlap each other and themselves are hidden as a whole") {
  const Mask mask({"abcabc", "cabcxy", "aaaaaa", "bcabcxyz"});
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "abcxyz"[random() % 3 + (random() % 5 == 0 ? 3 : 0)];
    text += "abcabcxyzaaaaaaaab....";
    CAPTURE(text);
    for (const std::size_t piece : {1U, 2U, 3U, 5U, 7U, 100U}) CHECK(in_pieces(mask, text, piece) == naive(mask, text));
  }
}

TEST_CASE("nothing is held back that cannot become a secret, and the rest no longer than needed") {
  const Mask mask({"secret-1"});
  Masking masking(mask);
  CHECK(masking.feed("epoch 1\n") == "epoch 1\n");
  CHECK(masking.feed("progress") == "progres");
  CHECK(masking.feed(".") == "s.");
  CHECK(masking.feed("secret-") == "");
  CHECK(masking.feed("1") == "********");
  CHECK(masking.finish() == "");
}

TEST_CASE("a reader that begins within a secret sees none of its end") {
  const Mask mask({"s3cr3t-value"});
  const std::string text = "abc s3cr3t-value xyz";
  for (std::size_t offset = 0; offset <= text.size(); ++offset) {
    CAPTURE(offset);
    Masking masking(mask);
    masking.prime(text.substr(0, offset));
    std::string shown;
    for (const char c : text.substr(offset)) shown += masking.feed(std::string(1, c));
    CHECK(shown + masking.finish() == naive(mask, text).substr(offset));
  }
}

TEST_CASE("each line of a secret is hidden, and short ones are none") {
  const Mask mask({"-----BEGIN KEY-----\r\nMIIEvQIBADANBg\nabc\n-----END KEY-----\n", "12345"});
  CHECK(mask.apply("12345 -----BEGIN KEY-----\nMIIEvQIBADANBg\nabc\n") ==
        "12345 *******************\n**************\nabc\n");
  CHECK(Mask({"", "short", "\n\n"}).empty());
}

TEST_CASE("what is looked for is bounded, whatever is to be hidden") {
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += "line-" + std::to_string(i) + "\n";
  const Mask many({"first-of-all", lines});
  CHECK(many.texts().size() == Mask::kMost);
  CHECK(many.apply("first-of-all line-0 line-1") == "************ ****** ******");
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += std::string(4000, static_cast<char>('a' + i % 26)) + std::to_string(i) + "\n";
  CHECK(Mask({bytes}).texts().size() < 20);
}

TEST_CASE("a very long secret is hidden in parts") {
  std::string value;
  std::mt19937 random(3);
  for (int i = 0; i < 10'000; ++i) value += static_cast<char>('a' + random() % 26);
  const Mask mask({value});
  CHECK(mask.longest() == 4096);
  CHECK(in_pieces(mask, "x" + value + "\n", 1000) == "x" + std::string(10'000, '*') + "\n");
}
