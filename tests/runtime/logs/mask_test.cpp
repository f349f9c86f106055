#include "runtime/logs/mask.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <random>

#include "runtime/base/error.hpp"

using namespace berth::logs;

namespace {

std::string in_pieces(const Mask& mask, const std::string& text, std::size_t piece) {
  Masking masking(mask);
  std::string shown;
  for (std::size_t at = 0; at < text.size(); at += piece)
    shown += masking.feed(std::string_view(text).substr(at, piece));
  return shown + masking.finish();
}

// Byte by byte, the slow and sure way.
std::string naive(const std::vector<std::string>& texts, const std::string& text) {
  auto shown = text;
  for (const auto& hidden : texts)
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
  const std::vector<std::string> texts{"abcabc", "cabcxy", "aaaaaa", "bcabcxyz", "abcabcabcxyz", "aaaaaaaaa"};
  const Mask mask(texts);
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "abcxyz"[random() % 3 + (random() % 5 == 0 ? 3 : 0)];
    text += "abcabcxyzaaaaaaaab....";
    CAPTURE(text);
    for (const std::size_t piece : {1U, 2U, 3U, 5U, 7U, 100U})
      CHECK(in_pieces(mask, text, piece) == naive(texts, text));
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

TEST_CASE("behind the rest comes another stream, and what is held is told") {
  const Mask mask({"secret-1"});
  Masking masking(mask);
  CHECK(masking.feed("a secret-") == "a ");
  CHECK(masking.held() == 7);
  CHECK(masking.finish() == "*******");
  CHECK(masking.held() == 0);
  CHECK(masking.feed("1 secret-1 sec") == "1 ******** ");
  CHECK(masking.held() == 3);
  CHECK(masking.finish() == "sec");
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
    CHECK(shown + masking.finish() == naive({"s3cr3t-value"}, text).substr(offset));
  }
}

TEST_CASE("what a hole has left of a secret's end is hidden, wherever the hole and the pieces end") {
  const std::string secret = "s3cr3t-value";
  const Mask mask({secret, "other-value-1", "-value-1-long"});
  for (std::size_t left = 0; left <= secret.size(); ++left) {
    const auto end = secret.substr(secret.size() - left);
    const auto hidden = left >= Mask::kLeast ? std::string(left, '*') : end;
    for (const std::string behind : {" goes on s3cr3t-value", "\ns3cr3t-value\n", "", " s3cr3t"}) {
      const auto text = end + behind;
      for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        CAPTURE(text);
        CAPTURE(piece);
        Masking masking(mask);
        masking.behind_hole();
        std::string shown;
        for (std::size_t at = 0; at < text.size(); at += piece)
          shown += masking.feed(std::string_view(text).substr(at, piece));
        CHECK(shown + masking.finish() == hidden + mask.apply(behind));
        CHECK(!masking.is_behind_hole());
      }
    }
  }
}

TEST_CASE("behind a hole the longest end of any secret is hidden, and one that lies within a secret altogether") {
  const Mask mask({"aaaabaaaab", "baaaabaaaac", "xyzxyzxyzxyz"});
  const auto behind = [&](const std::string& text) {
    Masking masking(mask);
    masking.behind_hole();
    auto shown = masking.feed(text);
    return shown + masking.finish();
  };
  CHECK(behind("aabaaaac rest of it\n") == "******** rest of it\n");  // of the second, of which the first has a part
  CHECK(behind("aabaaaab rest of it\n") == "******** rest of it\n");
  CHECK(behind("abaaab\n") == "abaaab\n");
  CHECK(behind("zxyzxy") == "******");  // a hole before it, and the log's end or another hole behind it
  CHECK(behind("zxyzxy.\n") == "zxyzxy.\n");
  CHECK(behind("yzxy") == "yzxy");
}

TEST_CASE("the ends of long secrets in many are found as the slow way finds them") {
  std::mt19937 random(5);
  const auto word = [&](std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> texts;
    for (int i = 0; i < 10; ++i) texts.push_back(word(12 + random() % 8));
    const auto text = word(10) + "\n";
    std::size_t longest = 0;
    for (const auto& one : texts)
      for (std::size_t length = 1; length <= 10; ++length)
        if (one.ends_with(text.substr(0, length))) longest = std::max(longest, length);
    const auto hidden = longest < Mask::kLeast ? 0 : longest;
    const Mask mask(texts);
    Masking behind(mask);
    behind.behind_hole();
    CAPTURE(text);
    CHECK(behind.feed(text) == std::string(hidden, '*') + text.substr(hidden));
  }
}

TEST_CASE("a reader that begins within what a hole has left of a secret sees none of it") {
  const Mask mask({"s3cr3t-value"});
  const std::string text = std::string(8, '\0') + "3t-value, and the rest\n";
  for (std::size_t offset = 8; offset < 16; ++offset) {
    Masking masking(mask);
    masking.prime(text.substr(0, offset));
    CHECK(masking.feed(text.substr(offset)) == std::string(16 - offset, '*') + ", and the rest\n");
  }
}

TEST_CASE("each line of a secret is hidden, and short ones are none") {
  const Mask mask({"-----BEGIN KEY-----\r\nMIIEvQIBADANBg\nabc\n-----END KEY-----\n", "12345"});
  CHECK(mask.apply("12345 -----BEGIN KEY-----\nMIIEvQIBADANBg\nabc\n") ==
        "12345 *******************\n**************\nabc\n");
  CHECK(Mask({"", "short", "\n\n"}).empty());
}

TEST_CASE("random texts over few letters are hidden as the slow way hides them") {
  std::mt19937 random(11);
  const auto word = [&](std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> texts;
    for (int i = 0; i < 20; ++i) texts.push_back(word(6 + random() % 12));
    const auto text = word(200) + "......";
    CAPTURE(text);
    const Mask mask(texts);
    for (const std::size_t piece : {1U, 3U, 17U, 300U}) CHECK(in_pieces(mask, text, piece) == naive(texts, text));
  }
}

TEST_CASE("nothing that is to be hidden is left out: more than a mask takes is refused") {
  std::string lines;
  for (int i = 0; i < 20'000; ++i) lines += "line-" + std::to_string(i) + "\n";
  const Mask many({"first-of-all", lines});
  CHECK(many.apply("first-of-all line-0 line-1 line-19999") == "************ ****** ****** **********");
  CHECK(many.bytes() < 2 << 20);
  std::string bytes;
  for (std::size_t i = 0; bytes.size() <= Mask::kMostBytes; ++i)
    bytes += std::string(4000, static_cast<char>('a' + i % 26)) + std::to_string(i) + "\n";
  CHECK_THROWS_AS(Mask({bytes}), berth::Error);
}

TEST_CASE("it takes the same time whatever the log and the secrets are") {
  const auto time_of = [](const Mask& mask, const std::string& log, std::size_t piece) {
    const auto begin = std::chrono::steady_clock::now();
    CHECK(in_pieces(mask, log, piece).size() == log.size());
    return std::chrono::steady_clock::now() - begin;
  };
  // Each secret begins as the log goes on, at every place of it.
  std::vector<std::string> periodic;
  std::vector<std::string> harmless;
  for (std::size_t i = 0; i < 200; ++i) {
    periodic.push_back(std::string(4090 - i, 'a') + "b");
    harmless.push_back(std::string(40, 'x') + std::to_string(i));
  }
  const Mask one(periodic);
  const Mask other(harmless);
  const std::string log(1 << 20, 'a');
  for (const std::size_t piece : {100U, 65536U}) {
    const auto least = time_of(other, log, piece);
    CHECK(time_of(one, log, piece) < 20 * least + std::chrono::milliseconds(100));
  }
}

TEST_CASE("a very long secret is hidden in parts") {
  std::string value;
  std::mt19937 random(3);
  for (int i = 0; i < 10'000; ++i) value += static_cast<char>('a' + random() % 26);
  const Mask mask({value});
  CHECK(mask.longest() == 4096);
  CHECK(in_pieces(mask, "x" + value + "\n", 1000) == "x" + std::string(10'000, '*') + "\n");
  for (std::size_t length : {4096U, 4097U, 4101U, 8192U, 8195U}) {  // and so is its very end
    const auto part = value.substr(0, length);
    CHECK(in_pieces(Mask({part}), "x" + part + "\n", 1000) == "x" + std::string(length, '*') + "\n");
  }
}
