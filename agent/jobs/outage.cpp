#include "agent/jobs/outage.hpp"

namespace berth::jobs {
namespace {

constexpr const char* kEngine = "the container engine";

}  // namespace

std::optional<std::string> outage_of(const Error& error) {
  switch (error.lack()) {
    case Lack::nothing:
      return std::nullopt;
    case Lack::disk:
      return "disk space";
    case Lack::processes:
      return "room for one more process";
    case Lack::engine:
      return kEngine;
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

bool is_engines(const std::string& outage) { return outage == kEngine; }

}  // namespace berth::jobs
