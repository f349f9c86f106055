#include "agent/jobs/environments.hpp"

#include "runtime/async/attempt.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/log.hpp"

namespace berth::jobs {

using async::Task;
using environment::Ready;
using Kind = model::EnvironmentRequest::Kind;

namespace {

constexpr int kRetireTries = 50;
constexpr std::chrono::milliseconds kRetirePause{100};

void report(std::exception_ptr failure) {
  Log().warn("what a Dockerfile was built in cannot be removed",
             kv("error", error_from(std::move(failure)).describe()));
}

}  // namespace

environment::Spec spec_of(const model::EnvironmentRequest& request,
                          const std::shared_ptr<const drivers::BuildDirectory>& context) {
  switch (request.kind) {
    case Kind::none:
      return environment::None{};
    case Kind::user_managed:
      return environment::UserManaged{request.python};
    case Kind::image: {
      environment::Image image{request.image, std::nullopt};
      if (!request.file.empty()) image.conda = environment::Conda{request.file, request.files};
      return image;
    }
    case Kind::dockerfile:
      return environment::DockerBuild{context->path(), request.dockerfile, context};
    case Kind::lock:
      return environment::Locked{request.files.at(request.file)};
    default:
      return environment::FromFiles{std::string(name(request.kind)), request.python, request.file, request.files};
  }
}

// One wait, on record for as long as it lasts.
class JobEnvironments::Wait {
 public:
  Wait(JobEnvironments& all, const model::Job& job)
      : all_(all), job_(job.sequence), waiting_(std::make_shared<environment::Waiting>(job.uid)) {
    all_.waits_[job_] = waiting_;
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  ~Wait() {
    const auto found = all_.waits_.find(job_);
    if (found != all_.waits_.end() && found->second == waiting_) all_.waits_.erase(found);  // or a later one's
  }
  environment::Waiting& waiting() { return *waiting_; }

 private:
  JobEnvironments& all_;
  model::Sequence job_;
  WaitingPtr waiting_;
};

JobEnvironments::JobEnvironments(async::Executor executor, environment::Environments& environments,
                                 drivers::JobDirectories& directories, Room room, Options options)
    : environments_(environments),
      directories_(directories),
      room_(std::move(room)),
      options_(std::move(options)),
      removals_(std::make_shared<async::Nursery>(std::move(executor), report)) {}

Task<> JobEnvironments::stop() {
  const auto removals = std::exchange(removals_, nullptr);
  co_await removals->stop_and_join();
}

environment::Context JobEnvironments::context_of(const model::Job& job, const os::Identity& identity) const {
  environment::Context context;
  if (options_.switch_user) context.identity = identity;
  context.path = options_.path;
  context.ground = {options_.cgroup_base, drivers::errand_limits(job.request)};
  context.gpus = job.request.resources.gpus > 0;
  return context;
}

Task<Ready> JobEnvironments::ensure(model::Job job, os::Identity identity, model::AllRegistryCredentials credentials) {
  environment::Leased leased;
  if (job.request.environment.kind == Kind::none) {
    leased.ready.record = R"({"kind":"none"})";
    co_return std::move(leased.ready);
  }
  Wait wait(*this, job);
  auto whose = context_of(job, identity);
  for (auto& one : credentials)
    whose.credentials[one.registry] = {std::move(one.username), std::move(one.password), std::move(one.identity_token)};
  auto making = make(job, std::move(whose), wait.waiting(), leased);
  auto keeping = keep_log(job.id, wait.waiting());
  std::exception_ptr failure;
  try {
    co_await async::run_until(std::move(making), std::move(keeping));
  } catch (...) {
    failure = std::current_exception();
  }
  if (const auto& build = wait.waiting().build()) link_log(job.id, build->log);
  if (failure && wait.waiting().abandoned()) throw Error(Code::conflict, "the job needs no environment any more");
  if (failure) std::rethrow_exception(failure);
  if (!leased.ready.build_log.empty()) link_log(job.id, leased.ready.build_log);
  if (leased.lease) leases_[job.sequence] = {leased.lease, leased.ready.digest, false};
  co_return std::move(leased.ready);
}

Task<> JobEnvironments::make(const model::Job& job, environment::Context whose, environment::Waiting& waiting,
                             environment::Leased& leased) {
  std::shared_ptr<const drivers::BuildDirectory> context;
  if (const auto& sent = job.request.environment.context) context = co_await build_directory(*sent, job.uid, waiting);
  auto spec = spec_of(job.request.environment, context);
  leased = co_await environments_.ensure(std::move(spec), std::move(whose), waiting);
}

Task<std::shared_ptr<const drivers::BuildDirectory>> JobEnvironments::build_directory(Digest snapshot, uid_t owner,
                                                                                      environment::Waiting& waiting) {
  std::unique_ptr<const drivers::BuildDirectory> made;
  auto bring = [&]() -> Task<> {
    auto measure = [&](const std::stop_token&) { return directories_.bytes_of(snapshot); };
    const auto bytes = co_await async::offload(contexts_, owner, measure);
    auto room = co_await room_(owner, bytes);
    auto restore = [&](const std::stop_token& stop) {
      made = directories_.make_context(snapshot, std::move(room), stop);
    };
    co_await async::offload(contexts_, owner, restore);
  };
  auto restoring = bring();
  auto unwanted = waiting.until_abandoned();
  co_await async::run_until(std::move(restoring), std::move(unwanted));
  if (!made) throw Cancelled();
  const auto let_go = [this, owner, alive = std::weak_ptr(removals_)](const drivers::BuildDirectory* directory) {
    std::unique_ptr<const drivers::BuildDirectory> last(directory);
    if (const auto removals = alive.lock()) removals->spawn(remove(std::move(last), owner));
  };
  co_return std::shared_ptr<const drivers::BuildDirectory>(made.release(), let_go);
}

Task<> JobEnvironments::remove(std::unique_ptr<const drivers::BuildDirectory> directory, uid_t owner) {
  auto work = [&](const std::stop_token&) { directory.reset(); };
  co_await async::offload(contexts_, owner, work);
}

// The log of a build is where the build is; a failed one's goes with it. So the job takes a name of its own for it.
Task<> JobEnvironments::keep_log(model::JobId job, environment::Waiting& waiting) {
  std::string kept;
  for (;;) {
    if (const auto& build = waiting.build(); build && build->log != kept) {
      kept = build->log;
      link_log(job, kept);
    }
    co_await waiting.changed().wait();
  }
}

void JobEnvironments::link_log(const model::JobId& job, const std::string& log) const {
  if (!log.empty()) directories_.adopt_build_log(job, log);
}

Task<Ready> JobEnvironments::for_launch(model::Job job, os::Identity identity,
                                        model::AllRegistryCredentials credentials) {
  std::optional<environment::Leased> leased;
  if (job.environment) leased = co_await environments_.lease_present(*job.environment);
  if (leased && guards(leased->ready)) {
    const auto as_built = co_await environments_.is_as_built(*job.environment);
    if (as_built == false) {
      leased.reset();
      co_await retire(*job.environment);
    }
  }
  const auto sequence = job.sequence;
  if (leased) {
    leases_[sequence] = {leased->lease, leased->ready.digest, true};
    co_return std::move(leased->ready);
  }
  auto made = co_await ensure(std::move(job), std::move(identity), std::move(credentials));
  if (guards(made)) co_await environments_.is_as_built(made.digest);
  if (const auto held = leases_.find(sequence); held != leases_.end()) held->second.launched = true;
  co_return std::move(made);
}

// A job has changed it, so no further one gets it. Those that are prepared with it get it made again.
Task<> JobEnvironments::retire(Digest environment) {
  std::erase_if(leases_,
                [&](const auto& held) { return !held.second.launched && held.second.environment == environment; });
  std::optional<Error> failure;
  for (int tries = 0; tries < kRetireTries; ++tries) {
    const auto removed = co_await async::attempt(environments_.remove(environment));
    if (removed || removed.error().code() == Code::not_found) co_return;
    failure = removed.error();
    co_await async::sleep_for(kRetirePause);  // another one that is about to start may be looking at it just now
  }
  throw Error(Code::unavailable,
              "a job has changed the environment " + environment.brief() +
                  ", which cannot be made again: " + failure->describe(),
              "ask for it again when the jobs that run in it have ended");
}

Task<std::optional<bool>> JobEnvironments::was_changed(const model::Job& job) {
  if (!options_.guard || !job.environment) co_return std::nullopt;
  const auto looked = co_await async::attempt(environments_.is_as_built(*job.environment));
  if (!looked || !*looked) co_return std::nullopt;
  co_return !**looked;
}

Task<> JobEnvironments::hold_again(model::Sequence job, Digest environment, bool launched) {
  const auto leased = co_await environments_.lease(environment);
  if (leased) leases_[job] = {leased->lease, environment, launched};
}

environment::Lease JobEnvironments::lease_of(model::Sequence job) const {
  const auto found = leases_.find(job);
  return found == leases_.end() ? environment::Lease() : found->second.lease;
}

void JobEnvironments::abandon(model::Sequence job) {
  if (const auto found = waits_.find(job); found != waits_.end()) found->second->abandon();
}

std::optional<std::string> JobEnvironments::words(model::Sequence job, Instant now) const {
  const auto found = waits_.find(job);
  if (found == waits_.end()) return std::nullopt;
  auto words = found->second->description(now);
  if (words.empty()) return std::nullopt;
  return words;
}

}  // namespace berth::jobs
