#pragma once

#include <limits>
#include <string>
#include <vector>

namespace berth::model {

// As one would type it in a shell: words with anything special are quoted; one line whatever is in it. A longer one is
// cut after about `most` bytes, with "…" in place of the rest, and costs no more than that.
std::string command_text(const std::vector<std::string>& command,
                         std::size_t most = std::numeric_limits<std::size_t>::max());

}  // namespace berth::model
