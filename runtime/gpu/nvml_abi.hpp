#pragma once

// The part of NVML's binary interface that Berth calls, written from NVIDIA's public NVML API reference. All
// functions return a Return and are plain C.

#include <cstdint>

namespace berth::gpu::nvml {

using Return = int;
constexpr Return kSuccess = 0;
constexpr Return kUninitialized = 1;
constexpr Return kInvalidArgument = 2;
constexpr Return kNotSupported = 3;
constexpr Return kNoPermission = 4;
constexpr Return kNotFound = 6;
constexpr Return kInsufficientSize = 7;
constexpr Return kDriverNotLoaded = 9;
constexpr Return kTimeout = 10;
constexpr Return kFunctionNotFound = 13;
constexpr Return kGpuIsLost = 15;
constexpr Return kResetRequired = 16;
constexpr Return kLibraryMismatch = 18;
constexpr Return kUnknown = 999;

using Device = struct OpaqueDevice*;
using EventSet = struct OpaqueEventSet*;

constexpr unsigned kUuidSize = 96;
constexpr unsigned kNameSize = 96;
constexpr unsigned kVersionSize = 80;

struct Memory {
  std::uint64_t total, free, used;
};
struct MemoryV2 {
  unsigned version;
  std::uint64_t total, reserved, free, used;
};
constexpr unsigned kMemoryV2 = sizeof(MemoryV2) | 2U << 24;

struct Utilization {
  unsigned gpu, memory;  // percent
};

// Of the functions without a suffix, and of those with _v2 and _v3.
struct ProcessV1 {
  unsigned pid;
  std::uint64_t memory;
};
struct Process {
  unsigned pid;
  std::uint64_t memory;
  unsigned gpu_instance, compute_instance;
};
constexpr std::uint64_t kNotAvailable = ~std::uint64_t{0};

struct Attributes {
  unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, optical_flow;
  unsigned gpu_instance_slices, compute_instance_slices;
  std::uint64_t memory_mib;
};

// Of nvmlEventSetWait_v2; without the suffix the last two are not written.
struct Event {
  Device device;
  std::uint64_t type, data;
  unsigned gpu_instance, compute_instance;
};
constexpr std::uint64_t kEventXid = 8;

constexpr unsigned kMigEnabled = 1;
constexpr unsigned kEccUncorrected = 1;
constexpr unsigned kEccVolatile = 0;  // since the driver was loaded
constexpr unsigned kComputeProhibited = 2;

}  // namespace berth::gpu::nvml
