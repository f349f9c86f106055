#pragma once

// What a node tells of itself: GPUs, disk, status, usage, and the facts for `berth doctor`.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/job.hpp"
#include "runtime/base/fields.hpp"

namespace berth::wire {

// --- GPUs

struct Gpu {
  struct Mig {
    std::string parent;
    std::string profile;
  };
  std::string uuid;
  unsigned index = 0;
  std::string label;  // "GPU 3"
  std::string name;
  ByteSize memory;
  std::optional<ByteSize> used;
  std::optional<unsigned> utilisation;  // percent
  std::vector<model::JobId> jobs;       // that hold it
  std::optional<std::string> withheld;  // why no job gets it
  std::optional<Mig> mig;               // nothing for a whole GPU
  std::string capability;
};
struct Nvidia {
  std::optional<std::string> driver;
  std::optional<std::string> cuda;
  std::vector<std::string> notes;  // why there are no GPUs, and what could not be found out
};
struct Gpus {
  std::vector<Gpu> gpus;
  Nvidia nvidia;
};
// The body of POST /v1/gpus/{gpu}/drain.
struct GpuDrain {
  std::string reason;
};
void describe(Fields& fields, Gpu& gpu);
void describe(Fields& fields, Nvidia& nvidia);
void describe(Fields& fields, Gpus& gpus);
void describe(Fields& fields, GpuDrain& drain);

// --- disk

// Where the container engine keeps its images.
struct ImageDisk {
  std::string directory;
  bool shared = false;  // with the state directory
  ByteSize kept;
  ByteSize free;
  ByteSize total;
};
struct DiskUse {
  struct Kept {
    ByteSize stored;
    ByteSize checkouts;
    ByteSize downloads;
    ByteSize environments;
    ByteSize images;
    ByteSize logs;
    ByteSize records;
  };
  ByteSize free;
  ByteSize total;
  ByteSize kept;
  std::optional<ByteSize> budget;
  Kept of_kinds;
  std::optional<ImageDisk> image_disk;
  std::optional<std::string> refusal;  // why new work is refused
};
// The body of POST /v1/gc.
struct Cleaning {
  bool dry_run = false;
  ByteSize free;
};
struct CleaningReport {
  struct Amount {
    std::uint64_t count = 0;
    ByteSize bytes;
  };
  struct Staying {
    Amount amount;
    std::string why;
  };
  struct Kind {
    std::string kind;
    std::string words;
    Amount held;
    Amount going;
    std::vector<Staying> staying;
  };
  struct Item {
    std::string kind;
    std::string what;
    std::string why;
    ByteSize bytes;
  };
  bool dry_run = false;
  ByteSize bytes;
  std::vector<std::string> remarks;
  ByteSize free;
  ByteSize total;
  std::vector<Kind> kinds;
  std::vector<Item> items;
};
void describe(Fields& fields, DiskUse& use);
void describe(Fields& fields, Cleaning& cleaning);
void describe(Fields& fields, CleaningReport& report);

// --- status

struct JobCounts {
  std::uint64_t preparing = 0;
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
  std::uint64_t finalizing = 0;
};
struct Status {
  std::string name;
  std::string version;
  int pid = 0;
  std::string mode;  // "machine" or "user"
  std::string state_dir;
  Instant started{};
  std::chrono::milliseconds uptime{};
  bool drained = false;
  std::string health;  // "ok" or "degraded"
  std::vector<std::string> remarks;
  std::string cgroup;  // "" without
  std::vector<std::string> controllers;
  bool overlays = false;
  std::string environment_changes;
  model::Resources capacity;
  model::Resources in_use;
  JobCounts jobs;
  Gpus gpus;
  DiskUse disk;
};
// The body of POST /v1/drain.
struct Drain {
  bool stop = false;
};
void describe(Fields& fields, Status& status);
void describe(Fields& fields, Drain& drain);

// --- usage

struct JobUse {
  model::JobId id;
  int launch = 0;
  std::chrono::microseconds cpu{};
  ByteSize memory;
  ByteSize peak_memory;
  std::optional<ByteSize> memory_limit;
  std::uint64_t processes = 0;
  ByteSize io_read;
  ByteSize io_written;
  ByteSize log;
};
struct NodeUsage {
  struct Machine {
    unsigned cpus = 0;
    std::chrono::microseconds cpu{};  // busy, of all CPUs
    ByteSize memory;
    ByteSize memory_available;
  };
  Instant time{};
  std::chrono::microseconds monotonic{};
  Machine machine;
  std::vector<JobUse> jobs;
};
void describe(Fields& fields, NodeUsage& usage);

// --- doctor

struct DoctorFacts {
  struct Socket {
    std::string path;
    std::string group;
  };
  struct State {
    std::string path;
    std::string file_system;
    ByteSize free;
    ByteSize total;
    std::uint64_t files_free = 0;
    std::uint64_t files_total = 0;
    ByteSize reserved;
    std::string refusal;     // why new work is refused; "" when it is not
    std::uint64_t high = 0;  // percent of the disk above which the agent gives space back; 0: unknown
  };
  struct Cgroup {
    std::string base;  // "" without
    std::vector<std::string> controllers;
    std::vector<std::string> delegated;
  };
  struct Supervisor {
    model::JobId job;
    int pid = 0;
    bool outdated = false;  // another program than the agent would start now
  };
  struct Group {
    std::string path;
    std::uint64_t processes = 0;
  };
  struct Leftovers {
    std::vector<std::string> directories;
    std::vector<Group> cgroups;
    std::vector<std::string> unrecorded;  // directories of jobs that the database does not know
  };
  std::string version;
  std::string mode;  // as Status's
  int pid = 0;
  Socket socket;
  State state;
  Cgroup cgroup;
  bool overlays = false;
  std::string environment_changes;
  std::string docker_socket;  // that it looks for an engine on; "" when it does not tell
  std::uint64_t open_files = 0;
  std::vector<Supervisor> supervisors;
  Leftovers leftovers;
  Gpus gpus;
  std::optional<Instant> newest_record;
};
void describe(Fields& fields, DoctorFacts& facts);

}  // namespace berth::wire
