#pragma once

// What must not be read in a log is shown as so many stars. Every byte stays where it is, so that offsets, lines and
// times of a log are the same with and without it.
//
// All texts are looked for at once, by the automaton of Aho and Corasick ("Efficient string matching: an aid to
// bibliographic search", Communications of the ACM 18, 1975): the time is that of the log's length, whatever the log
// and the texts are. Where texts overlap each other or themselves, every byte of every one of them is hidden.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace berth::logs {

// The texts to hide. Each is hidden line by line; what is shorter than kLeast is no secret, and would hide half of the
// log.
class Mask {
 public:
  static constexpr std::size_t kLeast = 6;
  static constexpr std::size_t kLongest = 4096;  // a longer one is hidden in parts
  static constexpr std::size_t kMostBytes = 1U << 20;  // of all texts together
  static constexpr std::size_t kBytesPerByte = 8;  // of memory, for each byte of a text

  // Code::too_large above kMostBytes: nothing is left out in silence.
  explicit Mask(const std::vector<std::string>& hidden);

  bool empty() const { return states_.size() == 1; }
  std::size_t longest() const { return longest_; }
  // Of memory.
  std::size_t bytes() const;
  // A whole text.
  std::string apply(std::string_view text) const;

 private:
  friend class Masking;

  // What was read last: the longest end of it that begins a text.
  struct State {
    std::uint32_t fail : 24;  // of its own ends the longest one that begins a text
    std::uint32_t byte : 8;  // the last one of it
    std::uint32_t depth : 13;  // its length
    std::uint32_t hidden : 13;  // the length of the longest text that ends with it; 0: none does
    std::uint32_t grows : 1;  // the next state is this one and a byte more
    std::uint32_t branches : 1;  // branches_ has more of those
  };
  static_assert(sizeof(State) == kBytesPerByte);
  static_assert(kMostBytes < 1U << 24 && kLongest < 1U << 13);
  struct Branch {
    std::uint32_t from;
    std::uint32_t to;
    unsigned char byte;
  };

  // `parents`: of each state the one that is a byte shorter.
  void add_all(const std::vector<std::string>& sorted, std::vector<std::uint32_t>& parents);
  void link(const std::vector<std::uint32_t>& parents);
  std::uint32_t next(std::uint32_t state, unsigned char byte) const;
  std::size_t begun(std::uint32_t state) const;
  struct Ends {
    std::size_t longest = 0;  // of the beginnings of a text, the longest that ends something hidden
    bool may_grow = false;    // all of it is within something hidden: more of the text might make a longer one
  };
  Ends ends_in(std::string_view text) const;

  std::vector<State> states_;
  std::vector<Branch> branches_;  // by `from` and `byte`; those of the first state are in first_
  std::array<std::uint32_t, 256> first_{};  // states of one byte
  std::size_t longest_ = 0;
};

// One stream, in pieces that end anywhere. What may be the beginning of something hidden, or the end of it behind a
// hole, is held back until more is known. The mask outlives it.
class Masking {
 public:
  explicit Masking(const Mask& mask) : mask_(mask) {}

  // What comes before the first byte to be shown, of at least Mask::longest() bytes where there are so many: else the
  // end of something hidden would be seen. Zeros in it are of a hole.
  void prime(std::string_view before);
  // What is fed next stands behind a hole, which may have cut through something hidden. After finish(), or at the
  // beginning.
  void behind_hole() { behind_hole_ = true; }
  // What can be shown by now.
  std::string feed(std::string_view bytes);
  // The rest. Of what is held back nothing follows: from kLeast bytes on it is hidden. What is fed after that is
  // another stream, or stands behind a hole.
  std::string finish();
  // Bytes that were fed and cannot be shown yet.
  std::size_t held() const { return held_.size() + behind_.size(); }
  // For as long as this is so, a piece may take as long as all hidden texts are.
  bool is_behind_hole() const { return behind_hole_; }

 private:
  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
  };
  bool knows_its_end() const;
  void hide_cut();
  void look_at(std::string_view bytes);
  std::string take(std::size_t length);
  std::string unseen(std::string text);

  const Mask& mask_;
  std::uint32_t state_ = 0;
  std::uint64_t read_ = 0;  // bytes of the stream
  std::string held_;  // its last ones
  std::deque<Range> hidden_;  // of the stream, apart from each other, from held_'s beginning on
  std::size_t primed_ = 0;  // bytes of prime() that are held
  bool behind_hole_ = false;
  std::string behind_;  // what was fed since, until that is known which may be the end of something hidden
};

}  // namespace berth::logs
