#pragma once

// The masks of logs while they are read: one for all readers of a job, kept for as long as there are any. They are made
// and used in the lanes of who reads, and what they take of memory is bounded for each reader and in all. All state
// lives on one loop.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/jobs/secret_masks.hpp"
#include "agent/model/ids.hpp"
#include "agent/model/principal.hpp"
#include "runtime/async/lanes.hpp"
#include "runtime/async/shares.hpp"

namespace berth::jobs {

class Masks {
 public:
  // Never null; it may be empty.
  using Kept = std::shared_ptr<const logs::Mask>;
  // What is to be masked (model::values_to_mask).
  using Values = std::vector<std::string>;

  // The mask of a job, made of what `open` comes to unless somebody has it. Code::unavailable where the reader, or all
  // together, have as many as there may be; root gets in.
  async::Task<Kept> of(model::Sequence job, model::Principal reader, std::function<async::Task<Values>()> open);
  async::Task<Kept> make(Values values, model::Principal reader);
  // The same error with none of the secrets in its words; without its words where they cannot be masked.
  async::Task<Error> hide(Error error, const model::JobSecrets& secrets, async::Lanes::Owner owner);

  async::Lanes& lanes() { return lanes_; }

 private:
  // Of memory, by reader; outlives the masks.
  struct Ledger {
    std::map<model::LimitKey, std::size_t> bytes;
    std::size_t in_all = 0;  // but root's
    void add(const model::Principal& reader, std::size_t more);
    void subtract(const model::Principal& reader, std::size_t less);
  };
  struct Charged;
  struct Entry {
    std::weak_ptr<const logs::Mask> mask;
    async::Shares making{1};
  };

  void check_room(const model::Principal& reader, std::size_t bytes) const;

  async::Lanes lanes_{{1, 2}};
  std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>();
  std::map<model::Sequence, std::shared_ptr<Entry>> entries_;
};

}  // namespace berth::jobs
