#pragma once

// Jobs in containers of a Docker engine, which may hang, be away for a while, and come back.

#include "agent/drivers/containers.hpp"
#include "agent/drivers/driver.hpp"
#include "agent/drivers/job_directories.hpp"
#include "runtime/base/log.hpp"

namespace berth::drivers {

// The directories outlive it.
std::unique_ptr<Driver> container_driver(async::Executor executor, ContainerOptions options,
                                         JobDirectories& directories, Log log);

}  // namespace berth::drivers
