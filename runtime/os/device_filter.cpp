#include "runtime/os/device_filter.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "runtime/base/error.hpp"

namespace berth::os {
namespace {

constexpr std::uint8_t kResult = BPF_REG_0;
constexpr std::uint8_t kContext = BPF_REG_1;
constexpr std::uint8_t kType = BPF_REG_2;
constexpr std::uint8_t kMajor = BPF_REG_3;
constexpr std::uint8_t kMinor = BPF_REG_4;
constexpr std::int32_t kTypeMask = 0xffff;  // access_type has the access in its upper half

bpf_insn instruction(int code, std::uint8_t destination, std::uint8_t source, std::size_t offset, std::int32_t value) {
  bpf_insn result{};
  result.code = static_cast<std::uint8_t>(code);
  result.dst_reg = destination & 0xf;
  result.src_reg = source & 0xf;
  result.off = static_cast<std::int16_t>(offset);
  result.imm = value;
  return result;
}

bpf_insn load(std::uint8_t destination, std::size_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, destination, kContext, offset, 0);
}

// Jumps by `offset` instructions when the register compares so with the value.
bpf_insn jump_if(int comparison, std::uint8_t one, std::uint32_t value, std::size_t offset) {
  return instruction(BPF_JMP32 | comparison | BPF_K, one, 0, offset, static_cast<std::int32_t>(value));
}

bpf_insn set_result(std::int32_t value) { return instruction(BPF_ALU64 | BPF_MOV | BPF_K, kResult, 0, 0, value); }

bpf_insn leave() { return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

int bpf(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof(attributes)));
}

[[noreturn]] void refuse(const std::string& action, const std::string& group) {
  if (errno == EPERM || errno == EACCES) throw_errno(action, group);
  throw Error(Code::unsupported, "cannot " + action + " " + group + ": the kernel has no device filters for groups",
              "devices are kept apart by CUDA_VISIBLE_DEVICES alone");
}

Fd load_program(const std::vector<bpf_insn>& program, const std::string& group) {
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<std::uint64_t>(program.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(program.size());
  attributes.license = reinterpret_cast<std::uint64_t>(kLicense);
  const int program_fd = bpf(BPF_PROG_LOAD, attributes);
  if (program_fd < 0) refuse("load a device filter for the group", group);
  return Fd(program_fd);
}

}  // namespace

std::vector<bpf_insn> device_program(const DeviceRules& rules) {
  std::vector<bpf_insn> program{load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
                                load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
                                load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
                                instruction(BPF_ALU | BPF_AND | BPF_K, kType, 0, 0, kTypeMask),
                                jump_if(BPF_JEQ, kType, BPF_DEVCG_DEV_CHAR, 2),
                                set_result(1),
                                leave()};
  for (const auto& [major_number, minors] : rules) {
    // Past this rule: its minors, and the two sets of result and exit.
    program.push_back(jump_if(BPF_JNE, kMajor, major_number, minors.size() + 4));
    std::size_t before_allow = minors.size() + 1;
    for (const auto minor_number : minors) program.push_back(jump_if(BPF_JEQ, kMinor, minor_number, before_allow--));
    program.push_back(set_result(0));
    program.push_back(leave());
    program.push_back(set_result(1));
    program.push_back(leave());
  }
  program.push_back(set_result(1));
  program.push_back(leave());
  return program;
}

void attach_device_filter(const Cgroup& group, const DeviceRules& rules) {
  const auto program = load_program(device_program(rules), group.path());
  bpf_attr attributes{};
  attributes.target_fd = static_cast<std::uint32_t>(group.directory().get());
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(program.get());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (bpf(BPF_PROG_ATTACH, attributes) != 0) refuse("attach a device filter to the group", group.path());
}

}  // namespace berth::os
