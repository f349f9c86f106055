#pragma once

// What one owner may refer to in a store that holds the snapshots of many. A digest is no key: what an owner neither
// sent nor may read is, for him, not there, and nothing that he is answered tells it from what is nowhere.

#include "runtime/base/digest.hpp"

namespace berth::snapshot {

class OwnersView {
 public:
  virtual ~OwnersView() = default;
  // Whether it is a snapshot that the owner sent or may read. Takes no longer, and no less, for one that only others
  // have than for one that nobody has. Asked on the receiving thread.
  virtual bool may_use(const Digest& snapshot) const = 0;
};

// Of a store that holds nothing of others: the memory of a sender, a download.
class SoleOwnersView : public OwnersView {
 public:
  bool may_use(const Digest&) const override { return true; }
};

}  // namespace berth::snapshot
