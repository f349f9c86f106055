#include "runtime/environment/image_builds.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/context.hpp"
#include "runtime/environment/build_failure.hpp"
#include "runtime/environment/dockerfile.hpp"
#include "runtime/environment/image_choice.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/random.hpp"

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
Error with_summary(const Error& error, const std::string& words, const std::string& printed) {
  if (error.code() != Code::invalid || error.message().find("returned a non-zero code") == std::string::npos)
    return error;
  shim::Ended ended;
  os::Exit exit;
  exit.status = 1;
  ended.outcome = exit;
  const auto failure = build_failure(words, ended, printed, false);
  return Error(failure.code(), failure.message() + " (" + error.message() + ")", failure.hint())
      .for_lack_of(failure.lack());
}

// By which an agent that comes later knows what was built as what it had begun.
std::string random_tag() { return "berth/env:" + os::random_hex(16); }

Json with_owner(Json canonical, const ImageUse& use) {
  if (use.user) canonical["owner"] = *use.user;
  return canonical;
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
  plan.name = random_tag();
  if (identity.canonical.contains("owner")) plan.owner = identity.canonical["owner"].get<uid_t>();
  plan.labels = labels_of(identity, plan);
  return plan;
}

docker::BuildOptions ImageBuilds::options() const {
  docker::BuildOptions options;
  options.network = settings_.build_network;
  if (settings_.build_cpu_milli > 0) options.cpu_milli = settings_.build_cpu_milli;
  if (settings_.build_memory > 0) options.memory = ByteSize(settings_.build_memory);
  return options;
}

Leased ImageBuilds::finish(const std::string& id, const ImagePlan& plan, const docker::Labels& labels) const {
  auto leased = records_.publish(built_from_labels(labels, engine_.image(id)));
  records_.drop_name(plan.name);
  return leased;
}

// --- Dockerfiles

Found ImageBuilds::look(const DockerBuild& build, const ImageUse& use, std::stop_token stop) const {
  const auto context = docker::BuildContext::of_directory(build.context, build.dockerfile);
  const auto text = os::read_file(os::join(build.context, build.dockerfile), 1U << 20);
  const auto images = images_of_dockerfile(text);
  auto with = options();
  with.credentials = use.credentials;
  // What it is built upon is found by the engine's own reading: whoever must not have all that is here has it look
  // nowhere but at registries, with his credentials. What is read here is for words, digests and early refusals alone.
  with.pull = use.is_restricted() || settings_.pull == PullPolicy::always;
  if (use.is_restricted() && settings_.pull == PullPolicy::never)
    throw Error(
        Code::denied,
        "this node pulls no images, so it builds none of users' Dockerfiles, which could be built upon others' images",
        "have root build it, or the configuration changed: image_pull");
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
                          with_owner({{"kind", "dockerfile"},
                                      {"form", kForm},
                                      {"platform", docker::this_platform().architecture},
                                      {"context", context.digest().hex()},
                                      {"dockerfile", objects::sha256(text).hex()},
                                      {"bases", bases}},
                                     use),
                          {},
                          private_names};
  auto plan = plan_of(identity,
                      "image of a Dockerfile" + (images.base.empty() ? "" : " (FROM " + printable(images.base) + ")"));
  if (auto found = records_.lease_present(plan.digest)) return std::move(*found);
  plan.bases = std::move(absent);
  with.dockerfile = build.dockerfile;
  with.labels = plan.labels;
  with.tags = {plan.reference, plan.name};
  with.on_base = [this, use, private_names](const std::string& reference, bool fetched) {
    pulls_.check_base(reference, fetched, use, private_names);
  };
  plan.make = [this, build, with, words = plan.words, known = plan](const docker::LineSink& log, std::stop_token ask) {
    Tail tail(log);
    const auto sink = [&](std::string_view line) { tail.take(line); };
    try {
      auto files = docker::BuildContext::of_directory(build.context, build.dockerfile);
      return finish(engine_.build(std::move(files), with, sink, std::move(ask)), known, known.labels);
    } catch (const Error& error) {
      throw with_summary(error, words, tail.text());
    }
  };
  return plan;
}

// --- conda environments within images

std::string ImageBuilds::micromamba() const {
  if (settings_.micromamba.empty()) return {};
  auto program = os::read_file(settings_.micromamba, kLargestProgram);
  if (!is_static_program(program))
    throw Error(Code::invalid,
                printable(settings_.micromamba) + " is no static program, so it cannot be lent to images",
                "name a static micromamba in the agent's configuration");
  return program;
}

Found ImageBuilds::look(const Conda& conda, const Leased& base, const ImageUse& use) const {
  const auto cuda = read_json(base.ready.record).value("cuda", "");
  return look_conda(image_conda(conda, base.ready.image, cuda, micromamba(), settings_.conda), base, use);
}

Found ImageBuilds::look_locked(const std::string& conda_lock, const Leased& base, const ImageUse& use) const {
  const auto cuda = read_json(base.ready.record).value("cuda", "");
  return look_conda(image_conda_of_lock(conda_lock, base.ready.image, cuda, micromamba(), settings_.conda), base, use);
}

Found ImageBuilds::look_conda(const ImageConda& inside, const Leased& base, const ImageUse& use) const {
  const auto record = read_json(base.ready.record);
  const Identity identity{kImageAndCondaKind,
                          with_owner({{"kind", kImageAndCondaKind},
                                      {"form", kForm},
                                      {"image", base.ready.image},
                                      {"prefix", kImagePrefix},
                                      {"conda", read_json(inside.canonical)}},
                                     use),
                          read_json(base.ready.lock).value("image", ""),
                          record.value("private", std::vector<std::string>())};
  auto plan = plan_of(identity, inside.words + " on the " + record.value("words", "image"));
  if (auto found = records_.lease_present(plan.digest)) return std::move(*found);
  plan.scratch = random_tag();
  plan.make = [this, inside, base, known = plan](const docker::LineSink& log, std::stop_token stop) {
    return make_conda(inside, base.ready.image, known, log, std::move(stop));
  };
  return plan;
}

// First the environment; then the image that is kept, whose labels tell what came of it.
Leased ImageBuilds::make_conda(const ImageConda& inside, const std::string& base, const ImagePlan& plan,
                               const docker::LineSink& log, std::stop_token stop) const {
  Tail tail(log);
  const docker::LineSink lines = [&](std::string_view line) { tail.take(line); };
  ImageCondaOutput output(lines);
  const docker::LineSink sink = [&](std::string_view line) { output.take(line); };
  auto first = options();
  first.arguments[kBuildArgument] = os::random_hex(8);
  first.labels = {{kStateLabel, settings_.state}};
  first.tags = {plan.scratch};
  std::string made;
  try {
    made = engine_.build(docker::BuildContext::of_files(inside.files), first, sink, stop);
  } catch (const Error& error) {
    throw with_summary(error, plan.words, tail.text());
  }
  auto last = options();
  last.labels = plan.labels;
  last.labels[kResultLabel] = output.result();
  last.tags = {plan.reference, plan.name};
  records_.intend(plan, last.labels);
  const auto dockerfile = final_dockerfile(base, made, inside.secret);
  log("keeping the image");
  const auto nobody = [](std::string_view) {};  // it would print all labels
  const auto id = engine_.build(docker::BuildContext::of_files({{"Dockerfile", dockerfile}}), last, nobody, stop);
  records_.drop_name(plan.scratch);
  return finish(id, plan, last.labels);
}

}  // namespace berth::environment
