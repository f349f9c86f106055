#pragma once

// What the disk manager holds and gives back, as values: for the API and for people.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/disk/plan.hpp"

namespace berth::disk {

struct Amount {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

struct KindReport {
  std::string name;   // "logs"
  std::string words;  // "logs of jobs"
  Amount held;
  Amount going;
  struct Retained {
    std::string why;
    Amount amount;
  };
  std::vector<Retained> staying;
};

struct Report {
  struct Item {
    std::string kind;  // a KindReport's name
    std::string what;  // "log of brave-heron-7k2m"
    std::string why;
    std::uint64_t bytes = 0;
  };
  State state;                   // before
  std::vector<std::string> remarks;  // why something has to go, or nothing; sentences without a full stop
  std::vector<KindReport> kinds;
  std::vector<Item> items;    // in the order in which they go
  std::uint64_t bytes = 0;    // of all of them, as reckoned before
  bool estimated = false;     // images were to go: layers that others share are counted, and stay
};

// What is kept at this moment; quick to tell.
struct Use {
  State state;
  std::uint64_t stored = 0;     // objects: code and outputs
  std::uint64_t checkouts = 0;
  std::uint64_t downloads = 0;  // of builds of environments
  std::uint64_t environments = 0;
  std::uint64_t logs = 0;       // of ended jobs
  std::uint64_t records = 0;    // the database
  ImageDisk images;
  std::optional<std::uint64_t> budget;
  std::optional<std::string> refusal;  // why new work is refused, if it is
};

}  // namespace berth::disk
