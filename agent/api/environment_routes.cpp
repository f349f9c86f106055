#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/api/log_stream.hpp"
#include "agent/api/masked_log.hpp"
#include "agent/api/services.hpp"
#include "agent/disk/manager.hpp"
#include "agent/jobs/environments.hpp"
#include "agent/wire/environment.hpp"
#include "agent/wire/json_text.hpp"
#include "agent/wire/secrets.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"
#include "runtime/http/error_json.hpp"
#include "runtime/logs/reader.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/identity.hpp"

namespace berth::api {
namespace {

using environment::Entry;
using http::Request;
using http::Response;
using model::Principal;
using nlohmann::json;

constexpr std::size_t kLeastDigits = 4;  // of a digest's beginning
constexpr ByteSize kLargestRequest = 8_MiB;
constexpr std::size_t kMostValues = 50'000;  // of its JSON
constexpr std::size_t kParsedOnLoop = 64U << 10;  // larger bodies are parsed on the pool
constexpr auto kLookAgain = std::chrono::milliseconds(100);

// An environment may be shared: to who sees not all of the node it is used as far as his own jobs use it.
async::Task<std::vector<Entry>> as_used_by(Services& services, const Principal who, std::vector<Entry> entries) {
  if (services.access.may_read_all(who)) co_return entries;
  const auto uses = co_await services.store.environments_of(services.access.submitter(who));
  for (auto& entry : entries) {
    if (entry.owner) continue;
    const auto use = uses.find(entry.digest);
    entry.leased = entry.leased && use != uses.end() && use->second.in_use;
    entry.last_used = use != uses.end() ? use->second.last : entry.created;
  }
  co_return entries;
}

wire::Environment told(const Entry& entry) {
  wire::Environment out;
  out.digest = entry.digest;
  out.kind = entry.kind;
  out.words = entry.words;
  out.python_version = entry.python_version;
  out.bytes = ByteSize(entry.bytes);
  out.created = entry.created;
  out.last_used = entry.last_used;
  out.in_use = entry.leased;
  out.is_private = entry.owner.has_value();
  return out;
}

// An environment tells what somebody works with: it is shown to those whose jobs were given it, or who asked for it.
bool is_shown(const Services& services, const Principal& who, const Digest& environment,
              const std::optional<uid_t>& owner) {
  return services.access.may_see(who, owner) &&
         (services.access.may_read_all(who) ||
          services.store.had_environment(environment, services.access.submitter(who)));
}

// By the beginning of its digest, of those that somebody may see.
async::Task<Entry> resolve(Services& services, const Principal who, const std::string wanted) {
  auto all = co_await services.environments.list();
  const auto entries = co_await as_used_by(services, who, std::move(all));
  std::vector<Entry> found;
  for (const auto& entry : entries)
    if (entry.digest.hex().starts_with(wanted) && is_shown(services, who, entry.digest, entry.owner))
      found.push_back(entry);
  if (wanted.size() < kLeastDigits || found.empty())
    throw Error(Code::not_found, "there is no environment '" + printable(wanted) + "'",
                "`berth env ls` lists those there are; at least four digits name one");
  if (found.size() > 1)
    throw Error(Code::conflict,
                "'" + printable(wanted) + "' is ambiguous: " + std::to_string(found.size()) + " environments",
                "write more of it");
  co_return std::move(found.front());
}

async::Task<Response> list(Services& services, const Principal& who, Request& /*request*/) {
  const auto uid = services.access.submitter(who);
  const bool all = services.access.may_read_all(who);
  wire::EnvironmentList answer;
  auto listed = co_await services.environments.list();
  const auto entries = co_await as_used_by(services, who, std::move(listed));
  for (const auto& entry : entries)
    if (is_shown(services, who, entry.digest, entry.owner)) answer.environments.push_back(told(entry));
  for (const auto& build : services.environments.building())
    if (services.access.may_see(who, build.owner) && (all || build.wanted_by.contains(uid)))
      answer.building.push_back({build.digest, build.words, build.running, build.since});
  co_return Response::json(text_of(answer));
}

async::Task<Response> show(Services& services, const Principal& who, Request& request) {
  const auto entry = co_await resolve(services, who, request.parameter("digest"));
  wire::EnvironmentPage page;
  page.environment = told(entry);
  page.record = co_await services.environments.show(entry.digest);
  const auto record = json_or_null(page.record);
  const auto lock = record.is_object() ? record.find("lock") : record.end();
  if (lock != record.end() && !lock->is_null()) page.lock = lock->dump();
  const auto viewer = services.access.viewer(who);
  const auto jobs = co_await services.store.jobs_in(entry.digest, viewer);
  for (const auto job : jobs)
    if (auto id = services.store.id_of(job)) page.jobs.push_back(std::move(*id));
  co_return Response::json(text_of(page));
}

async::Task<Response> read_log(Services& services, const Principal& who, Request& request) {
  const auto entry = co_await resolve(services, who, request.parameter("digest"));
  if (!os::exists(entry.log)) co_return Response::text("");
  const auto index = entry.log + ".index";
  LogWriter writer = [log = entry.log, index](LogSink& out) { return send_log(out, log, index, 0, 0); };
  const auto share = co_await services.shares.take(who.limit_key());
  auto mask = co_await services.jobs.mask_of(entry.digest, who);
  if (!mask->empty())
    writer =
        masked(std::move(writer), std::move(mask), "", MaskingLane{services.jobs.masks().lanes(), who.limit_key()});
  co_return log_response(LogForm::text, std::move(writer));
}

async::Task<Response> remove(Services& services, const Principal& who, Request& request) {
  services.access.require_node(who);
  const auto entry = co_await resolve(services, who, request.parameter("digest"));
  co_await services.environments.remove(entry.digest);
  co_return Response::empty();
}

async::Task<> send_line(http::Stream& out, std::string line) {
  line += '\n';
  co_await out.write(line);
}

// What making an environment came to, once it did.
struct Making {
  explicit Making(uid_t uid) : waiting(uid) {}

  environment::Waiting waiting;
  std::optional<Result<environment::Leased>> outcome;
  bool over = false;  // with an outcome, or stopped
  async::Event ended;
};

// What the build prints, as it comes, to its end. Only waiting is interrupted, never a write.
async::Task<> send_output(http::Stream& out, Making& making, const logs::Mask& mask, MaskingLane lane) {
  logs::Masking masking(mask);
  std::string from;
  std::uint64_t offset = 0;
  const auto buffer = std::make_unique<std::array<char, 65536>>();
  for (;;) {
    const bool last = making.over;
    if (const auto& build = making.waiting.build(); build && build->log != from) {
      from = build->log;
      offset = 0;
    }
    if (!from.empty() && os::exists(from)) {
      logs::LogReader reader(from, from + ".index");
      for (auto piece = reader.read(offset, *buffer); piece.length > 0; piece = reader.read(offset, *buffer)) {
        offset = piece.next;
        auto shown = co_await masked_piece(masking, std::string_view(buffer->data(), piece.length), lane);
        auto line = text_of(wire::BuildOutput{std::move(shown)});
        co_await send_line(out, std::move(line));
      }
    }
    if (last) {
      auto rest = masking.finish();
      if (rest.empty()) co_return;
      auto line = text_of(wire::BuildOutput{std::move(rest)});
      co_return co_await send_line(out, std::move(line));
    }
    auto pause = async::sleep_for(kLookAgain);
    auto ended = making.ended.wait();
    co_await async::run_until(std::move(pause), std::move(ended));
  }
}

// What is asked for, and what of it is secret.
struct Wanted {
  model::EnvironmentRequest environment;
  model::JobSecrets secrets;
  jobs::Masks::Values values;
};

// Sizes come first: what is too large is looked into no further.
Wanted parse_wanted(std::string_view text) {
  wire::JsonBudget budget{kMostValues};
  auto body = wire::parse_json(text, budget);
  Wanted wanted;
  wanted.environment = wire::environment_request_from(body);
  json request{{"environment", std::move(body)}};
  wanted.secrets = wire::take_secrets(request);
  wanted.values = model::values_to_mask(wanted.secrets);
  return wanted;
}

async::Task<std::shared_ptr<const Wanted>> wanted_by(Services& services, const Principal& who, Request& request) {
  const auto text = co_await request.read_body(kLargestRequest);
  auto parse = [&] { return std::make_shared<const Wanted>(parse_wanted(text)); };
  if (text.size() <= kParsedOnLoop) co_return parse();
  const auto share = co_await services.shares.take(who.limit_key());
  co_return co_await async::offload(services.pool, parse);
}

async::Task<> send_build(http::Stream& out, Services& services, environment::Spec spec, environment::Context context,
                         Principal who, std::shared_ptr<const Wanted> wanted, jobs::Masks::Kept mask) {
  const auto uid = services.access.submitter(who);
  constexpr std::string_view kNothing;
  co_await out.write(kNothing);
  Making making(uid);
  auto make = [&]() -> async::Task<> {
    struct Over {
      Making& made;
      ~Over() {
        made.over = true;
        made.ended.notify_all();
      }
    } const over{making};
    auto ensuring = services.environments.ensure(std::move(spec), std::move(context), making.waiting);
    making.outcome = co_await async::attempt(std::move(ensuring));
  };
  auto& masks = services.jobs.masks();
  const MaskingLane lane{masks.lanes(), who.limit_key()};
  auto both = [&](async::Nursery& nursery) -> async::Task<> {
    nursery.spawn(make());
    co_await send_output(out, making, *mask, lane);
  };
  auto nobody = [](std::exception_ptr) {};
  co_await async::with_nursery(nobody, both);
  if (!making.outcome) throw Cancelled();
  if (*making.outcome && (**making.outcome).ready.digest != Digest{})
    co_await services.store.note_environment((**making.outcome).ready.digest, uid);
  std::string last;
  if (const auto& made = *making.outcome; !made) {
    const auto error = co_await masks.hide(made.error(), wanted->secrets, who.limit_key());
    last = http::to_json(error);
  } else {
    const auto& ready = (*made).ready;
    last = text_of(wire::BuildResult{{ready.digest, ready.image, ready.record}});
  }
  co_await send_line(out, std::move(last));
}

// What a Dockerfile was sent with.
async::Task<std::shared_ptr<const drivers::BuildDirectory>> context_of(Services& services, const Digest context,
                                                                       const store::Viewer viewer) {
  const auto pin = services.objects.pin({context, true});
  if (!services.store.may_use(store::Upload::Kind::snapshot, context, viewer))
    throw Error(Code::not_found, "snapshot " + context.brief() + " is not here", "send it before the request");
  environment::Waiting waiting;  // for as long as the request lasts
  co_return co_await services.jobs.build_directory(context, viewer.uid, waiting);
}

// Makes an environment before a job needs it. Its output line by line, then what it came to.
async::Task<Response> build(Services& services, const Principal& who, Request& request) {
  const auto uid = services.access.submitter(who);
  const auto wanted = co_await wanted_by(services, who, request);
  auto values = wanted->values;
  const auto mask = co_await services.jobs.masks().make(std::move(values), who);
  environment::Context context;
  context.identity = services.node.machine_agent ? os::identity_of(uid) : std::nullopt;
  co_await services.disk.make_room();
  std::shared_ptr<const drivers::BuildDirectory> directory;
  const auto viewer = services.access.viewer(who);
  if (wanted->environment.context) directory = co_await context_of(services, *wanted->environment.context, viewer);
  auto spec = jobs::spec_of(wanted->environment, directory);
  co_return Response::stream("application/x-ndjson", [&services, spec, context, who, wanted, mask](http::Stream& out) {
    return send_build(out, services, spec, context, who, wanted, mask);
  });
}

}  // namespace

void add_environment_routes(http::Router& router, Services& services) {
  add_route(router, services, "GET", "/v1/environments", list);
  add_route(router, services, "POST", "/v1/environments", build);
  add_route(router, services, "GET", "/v1/environments/{digest}", show);
  add_route(router, services, "GET", "/v1/environments/{digest}/log", read_log);
  add_route(router, services, "DELETE", "/v1/environments/{digest}", remove);
}

}  // namespace berth::api
