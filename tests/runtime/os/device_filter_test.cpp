#include "runtime/os/device_filter.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using os::DeviceRules;

namespace {

// What the kernel would do with the few instructions that device_program() uses.
bool allowed(const std::vector<bpf_insn>& program, unsigned type, unsigned major_number, unsigned minor_number) {
  constexpr unsigned kRead = BPF_DEVCG_ACC_READ << 16;
  const std::array<std::uint32_t, 3> context{kRead | type, major_number, minor_number};
  std::array<std::uint64_t, 11> registers{};
  for (std::size_t at = 0; at < program.size(); ++at) {
    const auto& i = program[at];
    auto& target = registers.at(i.dst_reg);
    const auto low = static_cast<std::uint32_t>(target);
    const auto value = static_cast<std::uint32_t>(i.imm);
    const auto jump = [&](bool taken) { at += taken ? static_cast<std::size_t>(i.off) : 0; };
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        REQUIRE(i.src_reg == BPF_REG_1);
        target = context.at(static_cast<std::size_t>(i.off) / 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        target = low & value;
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        jump(low == value);
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        jump(low != value);
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        target = value;
        break;
      case BPF_JMP | BPF_EXIT:
        return registers[BPF_REG_0] == 1;
      default:
        FAIL("unknown instruction");
    }
  }
  FAIL("ran past the end");
  return false;
}

bool allows_char(const DeviceRules& rules, unsigned major_number, unsigned minor_number) {
  return allowed(os::device_program(rules), BPF_DEVCG_DEV_CHAR, major_number, minor_number);
}

// A group that is to be removed again; nothing where groups or filters cannot be had, and why.
std::optional<os::Cgroup> filtered_group(const DeviceRules& rules, std::string& lack) {
  const auto base = os::find_cgroup_base("");
  if (!base || ::geteuid() != 0) {
    lack = "root, and a writable cgroup2 directory";
    return std::nullopt;
  }
  auto group = os::Cgroup::make(*base, "berth-test-devices-" + std::to_string(::getpid()));
  try {
    os::attach_device_filter(group, rules);
  } catch (const Error& error) {
    lack = "device filters (" + error.describe() + ")";
    group.remove();
    return std::nullopt;
  }
  return group;
}

// Whether a process of the group can open each of these: its exit status, a bit a path.
int openable(const os::Cgroup& group, const std::vector<const char*>& paths) {
  const pid_t child = ::fork();
  if (child == 0) {
    group.add(::getpid());
    int bits = 0;
    for (std::size_t i = 0; i < paths.size(); ++i)
      if (::open(paths[i], O_RDONLY | O_CLOEXEC) >= 0) bits |= 1 << i;
    ::_exit(bits);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a device program allows the listed minors of its majors, and everything else") {
  const DeviceRules rules{{195, {0, 3, 255}}, {236, {30}}, {500, {}}};
  for (const unsigned minor_number : {0U, 3U, 255U}) CHECK(allows_char(rules, 195, minor_number));
  for (const unsigned minor_number : {1U, 2U, 4U, 254U}) CHECK_FALSE(allows_char(rules, 195, minor_number));
  CHECK(allows_char(rules, 236, 30));
  CHECK_FALSE(allows_char(rules, 236, 3));
  CHECK_FALSE(allows_char(rules, 500, 0));
  CHECK(allows_char(rules, 1, 3));
  CHECK(allowed(os::device_program(rules), BPF_DEVCG_DEV_BLOCK, 195, 1));
  CHECK(allows_char({}, 195, 1));
}

TEST_CASE("processes of a group with a device filter cannot open other devices of that major") {
  // 1:3 is /dev/null, 1:5 /dev/zero, 1:9 /dev/urandom; 5:0 is another major.
  std::string lack;
  const auto group = filtered_group({{1, {3, 9}}}, lack);
  SKIP_UNLESS(group, lack);
  CHECK(openable(*group, {"/dev/null", "/dev/zero", "/dev/urandom"}) == 0b101);
  CHECK(group->remove());
}
