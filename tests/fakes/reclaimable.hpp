#pragma once

// Things on disk that are none: a kind of them, and directories of jobs.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/disk/reclaimable.hpp"
#include "runtime/base/error.hpp"

namespace berth::fakes {

class Reclaimable final : public disk::Reclaimable {
 public:
  explicit Reclaimable(std::string name) : name_(std::move(name)) {}

  std::map<std::int64_t, std::uint64_t> things;  // bytes by number; the lower a number, the longer unused
  std::set<std::int64_t> needed;                 // those that came to be needed after every survey
  std::vector<std::int64_t> removed;             // in the order in which they went
  std::string why;                               // of the last that went
  int surveys = 0;
  bool counted_elsewhere = false;  // as logs are, by the manager
  int full_disks = 0;  // so many removals find no space for their record

  std::string name() const override { return name_; }
  std::string description() const override { return name_ + " of a test"; }
  std::uint64_t held() const override {
    std::uint64_t bytes = 0;
    if (counted_elsewhere) return bytes;
    for (const auto& [number, size] : things) bytes += size;
    return bytes;
  }
  disk::Survey survey(const disk::SurveyContext& context) override {
    ++surveys;
    disk::Survey survey;
    for (const auto& [number, size] : things) {
      disk::Candidate candidate;
      candidate.number = number;
      candidate.what = name_ + " " + std::to_string(number);
      candidate.why = "nobody uses it";
      candidate.bytes = size;
      candidate.last_use = from_unix_micros(number);
      candidate.due = context.asked;
      candidate.replaceable = true;
      survey.candidates.push_back(std::move(candidate));
    }
    return survey;
  }
  async::Task<std::vector<std::int64_t>> remove(std::vector<std::int64_t> numbers, std::string reason) override {
    if (full_disks > 0) {
      --full_disks;
      throw Error(Code::no_space, "the disk is full");
    }
    why = std::move(reason);
    std::erase_if(numbers, [this](std::int64_t number) { return needed.contains(number); });
    for (const auto number : numbers) {
      things.erase(number);
      removed.push_back(number);
    }
    co_return numbers;
  }

 private:
  std::string name_;
};

class JobFiles final : public disk::JobFiles {
 public:
  int stuck = 0;  // so many removals fail
  std::vector<model::JobId> removed;

  std::uint64_t log_bytes(const model::JobId&) const override { return 1'000; }
  void remove(const model::JobId& job, std::optional<int>) override {
    if (stuck-- > 0) throw Error(Code::io, "a lost file system");
    removed.push_back(job);
  }
};

}  // namespace berth::fakes
