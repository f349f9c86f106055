#pragma once

// Image environments: pulls images, builds them of Dockerfiles or of an image with a conda environment on top, and
// holds them by leases. One pull or build for all who want the same. What is here already costs one call to the engine.
//
// Pulls and builds end with the agent: the engine keeps what it has of them, so the next one goes on from there.
// Belongs to the loop; what blocks goes to threads of its own.

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/async/event.hpp"
#include "runtime/async/lanes.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/async/task.hpp"
#include "runtime/base/log.hpp"
#include "runtime/docker/engine.hpp"
#include "runtime/environment/image_builds.hpp"
#include "runtime/environment/image_pulls.hpp"
#include "runtime/environment/image_records.hpp"
#include "runtime/environment/image_settings.hpp"
#include "runtime/environment/places.hpp"
#include "runtime/environment/single_flight.hpp"
#include "runtime/environment/store.hpp"
#include "runtime/environment/waiting.hpp"

namespace berth::environment {

class Images : public Store {
 public:
  Images(async::Executor executor, ImageSettings settings);
  Images(const Images&) = delete;
  Images& operator=(const Images&) = delete;

  // Takes over what the agent before this one had pulled or built. To be begun at start; nobody need wait for it, for
  // ensure() does, and tries again where it failed. Throws what Engine does.
  async::Task<> recover();

  // Image, DockerBuild, or Locked of kind "image". The lease is empty for an image that is somebody's own, which Berth
  // never removes. Throws an Error with the engine's or registry's own words and the remedy; Cancelled when the caller
  // abandoned the wait.
  async::Task<Leased> ensure(Spec spec, ImageUse use, Waiting& waiting);

  // Only images that Berth pulled or built. The engine is asked by lease_present() and remove() alone; what some
  // container uses, or is built upon, is in use like what is leased.
  async::Task<std::optional<Leased>> lease(Digest digest) override;
  async::Task<std::optional<Leased>> lease_present(Digest digest) override;
  async::Task<std::optional<bool>> is_as_built(Digest digest) override;
  async::Task<std::vector<Entry>> list() override;
  std::vector<Waiting::Build> building() const override { return makings_.building(); }
  async::Task<std::string> show(Digest digest) override;
  async::Task<> remove(Digest digest) override;

  // For the disk manager; none of it waits for the engine.
  // Blocks on the file system.
  std::vector<Entry> entries() { return records_.list(); }
  // As the engine reckons them: layers that several share count in each. Of those that entries() has come across.
  std::uint64_t bytes() { return records_.bytes(); }
  // Where the engine keeps images on this machine, as it last said; "" before it has.
  std::string root_directory() const;
  // Removes them, one after the other, and waits no longer than `patience`: the engine goes on by itself with what it
  // is slow at, and until that is done nothing more is asked of it. Why each that is still there stays.
  using NotEvicted = std::map<Digest, std::string>;
  async::Task<NotEvicted> evict(std::vector<Digest> digests, std::chrono::milliseconds patience);

  // Asks what is being pulled and built to stop and waits for it. Needed before the end.
  async::Task<> stop();

 private:
  using Look = std::function<Found(std::stop_token)>;
  using Making = SingleFlight<Leased>::Ptr;
  struct Eviction;
  struct Recovered {};

  async::Task<> take_over();
  async::Task<> carry_out(std::shared_ptr<Eviction> eviction);
  void look_around();
  Error with_place(Error error) const;
  async::Task<Leased> ensure_image(std::string reference, const ImageUse& use, Waiting& waiting);
  async::Task<Leased> ensure_conda(Conda conda, const Leased& base, ImageUse use, Waiting& waiting);
  async::Task<Leased> ensure_locked(std::string lock, const ImageUse& use, Waiting& waiting);
  async::Task<Leased> ensure_found(std::string request, Look look, ImageUse use, Waiting& waiting);
  async::Task<Found> look_in_lane(SingleFlight<Found>::Ptr flight, uid_t owner, Look look);
  async::Task<Leased> make(Making flight, ImagePlan plan, Turns::User asker);
  async::Task<Leased> make_on_a_thread(Making flight, const ImagePlan& plan, const std::string& log);
  async::Task<> abandon(Making flight, Digest digest);

  ImageSettings settings_;
  Log log_;
  std::stop_source ending_;
  docker::Engine engine_;
  ImageRecords records_;
  ImagePulls pulls_;
  ImageBuilds builds_;
  async::Pool readers_{1};  // of records: never held up by the engine
  async::Pool lookers_{4};  // at what the engine alone has
  async::Lanes looking_{{2, 8}};
  Places places_;
  async::Pool makers_;
  async::Pool removers_{1};
  mutable std::mutex mutex_;  // guards root_directory_
  std::string root_directory_;
  bool recovered_ = false;
  bool evicting_ = false;
  async::Nursery nursery_;
  SingleFlight<Recovered> recoveries_{nursery_};
  SingleFlight<Found> looks_{nursery_};
  SingleFlight<Leased> makings_{nursery_};
};

}  // namespace berth::environment
