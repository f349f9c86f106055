#pragma once

// The images of the container engine that Berth pulled or built, for the disk manager. Those that were there before,
// and those that somebody else made, are none of its business. Nothing here waits for the engine for long.

#include <memory>
#include <string>

#include "agent/disk/reclaimable.hpp"
#include "runtime/environment/images.hpp"

namespace berth::disk {

// Both outlive it.
std::unique_ptr<Reclaimable> images_of_engine(environment::Images& images, const std::string& state_dir,
                                              const Clock& clock);

// Quick; without an engine that has ever answered, total and directory are empty.
ImageDisk image_disk(environment::Images& images, const std::string& state_dir);

}  // namespace berth::disk
