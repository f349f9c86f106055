#include "agent/cli/top/model.hpp"

#include <doctest/doctest.h>

#include "tests/agent/cli/frames.hpp"
#include "tests/agent/cli/top/sample.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::cli::top;
using cli::text_frame;
using Kind = Key::Kind;
using Mode = Model::Mode;

namespace {

const auto kRunning = "quick-lynx-9abc"_job;
const auto kWaiting = "calm-otter-2xyz"_job;

Key letter(char character) { return {Kind::character, character}; }

Model with(const sample::Node& node = {}) {
  Model model;
  model.take(node.reading());
  return model;
}

sample::Node without_running(sample::Node node = {}) {
  node.jobs.erase(0);
  return node;
}

}  // namespace

TEST_CASE("CPU is the difference of two readings") {
  auto model = with();
  CHECK(!model.cpu_percent(kRunning));
  CHECK(!model.machine_percent());
  model.take(sample::Node{.seconds = 2, .cpu_seconds = 3}.reading());
  REQUIRE(model.cpu_percent(kRunning));
  CHECK(*model.cpu_percent(kRunning) == doctest::Approx(150));
  CHECK(*model.machine_percent() == doctest::Approx(37.5));
  CHECK(!model.cpu_percent("nobody"_job));
  model.take(sample::Node{.seconds = 3, .cpu_seconds = 1}.reading());  // the counter began anew
  CHECK(!model.cpu_percent(kRunning));
  model.take(sample::Node{.seconds = 3, .cpu_seconds = 2}.reading());  // no time has passed
  CHECK(!model.cpu_percent(kRunning));
}

TEST_CASE("the selection stays with its job, and goes to the next when it is over") {
  auto model = with();
  CHECK(model.selected() == kRunning);
  model.press({Kind::down});
  CHECK(model.selected() == kWaiting);
  model.press(letter('j'));
  CHECK(model.selected() == kWaiting);
  model.take(without_running().reading());
  CHECK(model.selected() == kWaiting);
  CHECK(!model.take_vanished());
  model.take(sample::Node{}.reading());
  model.press(letter('k'));
  CHECK(model.selected() == kRunning);
  model.take(without_running().reading());
  CHECK(model.take_vanished() == kRunning);
  CHECK(model.selected() == kWaiting);
  CHECK(!model.take_vanished());
  model.take(sample::Node{.jobs = sample::json::array()}.reading());
  CHECK(model.selected().empty());
  CHECK(model.selected_job() == nullptr);
  for (const char c : {'j', 'k', 'c', 'h', 'f', '+', 'G'}) CHECK(model.press(letter(c)).kind == Action::Kind::none);
  CHECK(model.mode() == Mode::jobs);
}

TEST_CASE("cancel asks first, and everything but y is no") {
  auto model = with();
  CHECK(model.press(letter('c')).kind == Action::Kind::none);
  CHECK(model.mode() == Mode::confirm);
  CHECK(model.press(letter('n')).kind == Action::Kind::none);
  CHECK(model.mode() == Mode::jobs);
  model.press(letter('c'));
  CHECK(model.press({Kind::enter}).kind == Action::Kind::none);
  model.press(letter('c'));
  const auto action = model.press(letter('y'));
  CHECK(action.kind == Action::Kind::cancel);
  CHECK(action.job == kRunning);
}

TEST_CASE("a question about a job that ends meanwhile is withdrawn") {
  auto model = with();
  model.press(letter('c'));
  model.take(without_running().reading());
  CHECK(model.mode() == Mode::jobs);
  CHECK(model.press(letter('y')).kind == Action::Kind::none);
}

TEST_CASE("h holds and releases, + and - change the priority, of waiting jobs alone") {
  auto model = with();
  CHECK(model.press(letter('h')).kind == Action::Kind::none);
  CHECK(model.message() == "only a waiting job can be held");
  CHECK(model.press(letter('+')).kind == Action::Kind::none);
  model.press(letter('j'));
  CHECK(model.message().empty());
  auto action = model.press(letter('h'));
  CHECK(action.kind == Action::Kind::hold);
  CHECK(action.job == kWaiting);
  action = model.press(letter('+'));
  CHECK(action.kind == Action::Kind::set_priority);
  CHECK(action.priority == 1);
  CHECK(model.press(letter('-')).priority == -1);
  sample::Node node;
  node.jobs[1]["held"] = true;
  model.take(node.reading());
  CHECK(model.press(letter('h')).kind == Action::Kind::release);
}

TEST_CASE("the log is wanted of the job that is looked at, from where it was fetched to") {
  auto model = with();
  CHECK(model.log_wanted() == 0U);
  model.take_log(text_frame("hello\n"));
  CHECK(model.log_wanted() == 6U);
  CHECK(model.log().lines(1) == std::vector<std::string>{"hello"});
  model.press(letter('j'));
  CHECK(!model.log_wanted());  // it has not started
  CHECK(model.log().lines(1).empty());
  model.press(letter('k'));
  CHECK(model.log_wanted() == 0U);
  model.no_log("only its owner and root may read it");
  CHECK(!model.log_wanted());
  model.press(letter('l'));
  CHECK(model.log_job() == nullptr);
  model.press(letter('f'));
  REQUIRE(model.log_job() != nullptr);
  CHECK(*model.log_job() == kRunning);
}

TEST_CASE("the log of a new launch begins anew") {
  auto model = with();
  model.log_wanted();
  model.take_log(text_frame("first attempt\n"));
  sample::Node node;
  auto reading = node.reading();
  reading.uses.at(kRunning).launch = 2;
  model.take(std::move(reading));
  CHECK(model.log_wanted() == 0U);
  CHECK(model.log().lines(1).empty());
}

TEST_CASE("a followed log stays when its job is over, and is fetched to its end") {
  auto model = with();
  model.press(letter('f'));
  CHECK(model.mode() == Mode::log);
  CHECK(model.log_wanted() == 0U);
  model.take_log(text_frame("one\n"));
  model.take(without_running().reading());
  CHECK(model.mode() == Mode::log);
  CHECK(model.take_vanished() == kRunning);
  model.take(without_running().reading());
  CHECK(!model.take_vanished());
  CHECK(model.log_wanted() == 4U);
  model.take_log(text_frame("two\n", 4));
  CHECK(model.log().lines(2) == std::vector<std::string>{"one", "two"});
  CHECK(model.press({Kind::escape}).kind == Action::Kind::none);
  CHECK(model.mode() == Mode::jobs);
  CHECK(model.selected() == kWaiting);
}

TEST_CASE("a followed log scrolls within what there is") {
  auto model = with();
  model.press({Kind::enter});
  model.log_wanted();
  model.take_log(text_frame("1\n2\n3\n"));
  model.press({Kind::down});
  CHECK(model.scrolled() == 0);
  model.press({Kind::up});
  CHECK(model.scrolled() == 1);
  model.press({Kind::page_up});
  CHECK(model.scrolled() == 2);
  model.press({Kind::end});
  CHECK(model.scrolled() == 0);
  model.press(letter('g'));
  CHECK(model.scrolled() == 2);
}

TEST_CASE("an agent that is away is told until it is back") {
  auto model = with();
  model.agent_is_away("agent is not reachable, retrying");
  CHECK(model.away() == "agent is not reachable, retrying");
  CHECK(model.selected() == kRunning);
  model.take(sample::Node{}.reading());
  CHECK(model.away().empty());
}

TEST_CASE("q quits, but leads back from a log and from the help") {
  auto model = with();
  model.press(letter('f'));
  CHECK(model.press(letter('q')).kind == Action::Kind::none);
  model.press(letter('?'));
  CHECK(model.mode() == Mode::help);
  CHECK(model.press(letter('q')).kind == Action::Kind::none);
  CHECK(model.press(letter('q')).kind == Action::Kind::quit);
}

TEST_CASE("an agent that tells nothing is no failure") {
  Model model;
  model.take(reading_from_json("{}", R"({"jobs":[]})", "{}"));
  model.take(reading_from_json("{}", R"({"jobs":[]})", R"({"jobs":null,"machine":{}})"));
  CHECK(model.selected().empty());
}
