#include "agent/disk/images.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::disk {
namespace {

using async::Task;
using environment::Entry;
using Numbers = std::vector<std::int64_t>;

// For the removal of all that go at a time. An engine that hangs is not asked again for a while.
constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::minutes kLeftAloneFor{10};

bool same_file_system(const std::string& one, const std::string& other) {
  struct stat first {};
  struct stat second {};
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 && first.st_dev == second.st_dev;
}

// What is built upon others goes before them, and keeps them in use as it is itself.
class Stack {
 public:
  explicit Stack(std::vector<Entry> entries) {
    for (auto& entry : entries) {
      const auto image = entry.image;
      layers_[image] = {entry.last_used, entry.leased, 0, std::move(entry.below), std::move(entry)};
    }
    // As deep as they can be: each round takes use one level down, and heights one up.
    for (std::size_t round = 0; round < layers_.size() && settle(); ++round) {
    }
  }

  struct Layer {
    Instant last_use{};
    bool needed = false;
    std::size_t height = 0;  // so many of these below it
    std::set<std::string> below;
    Entry entry;
  };
  // Those first that go first.
  std::vector<const Layer*> in_order() const {
    std::vector<const Layer*> order;
    for (const auto& [image, layer] : layers_) order.push_back(&layer);
    std::stable_sort(order.begin(), order.end(), [](const Layer* a, const Layer* b) {
      return std::pair(a->last_use, b->height) < std::pair(b->last_use, a->height);
    });
    return order;
  }
  // Without what is another's here, where that can be told.
  std::uint64_t own_bytes(const Layer& layer) const {
    const auto base = layer.below.size() == 1 ? layers_.find(*layer.below.begin()) : layers_.end();
    const auto of_base = base == layers_.end() ? 0 : base->second.entry.bytes;
    return layer.entry.bytes - std::min(layer.entry.bytes, of_base);
  }

 private:
  bool settle() {
    bool changed = false;
    for (auto& [image, layer] : layers_)
      for (const auto& name : layer.below)
        if (const auto base = layers_.find(name); base != layers_.end()) changed = lean(layer, base->second) || changed;
    return changed;
  }
  static bool lean(Layer& upper, Layer& base) {
    const auto before = std::tuple(base.last_use, base.needed, upper.height);
    base.last_use = std::max(base.last_use, upper.last_use);
    base.needed = base.needed || upper.needed;
    upper.height = std::max(upper.height, base.height + 1);
    return before != std::tuple(base.last_use, base.needed, upper.height);
  }

  std::map<std::string, Layer> layers_;  // by the engine's id
};

class ImagesOfEngine : public Reclaimable {
 public:
  ImagesOfEngine(environment::Images& images, const std::string& state_dir, const Clock& clock)
      : images_(images), state_dir_(state_dir), clock_(clock) {}
  std::string name() const override { return "images"; }
  std::string description() const override { return "container images that Berth pulled or built"; }

  Survey survey(const SurveyContext&) override {
    const bool elsewhere = !image_disk(images_, state_dir_).shared;
    const Stack stack(images_.entries());
    std::erase_if(left_alone_, [&](const auto& one) { return one.second.until <= clock_.steady(); });
    std::map<std::string, Retained> staying;
    Survey found;
    idle_.clear();
    for (const auto* layer : stack.in_order()) {
      const auto bytes = stack.own_bytes(*layer);
      if (const auto why = reason_to_stay(*layer)) {
        auto& stays = staying[*why];
        stays.why = *why;
        ++stays.count;
        stays.bytes += bytes;
        continue;
      }
      auto candidate = candidate_of(*layer);
      candidate.bytes = bytes;
      candidate.elsewhere = elsewhere;
      found.candidates.push_back(std::move(candidate));
      idle_.push_back(layer->entry.digest);
    }
    for (auto& [why, stays] : staying) found.staying.push_back(std::move(stays));
    return found;
  }

  Task<Numbers> remove(Numbers numbers, std::string) override {
    std::vector<Digest> digests;
    for (const auto number : numbers) digests.push_back(idle_.at(static_cast<std::size_t>(number)));
    const auto stays = co_await images_.evict(digests, kPatience);
    Numbers done;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto left = stays.find(digests[i]);
      if (left == stays.end())
        done.push_back(numbers[i]);
      else
        left_alone_[digests[i]] = {left->second, clock_.steady() + kLeftAloneFor};
    }
    co_return done;
  }

 private:
  struct LeftAlone {
    std::string why;
    Steady until{};
  };

  std::optional<std::string> reason_to_stay(const Stack::Layer& layer) const {
    if (layer.entry.leased) return "live jobs have them";
    if (layer.needed) return "images that live jobs have are built upon them";
    const auto left = left_alone_.find(layer.entry.digest);
    if (left != left_alone_.end()) return "a moment ago they could not be removed: " + left->second.why;
    return std::nullopt;
  }

  Candidate candidate_of(const Stack::Layer& layer) const {
    Candidate candidate;
    candidate.number = static_cast<std::int64_t>(idle_.size());
    candidate.what = layer.entry.words + " (" + layer.entry.digest.brief() + ")";
    candidate.why = "no live job has it; it is pulled or built again when needed";
    candidate.last_use = layer.last_use;
    candidate.replaceable = true;
    candidate.image = true;
    return candidate;
  }

  environment::Images& images_;
  const std::string& state_dir_;
  const Clock& clock_;
  std::vector<Digest> idle_;
  std::map<Digest, LeftAlone> left_alone_;
};

}  // namespace

std::unique_ptr<Reclaimable> images_of_engine(environment::Images& images, const std::string& state_dir,
                                              const Clock& clock) {
  return std::make_unique<ImagesOfEngine>(images, state_dir, clock);
}

ImageDisk image_disk(environment::Images& images, const std::string& state_dir) {
  ImageDisk disk;
  disk.directory = images.root_directory();
  disk.state.kept = images.bytes();
  try {
    if (!disk.directory.empty()) {
      const auto space = os::space_of(disk.directory);
      disk.state.free = space.free;
      disk.state.total = space.total;
      disk.shared = same_file_system(disk.directory, state_dir);
    }
  } catch (const Error&) {  // not on this machine, or not to be looked at
    disk.directory.clear();
  }
  return disk;
}

}  // namespace berth::disk
