#pragma once

// What is left of jobs, and what was sent for them.

#include <memory>

#include "agent/disk/reclaimable.hpp"
#include "agent/store/store.hpp"

namespace berth::disk {

// What was sent but is used by no job; the command line sends it again.
std::unique_ptr<Reclaimable> unused_uploads(store::Store& store);
std::unique_ptr<Reclaimable> logs_of_jobs(store::Store& store, const JobFiles& files, const Clock& clock);
std::unique_ptr<Reclaimable> outputs_of_jobs(store::Store& store, const Clock& clock);
// With all that is left of the job: its code above all.
std::unique_ptr<Reclaimable> records_of_jobs(store::Store& store, const Clock& clock);

}  // namespace berth::disk
