#include "agent/jobs/disk_reserve.hpp"

#include <fcntl.h>

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobs {
namespace {

ByteSize size_of_reserve(ByteSize least) { return ByteSize(std::min((16_MiB).bytes(), least.bytes() / 2)); }

}  // namespace

DiskReserve::DiskReserve(std::string path, ByteSize least) : path_(std::move(path)), least_(least) { restore(); }

bool DiskReserve::release() { return os::remove_file(path_); }

void DiskReserve::restore() {
  if (os::exists(path_)) return;
  const auto size = size_of_reserve(least_);
  if (os::space_of(os::parent_of(path_)).free < least_.bytes() + size.bytes()) return;
  const auto file = os::open(path_, O_WRONLY | O_CREAT, 0600);
  if (::posix_fallocate(file.get(), 0, static_cast<off_t>(size.bytes())) != 0) release();
}

void DiskReserve::require_room() const {
  const auto space = os::space_of(os::parent_of(path_));
  if (space.free >= least_.bytes()) return;
  throw Error(Code::no_space,
              "the node's disk is nearly full: " + to_text(ByteSize(space.free)) + " are free where " +
                  os::parent_of(path_) + " is, new work needs " + to_text(least_),
              "free some space; `berth gc --dry-run` shows what Berth could give back");
}

}  // namespace berth::jobs
