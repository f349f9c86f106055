#pragma once

// What must not be read in a log is shown as so many stars. Every byte stays where it is, so that offsets, lines and times
// of a log are the same with and without it.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace berth::logs {

// The texts to hide. Each is hidden line by line; what is shorter than kLeast is no secret, and would hide half of the log.
// The time that it takes is bounded, so the texts are: of more than kMost lines, or kMostBytes, the first ones are hidden.
class Mask {
 public:
  static constexpr std::size_t kLeast = 6;
  static constexpr std::size_t kMost = 512;
  static constexpr std::size_t kMostBytes = 64U << 10;

  explicit Mask(const std::vector<std::string>& hidden);

  bool empty() const { return texts_.empty(); }
  std::size_t longest() const { return longest_; }
  const std::vector<std::string>& texts() const { return texts_; }
  // A whole text.
  std::string apply(std::string_view text) const;

 private:
  std::vector<std::string> texts_;
  std::size_t longest_ = 0;
};

// One stream, in pieces that end anywhere. What may be the beginning of something hidden is held back until more is known.
// The mask outlives it.
class Masking {
 public:
  explicit Masking(const Mask& mask) : mask_(mask) {}

  // What comes before the first byte to be shown, of at least Mask::longest() bytes where there are so many: else the end
  // of something hidden would be seen.
  void prime(std::string_view before);
  // What can be shown by now.
  std::string feed(std::string_view bytes);
  // The rest. Of what is held back nothing follows: from kLeast bytes on it is hidden.
  std::string finish();

 private:
  std::string unseen(std::string text);

  const Mask& mask_;
  std::string held_;
  std::size_t covered_ = 0;  // of held_, from its beginning: known to be hidden
  std::size_t primed_ = 0;   // bytes of prime() that are held
};

}  // namespace berth::logs
