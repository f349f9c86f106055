#pragma once

// What goes when disk space is given back: in which order, how much, and why. Pure.
//
// What is due goes in any case: garbage, and what was kept as long as the configuration says. The rest goes only for a
// need, kind after kind, the least recently used of a kind first; kinds that can be made again come before the others.
//
// Images are where the container engine keeps them, which may be another file system: then what is wanted of the one is
// no reason to take anything from the other.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"
#include "runtime/base/units.hpp"

namespace berth::disk {

// A number of bytes, or so many hundredths of the file system.
struct Share {
  ByteSize size;
  unsigned percent = 0;  // counts where it is not 0
  std::uint64_t of(std::uint64_t total) const { return percent > 0 ? total / 100 * percent : size.bytes(); }
  friend bool operator==(const Share&, const Share&) = default;
};

struct Limits {
  std::optional<Share> budget;  // of all that is kept on the state directory's file system; nothing: no limit
  std::optional<Share> image_budget;  // of images alone, or so much of the file system that they are on
  unsigned high = 90;  // cleaning starts when the file system is so full, in percent
  unsigned low = 80;  // and goes on down to here
  ByteSize reserved;  // what the file system must have free for new work
  std::chrono::milliseconds keep_at_least{std::chrono::hours(24)};  // no need takes anything of a job before
  // How long after a job's end; nothing: for ever.
  std::optional<std::chrono::milliseconds> keep_logs;
  std::optional<std::chrono::milliseconds> keep_outputs;
  std::optional<std::chrono::milliseconds> keep_jobs;
  friend bool operator==(const Limits&, const Limits&) = default;
};

struct State {
  std::uint64_t free = 0;  // of the file system, in bytes
  std::uint64_t total = 0;
  std::uint64_t kept = 0;  // what counts against the budget; 0 where there is none and nobody asked
  std::uint64_t incoming = 0;  // what is about to be written
};

// A reason to give space back.
struct Need {
  std::uint64_t bytes = 0;  // how much
  // With less than this nothing is gained: what cannot be made again then stays.
  std::uint64_t least = 0;
  std::string why;  // "disk 93 % full, and cleaning starts at 90 %"
};
std::vector<Need> needs_of(const State& state, const Limits& limits);
unsigned percent_full(const State& state);

// The file system that the container engine keeps images on.
struct ImageDisk {
  std::string directory;
  bool shared = false;  // with the state directory
  State state;  // `kept`: the images that are Berth's
};
// For which only images help. Its fullness is the state directory's business where it is that one's.
std::vector<Need> needs_of(const ImageDisk& disk, const Limits& limits);

// Stored objects: snapshots with all they need, and single ones.
struct Roots {
  std::vector<Digest> snapshots;
  std::vector<Digest> objects;
};

struct Candidate {
  std::size_t kind = 0;  // lower ones go first
  std::int64_t number = 0;  // the kind's own
  std::string what;  // "log of brave-heron-7k2m"
  std::string why;  // that it may go
  std::uint64_t bytes = 0;
  Instant last_use{};
  bool due = false;  // goes without a need
  bool replaceable = false;  // can be made again
  Roots roots;  // what it keeps in the store of objects, besides
  bool image = false;  // helps needs of an ImageDisk
  bool elsewhere = false;  // and those alone: it is not on the state directory's file system
  bool useless = false;  // to remove it would give nothing back: others, which stay, need all that it holds
};

// Sorts them into the order in which they go; the useless ones come last.
void put_in_order(std::vector<Candidate>& candidates);

struct Choice {
  std::size_t going = 0;  // so many, from the front
  std::uint64_t bytes = 0;  // of those
  const Need* need = nullptr;  // the greatest one
  // Those for which nothing goes that cannot be made again, since all of it were not enough.
  std::vector<const Need*> hopeless;
};
// Among those that are on the state directory's file system. `needs` outlives the choice.
Choice choose(const std::vector<Candidate>& in_order, const std::vector<Need>& needs);
// Among all: puts those that go to the front. `image_need` is the reason of images that go for an ImageDisk alone.
struct WholeChoice : Choice {
  const Need* image_need = nullptr;
};
WholeChoice choose(std::vector<Candidate>& in_order, const std::vector<Need>& needs,
                   const std::vector<Need>& image_needs);

}  // namespace berth::disk
