#pragma once

// What Berth knows of the images that it pulled or built: records, leases and logs, as the cache of environments keeps
// them, with the engine as where the files are. An image without a record is somebody's own: it is used, but neither
// listed nor removed. Every call blocks. Thread-safe.

#include <functional>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "runtime/docker/engine.hpp"
#include "runtime/environment/built.hpp"
#include "runtime/environment/cache.hpp"
#include "runtime/environment/image_plan.hpp"
#include "runtime/environment/image_settings.hpp"

namespace berth::environment {

// On images that are built.
inline constexpr const char* kEnvironmentLabel = "io.berth.environment";  // the digest
inline constexpr const char* kStateLabel = "io.berth.state";              // whose: ImageSettings::state
inline constexpr const char* kKindLabel = "io.berth.kind";
inline constexpr const char* kWordsLabel = "io.berth.words";
inline constexpr const char* kCanonicalLabel = "io.berth.canonical";
inline constexpr const char* kImageAndCondaKind = "image and conda";
inline constexpr const char* kBaseLabel = "io.berth.base";      // the image below a conda environment
inline constexpr const char* kResultLabel = "io.berth.result";  // of a conda environment within: recipe.hpp's result

// By which an image is known that was pulled: over the engine's id alone.
Digest digest_of_image(const std::string& id);
// The tag of what is built: "berth/env:<32 hex>".
std::string environment_tag(const Digest& digest);

inline constexpr const char* kPrivateLabel = "io.berth.private";  // JSON: the private images below it, by their names

// What there is to know of an image that was asked for by this name. Its digest is over the engine's id alone.
// `own`: it came with a job's own credentials.
Built built_from_pulled(const docker::Image& image, const docker::Reference& reference, bool own = false);
// Of one that was built, by the labels that it was to get: as the builder wrote them down, for anybody can write those
// of an image.
Built built_from_labels(const docker::Labels& labels, const docker::Image& image);

class ImageRecords {
 public:
  ImageRecords(const ImageSettings& settings, const docker::Engine& engine);

  // The image, if the engine has it under that name; leased where it is Berth's. `read` tells what it is, and may
  // refuse it by throwing. Whether the caller may have a private one (see private_names) is for him to know.
  using Read = std::function<std::optional<Built>(const docker::Image&)>;
  std::optional<Leased> take(const std::string& name, const Read& read);

  // An image that came with a job's own credentials is private, and so is what is built upon it: who wants it must show
  // its registry credentials of his own. These are the names to ask for there; none where it is open to all.
  std::vector<std::string> private_names(const docker::Image& image);

  // Whose builds others must not use by any name or id, nor what nobody has named. Code::denied.
  void require(const docker::Image& image, const ImageUse& use);
  // The record of the build that an image is; nothing where it is none that was recorded.
  std::optional<Built> built_as(const std::string& image);

  // A pull or build begins. What a later agent may find by `plan.name` in the engine is Berth's: a name by digest, or
  // one that nobody can guess. Returns the log's path.
  std::string begin(const ImagePlan& plan);
  // The random name of a build has served.
  void drop_name(const std::string& name);
  // What is known of it now, for a later agent; before it can be there.
  void intend(const ImagePlan& plan, const docker::Labels& labels);
  // It is here, and Berth's.
  Leased publish(Built built);
  // Nothing came of it: keeps the log, tells where.
  std::string abandon(const Digest& digest);
  // The log of what ended well under another digest than it began under.
  void move_log(const Digest& from, const Digest& to);

  std::string log_file(const Digest& digest) const;

  bool is_ours(const Digest& digest) const { return cache_.is_published(digest); }
  // By the records alone, without a word to the engine:
  std::optional<Leased> lease(const Digest& digest) { return cache_.lease(digest); }
  std::vector<Entry> list() { return cache_.list(); }
  std::string show(const Digest& digest) { return cache_.show(digest); }
  std::uint64_t bytes() { return cache_.bytes(); }

  // The same as lease(), but nothing where the engine has the image no more.
  std::optional<Leased> lease_present(const Digest& digest);
  // Record and image. Code::not_found; Code::conflict while it is leased, a container has it, or another image is built
  // upon it: then it stays as it is. Other names that somebody gave to the image keep it in the engine.
  void remove(const Digest& digest);

  // At start: takes over what an agent that was killed had pulled or built, removes the rest of its traces, and forgets
  // what somebody has removed from the engine.
  void recover();

 private:
  void recover_begun(const Digest& digest);
  void forget_absent();
  void remove_image(const Built& built, const docker::Image& image);
  std::string log_directory(const Digest& digest) const;
  std::string intent_file(const Digest& digest) const;

  const ImageSettings& settings_;
  const docker::Engine& engine_;
  Cache cache_;
  // Removing excludes looking: an image that is seen is leased before it can go.
  std::shared_mutex presence_;
};

}  // namespace berth::environment
