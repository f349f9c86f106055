#include "runtime/environment/images.hpp"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "runtime/async/attempt.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/units.hpp"
#include "runtime/environment/conda_recipe.hpp"
#include "runtime/environment/image_choice.hpp"
#include "runtime/environment/lock_text.hpp"
#include "runtime/logs/appender.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::environment {

using async::Task;
using Json = nlohmann::json;

namespace {

constexpr std::string_view kFullDisk = "o space left on device";  // as programs in a build and the engine say it

void report(std::exception_ptr failure) {
  Log().error("an image environment is in trouble", kv("error", error_from(std::move(failure)).describe()));
}

Error stopped(const std::string& words) {
  return Error(Code::conflict, "getting the " + words + " was stopped: nobody waits for it any more");
}

// A request's name among those that are being looked for: a job's own credentials make it its own.
std::string request_of(const std::string& kind, const std::string& what, const ImageUse& use) {
  Json credentials = Json::object();
  for (const auto& [registry, own] : use.credentials)
    credentials[registry] = {own.username, own.password, own.identity_token};
  Json request{{kind, what}, {"gpus", use.gpus}, {"credentials", credentials}};
  if (use.user) request["user"] = *use.user;
  return objects::sha256(request.dump()).hex();
}

// What counts of it once the image below is there.
ImageUse only_user(const ImageUse& use) {
  ImageUse only;
  only.user = use.user;
  return only;
}

Json parse_lock(const std::string& text) {
  auto lock = read_lock(text);
  if (!lock.is_object() || lock.value("kind", "") != kImageKind || !lock.contains("image") ||
      !lock["image"].is_string())
    throw Error(Code::invalid, "this is not the lock of an image environment", "use what `berth env lock` printed");
  return lock;
}

}  // namespace

struct Images::Eviction {
  std::vector<Digest> wanted;
  NotEvicted not_evicted;  // those that are not gone yet
  bool over = false;
  async::Event ended;
};

Images::Images(async::Executor executor, ImageSettings settings)
    : settings_(std::move(settings)),
      engine_(settings_.socket, ending_.get_token()),
      records_(settings_, engine_),
      pulls_(settings_, engine_, records_),
      builds_(settings_, engine_, records_, pulls_),
      places_(settings_.at_once),
      makers_(places_.most()),
      nursery_(std::move(executor), report) {}

Task<> Images::recover() {
  Waiting nobody;
  SingleFlight<Recovered>::Work work = [this](SingleFlight<Recovered>::Ptr) -> Task<Recovered> {
    co_await take_over();
    co_return Recovered();
  };
  if (!recovered_) co_await recoveries_.wait("all", std::nullopt, nobody, std::move(work));
}

Task<> Images::take_over() {
  auto work = [&] {
    records_.list();  // so that bytes() knows them
    records_.recover();
    look_around();
  };
  co_await async::offload(lookers_, work);
  recovered_ = true;
}

// Not worth a failure.
void Images::look_around() {
  try {
    auto root = engine_.info().root_directory;
    const std::lock_guard lock(mutex_);
    root_directory_ = std::move(root);
  } catch (const Error& error) {
    log_.debug("where the engine keeps images is not known", kv("error", error.describe()));
  }
}

std::string Images::root_directory() const {
  const std::lock_guard lock(mutex_);
  return root_directory_;
}

Task<> Images::stop() {
  ending_.request_stop();
  looks_.stop();
  makings_.stop();
  co_await nursery_.stop_and_join();
}

// --- those who want an image

Task<Leased> Images::ensure(Spec spec, ImageUse use, Waiting& waiting) {
  co_await recover();
  if (auto* locked = std::get_if<Locked>(&spec))
    co_return co_await ensure_locked(std::move(locked->lock), use, waiting);
  if (auto* image = std::get_if<Image>(&spec)) {
    if (image->conda && use.gpus) check_cuda(cuda_wanted(*image->conda), settings_);
    auto base = co_await ensure_image(image->reference, use, waiting);
    if (!image->conda) co_return base;
    co_return co_await ensure_conda(std::move(*image->conda), base, only_user(use), waiting);
  }
  const auto* build = std::get_if<DockerBuild>(&spec);
  if (build == nullptr) throw Error(Code::internal, "this is no image environment");
  auto request = request_of("dockerfile", build->context + "\n" + build->dockerfile, use);
  Look look = [this, wanted = *build, use](std::stop_token stop) { return builds_.look(wanted, use, std::move(stop)); };
  co_return co_await ensure_found(std::move(request), std::move(look), std::move(use), waiting);
}

Task<Leased> Images::ensure_image(std::string reference, const ImageUse& use, Waiting& waiting) {
  auto request = request_of("image", reference, use);
  Look look = [this, reference, use](std::stop_token stop) { return pulls_.look(reference, use, std::move(stop)); };
  co_return co_await ensure_found(std::move(request), std::move(look), use, waiting);
}

Task<Leased> Images::ensure_conda(Conda conda, const Leased& base, ImageUse use, Waiting& waiting) {
  auto request = request_of("conda", Json{base.ready.image, conda.file, conda.files}.dump(), use);
  Look look = [this, conda, base, use](std::stop_token) { return builds_.look(conda, base, use); };
  co_return co_await ensure_found(std::move(request), std::move(look), std::move(use), waiting);
}

Task<Leased> Images::ensure_locked(std::string text, const ImageUse& use, Waiting& waiting) {
  const auto lock = parse_lock(text);
  auto base = co_await ensure_image(lock["image"].get<std::string>(), use, waiting);
  if (!lock.contains("conda")) co_return base;
  auto user = only_user(use);
  auto request = request_of("conda lock", Json{base.ready.image, lock["conda"]}.dump(), user);
  Look look = [this, inside = lock["conda"].dump(), base, user](std::stop_token) {
    return builds_.look_locked(inside, base, user);
  };
  co_return co_await ensure_found(std::move(request), std::move(look), std::move(user), waiting);
}

Task<Leased> Images::ensure_found(std::string request, Look look, ImageUse use, Waiting& waiting) {
  const auto owner = use.user.value_or(::geteuid());
  SingleFlight<Found>::Work looking = [this, owner, look](SingleFlight<Found>::Ptr flight) {
    return look_in_lane(flight, owner, look);
  };
  auto found = co_await looks_.wait(request, std::nullopt, waiting, looking);
  // Had by itself, what it is built upon is Berth's to give back.
  std::vector<Leased> held;
  if (const auto* missing = std::get_if<ImagePlan>(&found); missing != nullptr && !missing->bases.empty()) {
    use.gpus = false;  // it matters for the whole alone
    for (const auto& base : missing->bases) {
      auto leased = co_await ensure_image(base, use, waiting);
      held.push_back(std::move(leased));
    }
    found = co_await looks_.wait(request, std::nullopt, waiting, looking);
  }
  if (auto* leased = std::get_if<Leased>(&found)) co_return std::move(*leased);
  auto& plan = std::get<ImagePlan>(found);
  Waiting::Build build;
  build.digest = plan.digest;
  build.words = plan.words;
  build.owner = plan.owner;
  build.since = system_clock().now();
  auto name = plan.digest.hex();
  SingleFlight<Leased>::Work making = [this, plan, asker = use.user](Making flight) {
    return make(flight, plan, asker);
  };
  co_return co_await makings_.wait(std::move(name), std::move(build), waiting, std::move(making));
}

// In the user's own: whoever has a registry or a large directory looked at keeps no other user waiting.
Task<Found> Images::look_in_lane(SingleFlight<Found>::Ptr flight, uid_t owner, Look look) {
  auto work = [&](const std::stop_token& stop) { return look(stop); };
  try {
    co_return co_await async::offload(looking_, owner, work, flight->stop);
  } catch (const Cancelled&) {
    throw stopped("image");
  }
}

Task<std::optional<Leased>> Images::lease(Digest digest) {
  auto work = [&] { return records_.lease(digest); };
  co_return co_await async::offload(readers_, work);
}

Task<std::optional<Leased>> Images::lease_present(Digest digest) {
  auto work = [&] { return records_.lease_present(digest); };
  co_return co_await async::offload(lookers_, work);
}

// Whoever runs in a container writes into a layer of its own.
Task<std::optional<bool>> Images::is_as_built(Digest) { co_return std::nullopt; }

Task<std::vector<Entry>> Images::list() {
  auto work = [&] { return records_.list(); };
  co_return co_await async::offload(readers_, work);
}

Task<std::string> Images::show(Digest digest) {
  auto work = [&] { return records_.show(digest); };
  co_return co_await async::offload(readers_, work);
}

Task<> Images::remove(Digest digest) {
  if (makings_.contains(digest.hex()))
    throw Error(Code::conflict, "the environment " + digest.brief() + " is being made",
                "cancel the jobs that wait for it, and that ends");
  auto work = [&] { records_.remove(digest); };
  co_await async::offload(removers_, work);
}

// --- room for others

Task<Images::NotEvicted> Images::evict(std::vector<Digest> digests, std::chrono::milliseconds patience) {
  const auto eviction = std::make_shared<Eviction>();
  const char* why = evicting_ ? "the container engine has not answered an earlier request to remove an image yet"
                              : "the container engine is slow to remove it";
  for (const auto& digest : digests) eviction->not_evicted[digest] = why;
  if (evicting_) co_return eviction->not_evicted;
  eviction->wanted = std::move(digests);
  evicting_ = true;
  nursery_.spawn(carry_out(eviction));
  const auto end = [eviction]() -> Task<> {
    while (!eviction->over) co_await eviction->ended.wait();
  };
  auto waiting = end();
  auto clock = async::sleep_for(patience);
  co_await async::run_until(std::move(waiting), std::move(clock));
  co_return eviction->not_evicted;
}

Task<> Images::carry_out(std::shared_ptr<Eviction> eviction) {
  for (const auto& digest : eviction->wanted) {
    const auto removed = co_await async::attempt(remove(digest));
    if (removed || removed.error().code() == Code::not_found)
      eviction->not_evicted.erase(digest);
    else
      eviction->not_evicted[digest] = removed.error().message();
    if (!removed && removed.error().code() == Code::unavailable) break;
  }
  evicting_ = false;
  eviction->over = true;
  eviction->ended.notify_all();
}

// --- a pull or a build

Task<Leased> Images::make(Making flight, ImagePlan plan, Turns::User asker) {
  const auto place = co_await places_.wait(flight, asker);
  if (!place) throw stopped(plan.words);
  auto begin = [&] { return records_.begin(plan); };
  const auto log = co_await async::offload(makers_, begin);
  flight->build->running = true;
  flight->build->since = system_clock().now();
  flight->build->log = log;
  flight->tell();
  log_.info("image begun", kv("environment", plan.digest.brief()), kv("what", plan.words));
  auto made = co_await async::attempt(make_on_a_thread(flight, plan, log));
  flight->build->running = false;
  if (!made) {
    co_await abandon(flight, plan.digest);
    log_.info("image failed", kv("environment", plan.digest.brief()), kv("code", berth::name(made.error().code())));
    throw with_place(made.error());
  }
  log_.info("image ready", kv("environment", made->ready.digest.brief()), kv("what", plan.words));
  auto settle = [&] {
    records_.move_log(plan.digest, made->ready.digest);
    look_around();
  };
  co_await async::offload(makers_, settle);
  flight->build->log = records_.log_file(made->ready.digest);
  co_return std::move(*made);
}

// A full disk is the engine's, which nobody would look for otherwise.
Error Images::with_place(Error error) const {
  const auto root = root_directory();
  const bool full = error.code() == Code::no_space || error.message().find(kFullDisk) != std::string::npos;
  if (!full || root.empty()) return error;
  std::string free;
  try {
    free = ", " + to_text(ByteSize(os::space_of(root).free)) + " of which are free";
  } catch (const Error&) {  // it is not on this machine
  }
  return {Code::no_space, error.message() + "; the container engine keeps images in " + root + free,
          "free space there: `berth gc` gives back what Berth can, `docker system df` tells what else there is"};
}

Task<Leased> Images::make_on_a_thread(Making flight, const ImagePlan& plan, const std::string& log) {
  std::optional<Leased> made;
  bool late = false;
  const auto work = [&] {
    logs::Appender output(log, os::join(os::parent_of(log), shim::kLogIndexFile), settings_.log_cap);
    const auto sink = [&](std::string_view line) { output.append(std::string(line) + "\n"); };
    try {
      made = plan.make(sink, flight->stop.get_token());
    } catch (const Cancelled&) {
      sink("stopped");
      throw stopped(plan.words);
    } catch (const std::exception&) {
      sink(error_from(std::current_exception()).describe());
      throw;
    }
  };
  const auto limit = [&]() -> Task<> {
    co_await async::sleep_for(settings_.time_limit);
    late = true;
    flight->stop.request_stop();
  };
  auto making = makers_.run(work);
  auto clock = limit();
  const auto outcome = co_await async::attempt(async::run_until(std::move(making), std::move(clock)));
  if (late && !made)
    throw Error(Code::timeout, "getting the " + plan.words + " took longer than " + to_words(settings_.time_limit),
                "what it said is in its log; the limit is in the agent's configuration");
  if (!outcome) throw outcome.error();
  co_return std::move(*made);
}

Task<> Images::abandon(Making flight, Digest digest) {
  auto work = [&] { return records_.abandon(digest); };
  auto kept = co_await async::attempt(async::offload(makers_, work));
  if (kept)
    flight->build->log = *kept;
  else
    log_.warn("what is left of an image cannot be removed", kv("environment", digest.brief()),
              kv("error", kept.error().describe()));
}

}  // namespace berth::environment
