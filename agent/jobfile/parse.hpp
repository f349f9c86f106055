#pragma once

// The values of single flags, as people type them.

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/units.hpp"

namespace berth::jobfile {

// All throw Error Code::invalid naming the flag ("--cpus").
std::int64_t whole_number(const std::string& flag, const std::string& text, std::int64_t least, std::int64_t most);
// "2", "0.5", "250m" → thousandths of a CPU.
std::uint32_t cpus(const std::string& flag, const std::string& text);
ByteSize size(const std::string& flag, const std::string& text);
std::chrono::milliseconds duration(const std::string& flag, const std::string& text);
int signal_number(const std::string& flag, const std::string& text);
// "k=v", split at the first '='.
std::pair<std::string, std::string> pair(const std::string& flag, const std::string& text);
// "3" → failed: 3; "lost=2" → lost: 2.
std::map<std::string, int> retries(const std::string& flag, const std::vector<std::string>& texts);
// The causes that it knows.
std::span<const std::string_view> retry_causes();

}  // namespace berth::jobfile
