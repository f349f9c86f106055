#include "agent/jobs/outage.hpp"

namespace berth::jobs {

std::optional<std::string> outage_of(const Error& error) {
  switch (error.lack()) {
    case Lack::nothing:
      return std::nullopt;
    case Lack::disk:
      return "disk space";
    case Lack::processes:
      return "room for one more process";
    case Lack::engine:
      return "the container engine";
    case Lack::registry:
      return "the registry";
    case Lack::index:
      return "the package index";
    case Lack::driver:
      return "the GPU driver";
    case Lack::names:
      return "the name service";
  }
  return std::nullopt;
}

}  // namespace berth::jobs
