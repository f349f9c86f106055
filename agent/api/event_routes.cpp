#include <nlohmann/json.hpp>

#include "agent/api/query.hpp"
#include "agent/api/services.hpp"
#include "agent/api/view.hpp"
#include "agent/wire/event.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using model::Principal;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr std::size_t kPage = 100;    // events of an answer, unless said otherwise
constexpr std::size_t kMost = 1000;
constexpr std::size_t kRows = 50;     // that are written at once
constexpr milliseconds kWait{30'000};  // unless said otherwise
constexpr milliseconds kLongestWait{60'000};
constexpr milliseconds kGathering{20};  // so that no reader asks for each event of a burst
constexpr milliseconds kPause{1000};    // of a reader who is not told when to look

struct Asked {
  Principal who;
  store::EventQuery query{};
  milliseconds wait{};
};

Asked asked(const Services& services, const Principal& who, const Request& request) {
  Asked asked{who};
  const auto uid = services.access.submitter(who);
  if (flag(request, "mine")) asked.query.uid = uid;
  asked.query.after = whole_number(request, "after");
  asked.query.limit = static_cast<std::size_t>(whole_number(request, "limit").value_or(kPage));
  if (asked.query.limit == 0 || asked.query.limit > kMost)
    throw Error(Code::invalid, "query parameter 'limit' must be from 1 to " + std::to_string(kMost));
  const auto wait = whole_number(request, "timeout_ms");
  if (wait && *wait > kLongestWait.count())
    throw Error(Code::invalid, "query parameter 'timeout_ms' must be at most " + std::to_string(kLongestWait.count()));
  if (asked.query.after) asked.wait = wait ? milliseconds(*wait) : kWait;
  return asked;
}

// In the turn of its reader.
async::Task<store::EventPage> read(Services& services, const model::LimitKey reader, const store::EventQuery query) {
  const auto share = co_await services.shares.take(reader);
  co_return co_await services.store.events(query);
}

// What was written up to `seen` has been looked at.
async::Task<> wait_for_events(Services& services, Asked asked, std::uint64_t seen, store::EventPage& page) {
  const auto told = services.event_waits.take(asked.who.limit_key());
  while (page.events.empty()) {
    if (told) co_await services.store.next_write(seen);
    co_await async::sleep_for(told ? kGathering : kPause);
    asked.query.after = page.last;
    seen = services.store.writes();
    page = co_await read(services, asked.who.limit_key(), asked.query);
  }
}

json missing_of(const store::EventPage& page) {
  json missing = json::array();
  for (const auto& gone : page.gone) missing.push_back(json_of(wire::MissingEvents{gone.uid, gone.user, gone.up_to}));
  return missing;
}

// A few at a time, which lets others in between.
async::Task<> send_events(http::Stream& out, const Services& services, Principal who, store::EventPage& page) {
  std::string text =
      R"({"next":)" + std::to_string(page.last) + R"(,"missing":)" + missing_of(page).dump() + R"(,"events":[)";
  std::size_t told = 0;
  for (const auto& event : page.events) {
    if (told > 0) text += ',';
    text += dumped(event_for(who, services.access, event));
    if (++told % kRows != 0) continue;
    co_await out.write(text);
    text.clear();
  }
  text += "]}";
  co_await out.write(text);
}

async::Task<> answer(http::Stream& out, Services& services, Asked asked, std::uint64_t seen, store::EventPage page) {
  if (page.events.empty() && asked.wait.count() > 0) {
    auto waiting = wait_for_events(services, asked, seen, page);
    auto limit = async::sleep_for(asked.wait);
    co_await async::run_until(std::move(waiting), std::move(limit));
  }
  co_await send_events(out, services, asked.who, page);
}

// A stream, so that it ends at once when the client goes away or the agent stops.
async::Task<Response> events(Services& services, const Principal& who, Request& request) {
  const auto wanted = asked(services, who, request);
  const auto seen = services.store.writes();
  auto page = co_await read(services, wanted.who.limit_key(), wanted.query);
  const auto send = [&services, wanted, seen, page = std::move(page)](http::Stream& out) {
    return answer(out, services, wanted, seen, page);
  };
  co_return Response::stream("application/json", send);
}

}  // namespace

void add_event_routes(http::Router& router, Services& services) {
  add_route(router, services, "GET", "/v1/events", events);
}

}  // namespace berth::api
