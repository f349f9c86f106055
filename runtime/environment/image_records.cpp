#include "runtime/environment/image_records.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/log.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/image_choice.hpp"
#include "runtime/environment/recipe.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/attempt_count.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::environment {
namespace {

using Json = nlohmann::json;
using os::join;

constexpr const char* kIntentFile = "pull.json";
constexpr const char* kRecoveringFile = "recovering";  // how often that was begun
constexpr const char* kOwnRepository = "berth/env";

std::string label(const docker::Labels& labels, const char* name) {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string() : found->second;
}

// By which name any machine gets this image: the one of the repository asked for, if it has one.
std::string pinned_name(const docker::Image& image, const docker::Reference& reference) {
  std::string any;
  for (const auto& name : image.digests) {
    const auto pinned = docker::parse_reference(name);
    if (pinned.name() == reference.name()) return pinned.name() + "@" + pinned.digest;
    if (any.empty()) any = pinned.name() + "@" + pinned.digest;
  }
  return any;
}

Json facts_of(const docker::Image& image, const std::string& reference, const std::string& pinned) {
  return {{"reference", reference},
          {"digest", pinned.substr(pinned.find('@') == std::string::npos ? pinned.size() : pinned.find('@') + 1)},
          {"id", image.id},
          {"size", image.size.bytes()},
          {"architecture", image.architecture},
          {"cuda", cuda_of(image.environment)}};
}

Built built_of(const docker::Image& image) {
  Built built;
  built.created = system_clock().now();
  built.bytes = image.size.bytes();
  built.image = image.id;
  return built;
}

std::vector<std::string> private_names_in(const std::string& facts) {
  return facts.empty() ? std::vector<std::string>() : read_json(facts).value("private", std::vector<std::string>());
}

std::vector<std::string> private_names_of_label(const docker::Labels& labels) {
  const auto names = json_or_null(label(labels, kPrivateLabel));
  std::vector<std::string> all;
  if (names.is_array())
    for (const auto& name : names)
      if (name.is_string()) all.push_back(name);
  return all;
}

// Of the builder's own tags, whatever image they are on.
bool has_own_tag(const docker::Image& image) {
  return std::ranges::any_of(image.tags, [](const auto& tag) { return tag.starts_with(kOwnRepository); });
}

// The names that Berth gave to what it pulled; remembered over several pulls.
std::set<std::string> names_of(const std::string& facts) {
  const auto json = facts.empty() ? Json::object() : read_json(facts);
  return json.value("names", std::set<std::string>());
}

// Of a build; nothing of one that an older agent made.
std::optional<uid_t> owner_of(const std::string& canonical) {
  const auto json = json_or_null(canonical);
  if (!json.is_object() || !json.contains("owner")) return std::nullopt;
  return json["owner"].get<uid_t>();
}

bool engine_is_away(const Error& error) {
  return error.code() == Code::unavailable || error.code() == Code::timeout || error.code() == Code::denied;
}

std::optional<Json> object_in(const std::string& path) {
  const auto text = os::read_file_if_exists(path);
  auto json = text ? json_or_null(*text) : Json();
  if (!json.is_object()) return std::nullopt;
  return json;
}

}  // namespace

Digest digest_of_image(const std::string& id) { return objects::sha256(Json{{"kind", "image"}, {"id", id}}.dump()); }

std::string environment_tag(const Digest& digest) { return "berth/env:" + digest.hex().substr(0, 32); }

Built built_from_pulled(const docker::Image& image, const docker::Reference& reference, bool own) {
  auto built = built_of(image);
  const auto pinned = pinned_name(image, reference);
  auto facts = facts_of(image, reference.text(), pinned);
  facts["names"] = {reference.text()};
  if (own) facts["private"] = {pinned.empty() ? reference.text() : pinned};
  built.kind = kImageKind;
  built.words = "image " + reference.familiar();
  built.canonical = Json{{"kind", "image"}, {"id", image.id}}.dump();
  built.digest = digest_of_image(image.id);
  built.lock = Json{{"kind", "image"}, {"image", pinned.empty() ? image.id : pinned}}.dump();
  built.facts = facts.dump();
  return built;
}

Built built_from_labels(const docker::Labels& labels, const docker::Image& image) {
  const auto digest = parse_digest(label(labels, kEnvironmentLabel));
  const auto canonical = json_or_null(label(labels, kCanonicalLabel));
  if (!digest || !canonical.is_object())
    throw Error(Code::corrupt, "what is known of the build of " + image.id + " is malformed");
  auto built = built_of(image);
  built.digest = *digest;
  built.kind = label(labels, kKindLabel);
  built.words = label(labels, kWordsLabel);
  built.canonical = canonical.dump();
  built.lock = Json{{"kind", "image"}, {"image", image.id}}.dump();
  built.owner = owner_of(built.canonical);
  auto facts = facts_of(image, environment_tag(*digest), {});
  facts["names"] = {environment_tag(*digest)};
  facts["kind"] = "image";
  if (const auto names = private_names_of_label(labels); !names.empty()) facts["private"] = names;
  built.facts = facts.dump();
  if (built.kind == kImageAndCondaKind) {
    add_result(built, label(labels, kResultLabel), canonical.value("prefix", ""));
    built.lock = Json{{"kind", "image"}, {"image", label(labels, kBaseLabel)}, {"conda", read_json(built.lock)}}.dump();
  }
  return built;
}

ImageRecords::ImageRecords(const ImageSettings& settings, const docker::Engine& engine)
    : settings_(settings), engine_(engine), cache_(settings.directory) {}

std::string ImageRecords::log_directory(const Digest& digest) const { return join(cache_.directory(digest), "build"); }
std::string ImageRecords::log_file(const Digest& digest) const { return join(log_directory(digest), shim::kLogFile); }
std::string ImageRecords::intent_file(const Digest& digest) const {
  return join(cache_.directory(digest), kIntentFile);
}

std::optional<Built> ImageRecords::built_as(const std::string& image) {
  for (const auto& entry : cache_.list())
    if (entry.image == image && entry.kind != kImageKind) return built_from_text(cache_.show(entry.digest));
  return std::nullopt;
}

std::vector<std::string> ImageRecords::private_names(const docker::Image& image) {
  if (const auto built = built_as(image.id)) return private_names_in(built->facts);
  const auto digest = digest_of_image(image.id);
  return is_ours(digest) ? private_names_in(built_from_text(cache_.show(digest)).facts) : std::vector<std::string>();
}

void ImageRecords::require(const docker::Image& image, const ImageUse& use) {
  if (!use.is_restricted()) return;
  const auto built = built_as(image.id);
  if (built && built->owner == use.user) return;
  const bool pulled = is_ours(digest_of_image(image.id));
  const bool nobodys = !built && !has_own_tag(image) && (!image.tags.empty() || !image.digests.empty());
  if (pulled || nobodys) return;
  throw Error(Code::denied,
              "the image " + (image.tags.empty() ? image.id : printable(image.tags.front())) +
                  " was built for another user of this node",
              "build it yourself, of the same files, or have it pushed to a registry that you both may use");
}

std::optional<Leased> ImageRecords::take(const std::string& name, const Read& read) {
  const std::shared_lock looking(presence_);
  const auto image = engine_.find_image(name);
  if (!image) return std::nullopt;
  auto built = read(*image);
  if (!built) return std::nullopt;
  if (const auto names = private_names(*image); !names.empty()) {
    auto facts = read_json(built->facts);
    facts["private"] = names;
    built->facts = facts.dump();
  }
  auto leased = cache_.lease(built->digest);
  return Leased{ready_from(*built), leased ? std::move(leased->lease) : Lease()};
}

std::string ImageRecords::begin(const ImagePlan& plan) {
  const auto directory = log_directory(plan.digest);
  os::make_directories(directory, 0755);
  // Made anew: the old one may go on under the names that runs gave it.
  // And there from the beginning, so that those who wait can give it names of theirs.
  for (const auto* file : {shim::kLogFile, shim::kLogIndexFile}) {
    os::remove_file(join(directory, file));
    os::write_file(join(directory, file), "", 0600, os::Durable::no);
  }
  if (!plan.name.empty()) intend(plan, plan.labels);
  return log_file(plan.digest);
}

void ImageRecords::intend(const ImagePlan& plan, const docker::Labels& labels) {
  const Json intent{{"name", plan.name},
                    {"reference", plan.reference},
                    {"own", plan.own},
                    {"labels", labels},
                    {"scratch", plan.scratch}};
  os::write_file(intent_file(plan.digest), intent.dump(), 0600, os::Durable::yes);
}

Leased ImageRecords::publish(Built built) {
  if (is_ours(built.digest)) {
    auto facts = read_json(built.facts);
    const auto known = built_from_text(cache_.show(built.digest)).facts;
    auto names = names_of(known);
    names.merge(names_of(built.facts));
    facts["names"] = names;
    if (private_names_in(known).empty()) facts.erase("private");  // what was open to all stays so
    built.facts = facts.dump();
  }
  os::make_directories(cache_.directory(built.digest), 0755);
  cache_.publish(built);
  os::remove_file(intent_file(built.digest));
  auto leased = cache_.lease(built.digest);
  if (!leased)
    throw Error(Code::unavailable, "the " + built.words + " was removed as soon as it was there", "ask for it again")
        .for_lack_of(Lack::engine);
  return std::move(*leased);
}

std::string ImageRecords::abandon(const Digest& digest) {
  const auto log = log_file(digest);
  std::string kept = cache_.failed_log(digest);
  std::error_code failure;
  std::filesystem::rename(log, kept, failure);
  if (failure) kept.clear();
  os::remove_file(intent_file(digest));
  if (!is_ours(digest)) cache_.clear(digest);
  return kept;
}

void ImageRecords::move_log(const Digest& from, const Digest& to) {
  if (from == to) return;
  std::error_code failure;
  os::make_directories(log_directory(to), 0755);
  for (const auto* file : {shim::kLogFile, shim::kLogIndexFile})
    std::filesystem::rename(join(log_directory(from), file), join(log_directory(to), file), failure);
  os::remove_file(intent_file(from));
  if (!is_ours(from)) cache_.clear(from);
}

std::optional<Leased> ImageRecords::lease_present(const Digest& digest) {
  const std::shared_lock looking(presence_);
  auto leased = cache_.lease(digest);
  if (leased && !engine_.find_image(leased->ready.image)) leased.reset();
  return leased;
}

void ImageRecords::remove(const Digest& digest) {
  const std::unique_lock alone(presence_);
  const auto built = built_from_text(cache_.show(digest));
  const auto image = engine_.find_image(built.image);
  if (const auto use = image ? engine_.use_of_image(image->id) : std::nullopt)
    throw Error(Code::conflict, "the " + built.words + " is in use: " + *use, "remove that first");
  cache_.remove(digest);
  if (!image) return;
  try {
    remove_image(built, *image);
  } catch (...) {
    os::make_directories(cache_.directory(digest), 0755);
    cache_.publish(built);
    throw;
  }
}

// First the names that are Berth's; when no other is left, those by digest, with the last of which it goes.
void ImageRecords::remove_image(const Built& built, const docker::Image& image) {
  const auto ours = names_of(built.facts);
  for (const auto& tag : image.tags)
    if (ours.contains(docker::parse_reference(tag).text()) || ours.contains(tag)) engine_.remove_image(tag);
  const auto left = engine_.find_image(built.image);
  if (!left || !left->tags.empty()) return;
  for (const auto& name : left->digests) engine_.remove_image(name);
  engine_.remove_image(built.image);
}

void ImageRecords::recover() {
  cache_.sweep();
  for (const auto& digest : cache_.unfinished()) {
    try {
      recover_begun(digest);
    } catch (const Error& error) {
      if (engine_is_away(error)) throw;
      cache_.clear(digest);
    }
  }
  forget_absent();
}

void ImageRecords::forget_absent() {
  for (const auto& entry : cache_.list()) {
    const std::unique_lock alone(presence_);
    if (engine_.find_image(entry.image)) continue;
    try {
      cache_.remove(entry.digest);
    } catch (const Error&) {  // leased: it will be had again
    }
  }
}

void ImageRecords::recover_begun(const Digest& digest) {
  const os::Attempt attempt(join(cache_.directory(digest), kRecoveringFile));
  const auto intent = object_in(intent_file(digest));
  if (!intent || attempt.is_one_too_many()) return cache_.clear(digest);
  drop_name(intent->value("scratch", ""));
  const auto name = intent->value("name", "");
  const auto image = name.empty() ? std::nullopt : engine_.find_image(name);
  if (!image) return cache_.clear(digest);
  const auto labels = intent->value("labels", docker::Labels());
  auto built = labels.empty() ? built_from_pulled(*image, docker::parse_reference(intent->value("reference", "")),
                                                  intent->value("own", false))
                              : built_from_labels(labels, *image);
  const auto now = built.digest;
  publish(std::move(built));
  if (!labels.empty()) drop_name(name);
  move_log(digest, now);
}

// With it goes what nobody has made anything of meanwhile.
void ImageRecords::drop_name(const std::string& name) {
  if (name.empty()) return;
  try {
    engine_.remove_image(name);
  } catch (const Error& error) {
    if (error.code() != Code::conflict) throw;
  }
}

}  // namespace berth::environment
