#pragma once

// What the agent keeps of the node's GPUs from one run to the next: which there were and what was wrong with them,
// which is true for one boot of the machine, and which of them the operator withholds, until he says otherwise. Pure.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/gpu/gpu.hpp"

namespace berth::gpus {

struct Record {
  // Said by the operator of a GPU, or of an instance of one.
  struct Drained {
    std::string by;  // the user
    std::string reason;  // may be empty
    friend bool operator==(const Drained&, const Drained&) = default;
  };
  std::string boot_id;
  std::vector<gpu::Gpu> gpus;  // only what does not change while the machine is up
  std::map<std::string, gpu::Trouble> troubles;  // by whole GPU
  std::map<std::string, Drained> withheld;  // by UUID
  friend bool operator==(const Record&, const Record&) = default;
};

// Of one look; `gpus` may have everything.
Record record_of(std::string boot_id, const gpu::Survey& survey, std::map<std::string, Record::Drained> withheld);

std::string to_text(const Record& record);
// What of it still is true in this boot. "" is an empty record. Throws Code::corrupt.
Record record_from_text(std::string_view text, const std::string& boot_id);

}  // namespace berth::gpus
