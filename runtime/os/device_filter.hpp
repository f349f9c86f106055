#pragma once

// Which device nodes a control group's processes may open: an eBPF program on the group, as version 2 of control
// groups has no other way. It stays until the group is removed, whoever attached it.

#include <linux/bpf.h>

#include <map>
#include <set>
#include <vector>

#include "runtime/os/cgroup.hpp"

namespace berth::os {

// Major number of a character device → the minor numbers that may be used. Devices of other majors, and all block
// devices, are left alone.
using DeviceRules = std::map<unsigned, std::set<unsigned>>;

// The program by itself.
std::vector<bpf_insn> device_program(const DeviceRules& rules);

// From now on the group's processes, and those of groups below, can open, make and use other devices of these
// majors no more; what is open stays open. Beside filters that others attached: what any of them denies is denied.
// Throws Code::denied without the privilege (CAP_BPF or root), Code::unsupported where the kernel has no such filters.
void attach_device_filter(const Cgroup& group, const DeviceRules& rules);

}  // namespace berth::os
