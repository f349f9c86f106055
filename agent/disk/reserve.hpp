#pragma once

// A file that only takes up space, so that there is some to give when the disk is full: endings and cancellations
// can then still be recorded. Taken up again once there is room.

#include <string>

#include "runtime/base/units.hpp"

namespace berth::disk {

class Reserve {
 public:
  // `least` is how much the file system must have free for new work to be accepted; the file is a part of that size.
  Reserve(std::string path, ByteSize least);

  // Gives the space back to the file system; false when it is given already.
  bool release();
  // Takes it up again where there is room; call it now and then.
  void restore();
  // Throws Code::no_space when there is less room than new work needs, with so much to be written besides.
  void require_room(ByteSize incoming = ByteSize()) const;
  ByteSize least() const { return least_; }
  // For an agent that is about to start on a disk so full that it could not.
  static void release_if_full(const std::string& path);

 private:
  std::string path_;
  ByteSize least_;
};

}  // namespace berth::disk
