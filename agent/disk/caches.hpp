#pragma once

// What can be made again, at the price of time alone.

#include <memory>

#include "agent/disk/reclaimable.hpp"
#include "runtime/environment/builds.hpp"
#include "runtime/snapshot/checkouts.hpp"

namespace berth::disk {

// Trees of files made of snapshots; made again when a job needs them.
std::unique_ptr<Reclaimable> checkouts_of_code(snapshot::Checkouts& checkouts);
// What builds have downloaded and keep for later ones; downloaded again when needed.
std::unique_ptr<Reclaimable> downloads_of_builds(environment::Builds& builds);
// Environments that no job holds; built again when a job asks for them.
std::unique_ptr<Reclaimable> built_environments(environment::Builds& builds);

}  // namespace berth::disk
