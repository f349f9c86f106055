#pragma once

// The node's GPUs as the API tells them.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/gpus/ledger.hpp"

namespace berth::api {

// {"uuid", "index", "label", "name", "memory_bytes", "used_bytes", "utilisation", "jobs", "withheld", "mig",
// "capability"}
nlohmann::json gpu_json(const gpu::Gpu& gpu, const gpus::Ledger& ledger);
// A list of these: all that there are.
nlohmann::json gpus_json(const gpus::Ledger& ledger);
// {"driver", "cuda", "notes"}
nlohmann::json nvidia_json(const gpus::Ledger& ledger);
// "GPU 3 is withheld: …", of those that are withheld for their own sake.
std::vector<std::string> remarks_of(const gpus::Ledger& ledger);

}  // namespace berth::api
