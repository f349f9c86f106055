#include "runtime/environment/image_builds.hpp"

#include <nlohmann/json.hpp>
#include <random>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/context.hpp"
#include "runtime/environment/dockerfile.hpp"
#include "runtime/environment/image_choice.hpp"
#include "runtime/environment/last_words.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {
namespace {

using Json = nlohmann::json;

// Counts in every digest: to be raised when the same comes to be built otherwise.
constexpr int kForm = 1;
constexpr std::size_t kTail = 16U << 10;
constexpr std::uint64_t kLargestProgram = 256U << 20;

// What the engine says between the words of the steps, whose colours may stand before it.
bool is_of_engine(std::string_view line) {
  return line.find("Removing intermediate container ") != std::string_view::npos ||
         line.find(" ---> ") != std::string_view::npos;
}

// The end of what a build prints, for the error that tells why it failed.
class Tail {
 public:
  explicit Tail(const docker::LineSink& log) : log_(log) {}
  void take(std::string_view line) {
    log_(line);
    if (is_of_engine(line)) return;
    (text_ += line) += '\n';
    if (text_.size() > 2 * kTail) text_.erase(0, text_.size() - kTail);
  }
  const std::string& text() const { return text_; }

 private:
  const docker::LineSink& log_;
  std::string text_;
};

// The step's own last words say why; the engine says only which step it was.
Error with_last_words(const Error& error, const std::string& words, const std::string& printed) {
  if (error.code() != Code::invalid || error.message().find("returned a non-zero code") == std::string::npos)
    return error;
  shim::Ended ended;
  os::Exit exit;
  exit.status = 1;
  ended.outcome = exit;
  const auto failure = build_failure(words, ended, printed, false);
  return {failure.code(), failure.message() + " (" + error.message() + ")", failure.hint()};
}

std::string random_text() {
  std::random_device source;
  return std::to_string(source()) + std::to_string(source());
}

}  // namespace

// What a build is known by.
struct ImageBuilds::Identity {
  std::string kind;
  Json canonical;
  std::string base;  // of a conda environment: the image below it, as a lock names it
  std::vector<std::string> private_names{};  // of the images below it
};

ImageBuilds::ImageBuilds(const ImageSettings& settings, const docker::Engine& engine, ImageRecords& records,
                         const ImagePulls& pulls)
    : settings_(settings), engine_(engine), records_(records), pulls_(pulls) {}

docker::Labels ImageBuilds::labels_of(const Identity& identity, const ImagePlan& plan) const {
  docker::Labels labels{{kEnvironmentLabel, plan.digest.hex()},
                        {kStateLabel, settings_.state},
                        {kKindLabel, identity.kind},
                        {kWordsLabel, plan.words},
                        {kCanonicalLabel, identity.canonical.dump()}};
  if (!identity.base.empty()) labels[kBaseLabel] = identity.base;
  if (!identity.private_names.empty()) labels[kPrivateLabel] = Json(identity.private_names).dump();
  return labels;
}

ImagePlan ImageBuilds::plan_of(const Identity& identity, std::string words) const {
  ImagePlan plan;
  plan.digest = objects::sha256(identity.canonical.dump());
  plan.words = std::move(words);
  plan.reference = environment_tag(plan.digest);
  return plan;
}

std::optional<Leased> ImageBuilds::here(const ImagePlan& plan) const {
  const auto read = [&](const docker::Image& image) {
    auto built = built_from_labels(image);
    return built && built->digest == plan.digest ? built : std::nullopt;
  };
  return records_.take(plan.reference, read);
}

docker::BuildOptions ImageBuilds::options() const {
  docker::BuildOptions options;
  options.network = settings_.build_network;
  if (settings_.build_memory > 0) options.memory = ByteSize(settings_.build_memory);
  options.cpu_milli = settings_.build_cpu_milli;
  return options;
}

Leased ImageBuilds::finish(const std::string& id) const {
  auto built = built_from_labels(engine_.image(id));
  if (!built) throw Error(Code::io, "the engine built " + id + " without the labels it was given");
  return records_.publish(std::move(*built));
}

// --- Dockerfiles

Found ImageBuilds::look(const DockerBuild& build, const ImageUse& use, std::stop_token stop) const {
  const auto context = docker::BuildContext::of_directory(build.context, build.dockerfile);
  const auto text = os::read_file(os::join(build.context, build.dockerfile), 1U << 20);
  const auto images = images_of_dockerfile(text);
  auto with = options();
  auto bases = Json::object();
  std::vector<std::string> private_names;
  std::vector<std::string> absent;
  for (const auto& name : images.all) {
    const auto base = pulls_.base(name, use, stop);
    private_names.insert(private_names.end(), base.private_names.begin(), base.private_names.end());
    if (!base.here) absent.push_back(docker::parse_reference(name).text());
    if (use.gpus && name == images.base) check_cuda(name, base.environment, settings_);
    bases[name] = base.id;
    const auto registry = docker::parse_reference(name).registry;
    with.credentials[registry] = pulls_.credentials(registry, use);
  }
  const Identity identity{"dockerfile",
                          {{"kind", "dockerfile"},
                           {"form", kForm},
                           {"platform", docker::this_platform().architecture},
                           {"context", context.digest().hex()},
                           {"dockerfile", objects::sha256(text).hex()},
                           {"bases", bases}},
                          {},
                          private_names};
  auto plan = plan_of(identity,
                      "image of a Dockerfile" + (images.base.empty() ? "" : " (FROM " + printable(images.base) + ")"));
  if (auto found = here(plan)) return std::move(*found);
  plan.bases = std::move(absent);
  with.dockerfile = build.dockerfile;
  with.pull = settings_.pull == PullPolicy::always;
  with.labels = labels_of(identity, plan);
  with.tags = {plan.reference};
  plan.make = [this, build, with, words = plan.words](const docker::LineSink& log, std::stop_token ask) {
    Tail tail(log);
    const auto sink = [&](std::string_view line) { tail.take(line); };
    try {
      auto files = docker::BuildContext::of_directory(build.context, build.dockerfile);
      return finish(engine_.build(std::move(files), with, sink, std::move(ask)));
    } catch (const Error& error) {
      throw with_last_words(error, words, tail.text());
    }
  };
  return plan;
}

// --- conda environments within images

std::string ImageBuilds::micromamba() const {
  if (settings_.micromamba.empty()) return {};
  auto program = os::read_file(settings_.micromamba, kLargestProgram);
  if (!is_static_program(program))
    throw Error(Code::invalid, printable(settings_.micromamba) + " is no static program, so it cannot be lent to images",
                "name a static micromamba in the agent's configuration");
  return program;
}

Found ImageBuilds::look(const Conda& conda, const Leased& base) const {
  const auto cuda = Json::parse(base.ready.record).value("cuda", "");
  return look_conda(image_conda(conda, base.ready.image, cuda, micromamba(), settings_.conda), base);
}

Found ImageBuilds::look_locked(const std::string& conda_lock, const Leased& base) const {
  const auto cuda = Json::parse(base.ready.record).value("cuda", "");
  return look_conda(image_conda_of_lock(conda_lock, base.ready.image, cuda, micromamba(), settings_.conda), base);
}

Found ImageBuilds::look_conda(const ImageConda& inside, const Leased& base) const {
  const auto record = Json::parse(base.ready.record);
  const Identity identity{kCondaKind,
                          {{"kind", kCondaKind},
                           {"form", kForm},
                           {"image", base.ready.image},
                           {"prefix", kImagePrefix},
                           {"conda", Json::parse(inside.canonical)}},
                          Json::parse(base.ready.lock).value("image", ""),
                          record.value("private", std::vector<std::string>())};
  auto plan = plan_of(identity, inside.words + " on the " + record.value("words", "image"));
  if (auto found = here(plan)) return std::move(*found);
  plan.make = [this, inside, base, words = plan.words, labels = labels_of(identity, plan), digest = plan.digest](
                  const docker::LineSink& log, std::stop_token stop) {
    return make_conda(inside, base.ready.image, words, labels, digest, log, std::move(stop));
  };
  return plan;
}

// First the environment; then the image that is kept, whose labels tell what came of it.
Leased ImageBuilds::make_conda(const ImageConda& inside, const std::string& base, const std::string& words,
                               docker::Labels labels, const Digest& digest, const docker::LineSink& log,
                               std::stop_token stop) const {
  Tail tail(log);
  const docker::LineSink lines = [&](std::string_view line) { tail.take(line); };
  ImageCondaOutput output(lines);
  const docker::LineSink sink = [&](std::string_view line) { output.take(line); };
  auto first = options();
  first.arguments[kBuildArgument] = random_text();
  first.labels = {{kStateLabel, settings_.state}};
  std::string made;
  try {
    made = engine_.build(docker::BuildContext::of_files(inside.files), first, sink, stop);
  } catch (const Error& error) {
    throw with_last_words(error, words, tail.text());
  }
  auto last = options();
  labels[kResultLabel] = output.result();
  last.labels = std::move(labels);
  last.tags = {environment_tag(digest)};
  const auto dockerfile = final_dockerfile(base, made, inside.secret);
  log("keeping the image");
  const auto nobody = [](std::string_view) {};  // it would print all labels
  const auto id = engine_.build(docker::BuildContext::of_files({{"Dockerfile", dockerfile}}), last, nobody, stop);
  if (inside.secret) engine_.remove_image(made);
  return finish(id);
}

}  // namespace berth::environment
