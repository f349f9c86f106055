#pragma once

// What looking for an image environment comes to: it is here, or this is how to get it.

#include <sys/types.h>

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "runtime/docker/engine.hpp"
#include "runtime/docker/progress.hpp"
#include "runtime/environment/ready.hpp"

namespace berth::environment {

struct ImagePlan {
  Digest digest;          // of what will come of it; of the request where only the engine can tell
  std::string words;      // "image debian:12"
  std::string name;       // by which the engine will have it, if it is Berth's then; "" to be told by labels
  std::string reference;  // as it was asked for
  docker::Labels labels{};  // of what is built, for its record
  std::optional<uid_t> owner{};  // whose alone it will be
  std::string scratch{};    // the name of an image that is only needed meanwhile
  bool own = false;       // it comes with the job's own credentials, and will be private
  std::vector<std::string> bases;  // that are not here: to be had first, and then it is looked for anew
  // Blocks until it is here. A stop is Cancelled.
  std::function<Leased(const docker::LineSink& log, std::stop_token stop)> make;
};

using Found = std::variant<Leased, ImagePlan>;

}  // namespace berth::environment
