#include "agent/disk/reserve.hpp"

#include <fcntl.h>

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::disk {
namespace {

constexpr ByteSize kNeededToStart = 1_MiB;

ByteSize size_of_reserve(ByteSize least) { return ByteSize(std::min((16_MiB).bytes(), least.bytes() / 2)); }

}  // namespace

Reserve::Reserve(std::string path, ByteSize least) : path_(std::move(path)), least_(least) { restore(); }

bool Reserve::release() { return os::remove_file(path_); }

void Reserve::restore() {
  if (os::exists(path_)) return;
  const auto size = size_of_reserve(least_);
  if (os::space_of(os::parent_of(path_)).free < least_.bytes() + size.bytes()) return;
  const auto file = os::open(path_, O_WRONLY | O_CREAT, 0600);
  if (::posix_fallocate(file.get(), 0, static_cast<off_t>(size.bytes())) != 0) release();
}

void Reserve::require_room(ByteSize incoming) const {
  const auto space = os::space_of(os::parent_of(path_));
  if (space.free >= least_.bytes() && space.free - least_.bytes() >= incoming.bytes()) return;
  throw Error(Code::no_space,
              "the node's disk is nearly full: " + to_text(ByteSize(space.free)) + " are free where " +
                  os::parent_of(path_) + " is, new work needs " +
                  (incoming.bytes() == 0 ? to_text(least_) : to_text(least_) + " and room for " + to_text(incoming)),
              "free some space; `berth gc --dry-run` shows what Berth could give back");
}

void Reserve::release_if_full(const std::string& path) {
  if (os::exists(path) && os::space_of(path).free < kNeededToStart.bytes()) os::remove_file(path);
}

}  // namespace berth::disk
