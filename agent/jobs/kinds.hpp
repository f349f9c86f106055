#pragma once

// The kinds of things that Berth keeps on disk, in the order in which they go: each outlives nothing that it is given.

#include <memory>

#include "agent/jobs/governed.hpp"
#include "agent/jobs/workplace.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/environment/builds.hpp"
#include "runtime/snapshot/checkouts.hpp"

namespace berth::jobs {

// Trees of files made of snapshots; made again when a job needs them.
std::unique_ptr<Governed> checkouts_of_code(snapshot::Checkouts& checkouts, async::Pool& pool);
// What builds have downloaded and keep for later ones; downloaded again when needed.
std::unique_ptr<Governed> downloads_of_builds(environment::Builds& builds);
// Environments that no job holds; built again when a job asks for them.
std::unique_ptr<Governed> built_environments(environment::Builds& builds);
// What was sent but is used by no job; the command line sends it again.
std::unique_ptr<Governed> unused_uploads(store::Store& store);
std::unique_ptr<Governed> logs_of_jobs(store::Store& store, const Workplaces& workplaces, const Clock& clock);
std::unique_ptr<Governed> outputs_of_jobs(store::Store& store, const Clock& clock);
// With all that is left of the job: its code above all.
std::unique_ptr<Governed> records_of_jobs(store::Store& store, const Clock& clock);

}  // namespace berth::jobs
