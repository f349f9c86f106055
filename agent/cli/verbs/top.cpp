#include <poll.h>

#include <array>
#include <chrono>
#include <optional>

#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/top/model.hpp"
#include "agent/cli/top/terminal.hpp"
#include "agent/cli/top/view.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/cli/words.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/signals.hpp"

namespace berth::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kRefresh{1000};
constexpr milliseconds kFollowRefresh{250};
constexpr milliseconds kAgentPatience{2000};  // keys are not answered meanwhile
constexpr std::size_t kMostLog = 2U << 20;    // fetched at once
constexpr const char* kLimit = "200";         // jobs; the rest is told as a number

http::Client::Options impatient() {
  http::Client::Options options;
  options.patience = kAgentPatience;
  return options;
}

top::Reading ask(Agent& agent) {
  return top::reading_from_json(agent.get("/v1/status"), agent.get(std::string("/v1/jobs?order=queue&limit=") + kLimit),
                                agent.get("/v1/usage"));
}

// Between the terminal, the agent and the model, until the user or a signal says stop.
class Watch {
 public:
  Watch(const std::string& socket, os::Signals& signals) : agent_(socket, impatient()), signals_(signals) {
    model_.take(ask(agent_));  // an agent that is not there is told without taking the screen
    terminal_.emplace();
    size_ = terminal_->measure();
  }

  void run() {
    auto next = steady_clock::now();
    while (!over_) {
      const auto now = steady_clock::now();
      if (now >= next) {
        next = now + kRefresh;
        refresh();
      }
      fetch_log();
      terminal_->show(top::view_of(model_, size_));
      auto pause = std::chrono::duration_cast<milliseconds>(next - steady_clock::now());
      if (model_.mode() == top::Model::Mode::log) pause = std::min(pause, kFollowRefresh);
      await(std::max(pause, milliseconds(0)));
    }
  }

 private:
  // What keeps the agent from answering is shown, not thrown: it may be restarting.
  template <class Ask>
  void try_to(Ask question) {
    try {
      question();
    } catch (const Error& error) {
      if (error.code() == Code::unavailable || error.code() == Code::io)
        model_.agent_is_away("agent is not reachable, retrying");
      else if (error.code() == Code::timeout)
        model_.agent_is_away("agent does not answer, retrying");
      else
        model_.say(error.message());
    }
  }

  void refresh() {
    try_to([&] {
      model_.take(ask(agent_));
      if (const auto gone = model_.take_vanished()) model_.job_ended(*gone, state_text(agent_.job(gone->value()).job));
    });
  }

  void fetch_log() {
    const auto offset = model_.log_wanted();
    if (!offset || !model_.away().empty()) return;
    const auto job = *model_.log_job();
    LogQuery query;
    query.offset = offset;
    std::size_t taken = 0;
    try_to([&] {
      try {
        agent_.log(job.value(), query, [&](const model::LogFrame& frame) {
          model_.take_log(frame);
          taken += frame.text.size();
          return taken < kMostLog;
        });
      } catch (const Error& error) {
        if (error.code() != Code::denied) throw;
        model_.no_log(error.hint().empty() ? error.message() : error.hint());
      }
    });
  }

  void await(milliseconds pause) {
    std::array<pollfd, 2> sources{{{terminal_->input(), POLLIN, 0}, {signals_.fd().get(), POLLIN, 0}}};
    if (::poll(sources.data(), sources.size(), static_cast<int>(pause.count())) < 0) return;  // EINTR: look again
    if (sources[1].revents != 0) answer_signal();
    if ((sources[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) over_ = true;  // the terminal is gone
    if ((sources[0].revents & POLLIN) != 0)
      for (const auto key : terminal_->keys()) act(model_.press(key));
  }

  void answer_signal() {
    if (signals_.read() != SIGWINCH)
      over_ = true;
    else
      size_ = terminal_->measure();
  }

  void act(const top::Action& action) {
    using Kind = top::Action::Kind;
    switch (action.kind) {
      case Kind::none:
        return;
      case Kind::quit:
        over_ = true;
        return;
      case Kind::cancel:
        return change(action.job, "cancel", "{}");
      case Kind::hold:
        return change(action.job, "hold", "{}");
      case Kind::release:
        return change(action.job, "release", "{}");
      case Kind::set_priority:
        return change(action.job, "priority", "{\"priority\":" + std::to_string(action.priority) + "}");
    }
  }

  void change(const model::JobId& job, std::string_view verb, const std::string& body) {
    try_to([&] {
      const auto record = agent_.act(job.value(), verb, body);
      model_.say(job + ": " + state_text(record.job));
      model_.take(ask(agent_));
    });
  }

  Agent agent_;
  os::Signals& signals_;
  top::Model model_;
  std::optional<top::Terminal> terminal_;
  top::Size size_;
  bool over_ = false;
};

}  // namespace

int verb::top(const Arguments& arguments, Common& common) {
  Options options("top", "[options]",
                  "Watches the node live: what runs with its CPU and memory, what waits and why, and the log of the "
                  "selected job. Reads once a second; nothing is measured while nobody watches.");
  options.section("Keys",
                  "  up, down, k, j   select a job (also PgUp, PgDn, Home, End)\n"
                  "  c                cancel it, after a question\n"
                  "  h                hold a waiting job, or release a held one\n"
                  "  + -              raise or lower a waiting job's priority\n"
                  "  f, Enter         follow its log on the whole screen; f, q or Esc leads back\n"
                  "  l                show or hide the log below the jobs\n"
                  "  ?                these keys\n"
                  "  q, Ctrl-C        quit; jobs run on\n");
  options.section("Columns",
                  "  CPU%    since the last reading, of one core: four busy cores are 400%\n"
                  "  MEMORY  in use, and the job's limit where it has one; without the memory controller of cgroup v2\n"
                  "          the sum of its processes, in which shared pages count several times\n");
  options.section("Examples", "  berth top\n  berth top --socket ~/.local/state/berth/berth.sock\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  if (common.json)
    throw Error(Code::invalid, "`berth top` is for people and has no JSON",
                "use `berth ps --json`, or GET /v1/usage on the socket");
  top::require_terminal();
  os::Signals signals{SIGINT, SIGTERM, SIGHUP, SIGWINCH};
  Watch(socket_path(common), signals).run();
  return 0;
}

}  // namespace berth::cli
