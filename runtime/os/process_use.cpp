#include "runtime/os/process_use.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::os {
namespace {

std::string read_or_empty(const std::string& path) {
  try {
    return read_file(path);
  } catch (const Error&) {  // it ended meanwhile, or belongs to somebody else
    return {};
  }
}

// The number after `key`, which stands at the beginning of a line; 0 without.
std::uint64_t number_after(std::string_view text, std::string_view key) {
  for (std::size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    const auto begin = text.find_first_not_of(" \t", at + key.size());
    std::uint64_t value = 0;
    if (begin != std::string_view::npos) std::from_chars(text.data() + begin, text.data() + text.size(), value);
    return value;
  }
  return 0;
}

std::chrono::microseconds from_ticks(std::uint64_t ticks) {
  static const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return std::chrono::microseconds(ticks * 1'000'000 / per_second);
}

// The numbers of a line that are separated by single blanks, as far as `numbers` reaches.
template <std::size_t N>
void read_numbers(std::string_view line, std::array<std::uint64_t, N>& numbers) {
  for (auto& number : numbers) {
    std::from_chars(line.data(), line.data() + line.size(), number);
    line.remove_prefix(std::min(line.find(' '), line.size()));
    line.remove_prefix(std::min<std::size_t>(1, line.size()));
  }
}

}  // namespace

std::optional<ProcessUse> use_of(pid_t pid) {
  const auto directory = "/proc/" + std::to_string(pid);
  const auto stat = read_or_empty(directory + "/stat");
  const auto name_end = stat.rfind(')');  // the name may hold blanks and parentheses
  if (name_end == std::string::npos || name_end + 4 > stat.size() || stat[name_end + 2] == 'Z') return std::nullopt;
  std::array<std::uint64_t, 14> fields{};  // proc(5): from field 4, the parent, to field 17
  read_numbers(std::string_view(stat).substr(name_end + 4), fields);
  const auto status = read_or_empty(directory + "/status");
  const auto io = read_or_empty(directory + "/io");
  ProcessUse use;
  use.cpu = from_ticks(fields[10] + fields[11]);
  use.children_cpu = from_ticks(fields[12] + fields[13]);
  use.resident = number_after(status, "VmRSS:") * 1024;
  use.peak_resident = number_after(status, "VmHWM:") * 1024;
  use.read = number_after(io, "read_bytes:");
  use.written = number_after(io, "write_bytes:");
  return use;
}

MachineUse machine_use() {
  std::array<std::uint64_t, 8> cpu{};  // user nice system idle iowait irq softirq steal
  const auto stat = read_or_empty("/proc/stat");
  if (stat.starts_with("cpu  ")) read_numbers(std::string_view(stat).substr(5), cpu);
  const auto memory = read_or_empty("/proc/meminfo");
  return {from_ticks(cpu[0] + cpu[1] + cpu[2] + cpu[5] + cpu[6] + cpu[7]), number_after(memory, "MemTotal:") * 1024,
          number_after(memory, "MemAvailable:") * 1024};
}

}  // namespace berth::os
