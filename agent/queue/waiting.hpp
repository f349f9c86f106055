#pragma once

// Why a job waits: a value that the queue computes, and its words for people.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/ids.hpp"
#include "agent/model/resources.hpp"

namespace berth::queue {

// A job's place in the order of submission: its only name here.
using model::Sequence;

struct Waiting {
  enum class Reason {
    not_waiting,  // it runs, or the queue does not know it
    held,         // its owner said so
    preparing,    // not ready yet
    too_big,      // asks for more than the node has
    drained,      // the node starts nothing
    withheld,     // an idle node could not either: too many GPUs are withheld
    resources,    // what it asks for is not free
    reserved,     // free, but kept for a job before it that has waited too long already
    turn,         // nothing is in its way but the jobs ahead of it
  };

  Reason reason = Reason::not_waiting;
  Sequence sequence;
  std::size_t ahead = 0;  // jobs before it in the order, held ones left out
  model::Resources asked;
  model::Resources lacking;   // resources: what it asks for, in the amounts that are short; else zero
  model::Resources used;      // by running jobs
  model::Resources capacity;  // the node's
  std::vector<Sequence> users;  // resources: running jobs that hold what is short, the largest first, at most 3
  std::size_t more_users = 0;  // how many besides
  std::vector<std::string> withheld;  // resources and withheld, where GPUs are short: which, and why
  std::uint16_t free_gpus = 0;        // then: neither withheld nor held by anybody
  std::optional<Sequence> reserved_for;
  std::chrono::milliseconds reserved_waited{};  // how long that job has waited
  model::Resources reserved_lacking;            // and for what
};

// How to call a job in words: "brave-heron-7k2m".
using NameOf = std::function<std::string(Sequence)>;

// "waits for 1 CPU: 2 of 2 are in use by brave-heron-7k2m and calm-otter-9d3f; 3 jobs are ahead"
std::string to_words(const Waiting& waiting, const NameOf& name_of);

// What can never run on a node, by its amounts: "asks for 1 GPU, this node has none". Nothing when it can.
std::optional<std::string> never_fits(const model::Resources& resources, const model::Resources& capacity);

}  // namespace berth::queue
