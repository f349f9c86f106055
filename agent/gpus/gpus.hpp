#pragma once

// The node's GPUs while the agent runs: looks at them when it starts, every few seconds as long as there are any, and
// when asked; a machine without NVML is never woken for them, and one whose driver does not answer for some minutes
// only. What is wrong with them is kept in the store. Belongs to the loop; NVML, which may take long, is asked on a
// thread of its own.

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/gpus/ledger.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/base/log.hpp"
#include "runtime/gpu/nvml.hpp"

namespace berth::gpus {

struct Settings {
  bool managed = true;  // false: NVML is not even loaded, and there are no GPUs
  std::optional<std::vector<std::string>> offered;  // UUIDs or numbers; nothing: all
  std::string library = "libnvidia-ml.so.1";
  std::chrono::milliseconds sample{5000};
  std::string cgroup_base;  // of the jobs' groups; "" without
  std::string jobs_directory;  // of their launches
  std::string boot_id;
};

// Whose the processes on GPUs are. Blocks; for one thread at a time.
class Owners {
 public:
  Owners(std::string cgroup_base, std::string jobs_directory);
  // Who has ended keeps the owner that it had when it was last seen: its memory is not back yet.
  std::map<pid_t, gpu::Owner> of(const std::vector<gpu::Gpu>& gpus);

 private:
  struct Known {
    std::uint64_t start_ticks = 0;
    gpu::Owner owner;
  };
  gpu::Owner find(pid_t pid) const;
  std::optional<model::JobId> job_of(pid_t pid) const;

  const std::string cgroup_base_;
  const std::string jobs_directory_;
  std::map<pid_t, Known> known_;
};

class Gpus {
 public:
  // What is told about a look.
  struct Listener {
    std::function<void(std::vector<queue::Device>)> changed;  // when they differ from before
    std::function<void(const model::JobId&, const model::GpuError&)> failed;  // a job's GPU
  };

  Gpus(async::Executor executor, Settings settings, store::Store& store, const Clock& clock, Log log);
  Gpus(const Gpus&) = delete;
  Gpus& operator=(const Gpus&) = delete;

  // Returns after the first look; when NVML hangs, some seconds later, with no GPUs so far.
  async::Task<> start(Listener listener);
  async::Task<> stop() { co_await nursery_.stop_and_join(); }
  // Returns when they were looked at from now on.
  async::Task<> look();
  // The same; Code::timeout when NVML does not answer within seconds.
  async::Task<> look_in_time();
  // Looks where none are known: nobody would notice a driver that was loaded meanwhile. Waits some seconds at most.
  async::Task<> look_if_none();

  // What the operator says of a GPU or an instance: a number, a UUID or the beginning of one. On disk when they return;
  // both tell the UUID. Code::not_found, Code::conflict.
  async::Task<std::string> drain(std::string reference, Record::Drained said);
  // It is well again: what was told of it before counts no more, nor what drain() said. What is wrong with it at
  // this moment still does.
  async::Task<std::string> resume(std::string reference);

  void hold(const model::JobId& job, queue::Uuids uuids);
  // Waits, not for ever, until the job's processes have no memory on GPUs any more; false when they still have.
  async::Task<bool> memory_back(model::JobId job);
  std::optional<Ledger::Stay> give_back(const model::JobId& job);

  const Ledger& ledger() const { return ledger_; }
  // Against which gpu::judge() holds CUDA software, by the last look; nothing is known before the first. For any
  // thread.
  gpu::Machine machine() const;

 private:
  void recall();
  Look look_at_machine(const std::vector<std::string>& resumed);
  async::Task<> keep_looking();
  std::optional<std::chrono::milliseconds> next_pause();
  async::Task<> pause();
  async::Task<> take(Look look);
  void tell_changes();
  async::Task<> keep_record();
  async::Task<> keep(Record record);

  const Settings settings_;
  store::Store& store_;
  const Clock& clock_;
  Log log_;
  gpu::Nvml nvml_;
  Owners owners_;
  Ledger ledger_;
  Listener listener_;
  std::vector<queue::Device> told_;
  Record kept_;  // in the store
  std::vector<std::string> resumed_;  // since the last look
  std::chrono::milliseconds driver_pause_{0};  // the last one that was made for a driver that may come
  mutable std::mutex machine_mutex_;
  gpu::Machine machine_;
  std::uint64_t begun_ = 0;  // looks
  std::uint64_t done_ = 0;  // the number of the last that ended
  bool asked_ = false;
  async::Event ask_;
  async::Event looked_;
  async::Pool pool_{1};
  async::Nursery nursery_;
};

}  // namespace berth::gpus
