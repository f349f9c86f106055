#pragma once

// The node's GPUs as the API tells them.

#include <string>
#include <vector>

#include "agent/gpus/ledger.hpp"
#include "agent/wire/node.hpp"

namespace berth::api {

wire::Gpu told(const gpu::Gpu& gpu, const gpus::Ledger& ledger);
wire::Nvidia nvidia_told(const gpus::Ledger& ledger);
// All that there are.
wire::Gpus told(const gpus::Ledger& ledger);
// "GPU 3 is withheld: …", of those that are withheld for their own sake.
std::vector<std::string> remarks_of(const gpus::Ledger& ledger);

}  // namespace berth::api
