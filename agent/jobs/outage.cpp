#include "agent/jobs/outage.hpp"

#include "runtime/async/no_thread.hpp"

namespace berth::jobs {
namespace {

constexpr const char* kEngine = "the container engine";
constexpr const char* kRegistry = "the registry";
constexpr const char* kDisk = "disk space";
constexpr const char* kProcesses = "room for one more process";
constexpr const char* kIndex = "the package index";

bool says(const Error& error, const char* words) { return error.message().find(words) != std::string::npos; }

}  // namespace

std::optional<std::string> outage_of(const Error& error, bool contained) {
  if (error.code() == Code::no_space) return kDisk;
  if (error.code() != Code::unavailable && error.code() != Code::timeout) return std::nullopt;
  if (says(error, async::kNoThread)) return kProcesses;
  if (!contained) return says(error, "package index does not answer") ? std::optional<std::string>(kIndex) : std::nullopt;
  if (says(error, "registry") || says(error, "cannot pull") || says(error, "image's build failed")) return kRegistry;
  return kEngine;
}

bool is_engines(const std::string& outage) { return outage == kEngine; }

}  // namespace berth::jobs
