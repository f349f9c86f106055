#include "agent/cli/top/view.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/agent/cli/frames.hpp"
#include "tests/agent/cli/top/sample.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;
using namespace berth::cli;
using namespace berth::cli::top;

namespace {

top::Model with(const top::sample::Node& node = {}) {
  top::Model model;
  model.take(node.reading());
  return model;
}

std::string screen_of(const top::Model& model, Size size = {}) {
  std::string text;
  for (const auto& line : view_of(model, size)) text += line.text + "\n";
  return text;
}

bool shows(const top::Model& model, const std::string& text, Size size = {}) {
  return screen_of(model, size).find(text) != std::string::npos;
}

top::sample::Node many(int number) {
  top::sample::Node node;
  for (int i = 0; i < number; ++i)
    node.jobs.push_back(top::sample::waiting(cli::sample::queued(), "job-" + std::to_string(100 + i), "later"));
  return node;
}

}  // namespace

TEST_CASE("the screen shows the node, what runs, what waits and the log") {
  auto model = with();
  model.take(top::sample::Node{.seconds = 1, .cpu_seconds = 1.98}.reading());
  model.log_wanted();
  model.take_log(text_frame("epoch 1\nepoch 2\n"));
  CHECK(screen_of(model, {80, 16}) ==
        R"(gpu1   berthd 0.1.0   1 running, 1 queued
slots 1/2   CPU 50% of 4   memory 4.0G of 24G   disk 12G of 80G free

RUNNING            CPU%       MEMORY       TIME  USER  NAME
quick-lynx-9abc    198%    1.5G/4.0G       1:31  ada   digits, large

WAITING               AGE  USER  NAME                    WHY
calm-otter-2xyz      5:01  ada   python3 train.py --na…  the next one; 1 slot i…
── log of quick-lynx-9abc ──────────────────────────────────────────────────────
epoch 1
epoch 2




↑↓ select  c cancel  h hold/release  +- priority  f follow  l log  ? help  q qu…
)");
}

TEST_CASE("each GPU has a line where the screen is tall enough: who has it, or why nobody") {
  top::sample::Node node;
  node.gpus = nlohmann::json::parse(R"([
    {"label":"GPU 0","memory_bytes":85899345920,"used_bytes":44023414784,"utilisation":91,"jobs":["a-1","b-2"]},
    {"label":"GPU 1 MIG 1g.10gb","memory_bytes":10334765056,"used_bytes":null,"utilisation":null,"jobs":[],
     "withheld":"Xid 79"}])");
  CHECK(shows(with(node),
              "free\nGPU 0               91%    41G/80G  a-1, b-2\n"
              "GPU 1 MIG 1g.10gb             9.6G  withheld: Xid 79\n\nRUNNING",
              {80, 16}));
  CHECK_FALSE(shows(with(node), "GPU 0", {80, 12}));
}

TEST_CASE("every line fits, and there are as many as the screen has") {
  auto model = with(many(40));
  model.log_wanted();
  model.take_log(text_frame(std::string(500, 'x') + "\n" + std::string(100, '\n')));
  for (const std::size_t columns : {1U, 20U, 79U, 80U, 200U})
    for (const std::size_t rows : {0U, 1U, 2U, 5U, 9U, 24U, 100U})
      for (const char mode : {'j', 'f', 'f', '?', 'x', 'l', 'c'}) {
        const auto lines = view_of(model, {columns, rows});
        CHECK(lines.size() == rows);
        CHECK(std::all_of(lines.begin(), lines.end(),
                          [&](const Line& line) { return text_width(line.text) <= columns; }));
        model.press({Key::Kind::character, mode});
      }
}

TEST_CASE("the selected job is on the screen however long the queue is") {
  auto model = with(many(150));
  const auto is_selected = [&] {
    const auto lines = view_of(model, {80, 24});
    return std::count_if(lines.begin(), lines.end(), [&](const Line& line) {
             return line.selected && line.text.starts_with(model.selected().value());
           }) == 1;
  };
  CHECK(is_selected());
  for (int i = 0; i < 15; ++i) {
    model.press({Key::Kind::page_down});
    CHECK(is_selected());
  }
  model.press({Key::Kind::end});
  CHECK(model.selected() == "job-249"_job);
  CHECK(is_selected());
  CHECK(shows(model, "quick-lynx-9abc"));  // what runs stays
}

TEST_CASE("what the list does not hold is told as a number") {
  auto model = with();
  auto reading = top::sample::Node{}.reading();
  reading.counts.queued = 9'801;
  model.take(std::move(reading));
  CHECK(shows(model, "and 9800 more"));
}

TEST_CASE("states other than running, drained nodes and an agent that is away are told") {
  top::sample::Node node{.drained = true};
  node.jobs[0]["state"] = "CancelRequested";
  auto model = with(node);
  CHECK(shows(model, "Canceling"));
  CHECK(shows(model, "drained: no job starts before `berth resume`"));
  model.agent_is_away("agent is not reachable, retrying");
  CHECK(shows(model, "agent is not reachable, retrying"));
}

TEST_CASE("questions, messages, help and an idle node have their words") {
  auto model = with();
  model.press({Key::Kind::character, 'c'});
  CHECK(shows(model, "cancel quick-lynx-9abc? [y/n]"));
  model.press({Key::Kind::character, 'n'});
  model.job_ended("a-job"_job, "Failed: exited with code 3");
  CHECK(shows(model, "a-job: Failed: exited with code 3"));
  model.press({Key::Kind::character, '?'});
  CHECK(shows(model, "after a question"));
  CHECK(shows(with(top::sample::Node{.jobs = top::sample::json::array()}), "no live jobs"));
}

TEST_CASE("a followed log fills the screen, wrapped, its end at the bottom") {
  auto model = with();
  model.press({Key::Kind::character, 'f'});
  model.log_wanted();
  for (int i = 0; i < 50; ++i) model.take_log(text_frame("line " + std::to_string(i) + "\n"));
  model.take_log(text_frame(std::string(100, 'y') + "\n"));
  const auto lines = view_of(model, {80, 10});
  CHECK(lines[0].text.starts_with("quick-lynx-9abc   Running"));
  CHECK(lines[1].text == "line 44");
  CHECK(lines[7].text == std::string(80, 'y'));
  CHECK(lines[8].text == std::string(20, 'y'));
  model.press({Key::Kind::up});
  CHECK(view_of(model, {80, 10})[8].text == "line 49");
  CHECK(view_of(model, {80, 10})[9].text.starts_with("scrolled up by 1"));
  model.press({Key::Kind::home});
  CHECK(view_of(model, {80, 10})[1].text == "line 0");
  CHECK(view_of(model, {80, 10})[8].text == "line 7");
}

TEST_CASE("a job's name cannot draw on the screen") {
  top::sample::Node node;
  node.jobs[0]["name"] = "\x1b[2Jevil\nname";
  const auto screen = screen_of(with(node));
  CHECK(screen.find('\x1b') == std::string::npos);
  CHECK(screen.find("\\x1b[2Jevil") != std::string::npos);
}

TEST_CASE("sizes and durations are short") {
  CHECK(brief_size(ByteSize(0)) == "0B");
  CHECK(brief_size(999_KiB) == "999K");
  CHECK(brief_size(1000_KiB) == "1.0M");
  CHECK(brief_size(64_MiB) == "64M");
  CHECK(brief_size(ByteSize(1'610'612'736)) == "1.5G");
  CHECK(clock_text(std::chrono::seconds(-5)) == "0:00");
  CHECK(clock_text(std::chrono::seconds(65)) == "1:05");
  CHECK(clock_text(std::chrono::hours(3) + std::chrono::seconds(1)) == "3:00:01");
  CHECK(clock_text(std::chrono::hours(50)) == "2d 02:00");
}
