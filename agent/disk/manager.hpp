#pragma once

// The disk manager: keeps what Berth holds within the disk and its budget. It looks when a job has ended and when new
// work comes, and at the dates on which something is due; else it sleeps. What goes, and when, is in
// agent/disk/plan.hpp. Nothing of a live job is ever touched, nor anything that a kept job refers to.
//
// Crash-safe: that something is removed is on record before its files go, and what files those are until they are gone.

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/disk/reclaimable.hpp"
#include "agent/disk/report.hpp"
#include "agent/disk/reserve.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/base/log.hpp"
#include "runtime/objects/store.hpp"

namespace berth::disk {

using async::Task;

struct Cleaning {
  bool dry_run = false;
  bool asked = false;  // by a person, who wants to be rid of all that costs nothing but time
  ByteSize free;  // at least so much is to be given back
  ByteSize incoming;  // and room made for so much
};

class Manager {
 public:
  // What is managed; all but `kinds` outlives the manager.
  struct Disk {
    std::string state_dir;  // tells the file system, and has the database
    store::Store& store;
    objects::Store& objects;
    JobFiles& files;
    Reserve& reserve;
    std::vector<std::unique_ptr<Reclaimable>> kinds;  // in the order in which they go
    std::function<ImageDisk()> image_disk;  // quick; with a total of 0 where nobody knows it
  };
  Manager(async::Executor executor, Limits limits, Disk disk, const Clock& clock, Log log);
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  // Finishes what an earlier agent began to remove, and begins to keep watch.
  void start();
  Task<> stop();

  // What is too much, or kept too long, by these limits goes now.
  void set_limits(Limits limits);

  // One at a time; a second call waits for the first.
  Task<Report> clean(Cleaning wanted);
  // Returns when so much more may be written; cleans up first where it must. Else Code::no_space, told in words.
  Task<> make_room(ByteSize incoming = ByteSize());
  // A job's attempt is over, and so many bytes of log are kept of it.
  void job_ended(std::uint64_t log_bytes);

  Use use() const;
  const Limits& limits() const { return limits_; }
  Reserve& reserve() { return reserve_; }

 private:
  struct Plan;
  struct Price;

  // --- manager.cpp
  std::optional<std::string> refusal(ByteSize incoming) const;
  std::uint64_t held_by(const std::string& kind) const;
  State state(ByteSize incoming, std::uint64_t logs) const;
  std::uint64_t records_bytes() const;
  void look();
  bool is_short(ByteSize incoming) const;
  bool is_short_of_image_space() const;
  void note_fruitless(ByteSize incoming, const Report& report);
  Task<> clean_up(ByteSize incoming);
  Task<> take_over();
  void keep_dates_if_any();
  Task<> keep_dates();
  Task<> carry_out(Plan& plan);
  static std::size_t end_of_batch(const Plan& plan, std::size_t begin);
  void note_what_went(Plan& plan, const std::vector<bool>& stays);
  Task<std::vector<std::int64_t>> remove(Reclaimable& kind, std::vector<std::int64_t> numbers, std::string why);
  // One that cannot be removed now keeps no other; it is told, and tried again until it is gone.
  Task<> remove_doomed();
  Task<> recount();
  Task<> keep_removing();
  Task<> sweep(objects::Thorough thorough);

  // --- cleaning_plan.cpp: all block
  Plan plan(const Cleaning& wanted, const Limits& limits);  // off the loop, on which the limits may change
  void price(Plan& plan) const;
  void note_leftovers(Plan& plan, const Price& price) const;
  static std::string reason(const Plan& plan, const Candidate& candidate);
  static std::vector<std::string> image_remarks(const Plan& plan);
  std::string reason_to_spare(const Plan& plan, const std::string& kind) const;
  Report report(const Plan& plan) const;
  std::vector<KindReport> kinds_of(const Plan& plan) const;
  objects::DigestSet live_objects() const;
  ByteSize held_by(const store::Roots& roots) const;

  Limits limits_;
  std::string state_dir_;
  store::Store& store_;
  objects::Store& objects_;
  JobFiles& files_;
  Reserve& reserve_;
  std::vector<std::unique_ptr<Reclaimable>> kinds_;
  std::function<ImageDisk()> image_disk_;
  const Clock& clock_;
  Log log_;
  async::Pool pool_{1};  // its own, so that a long look keeps no job waiting
  std::uint64_t logs_ = 0;  // bytes of ended jobs' logs
  bool cleaning_ = false;
  bool removing_again_ = false;
  bool keeps_dates_ = false;
  std::set<model::JobId> stuck_;  // those of the doomed that were told of
  async::Event cleaned_;
  // The last cleaning gave too little: the next would, too. Of the state directory's disk, and of the images'.
  Steady fruitless_until_{};
  Steady images_fruitless_until_{};
  async::Event ended_;
  async::Nursery nursery_;
};

}  // namespace berth::disk
