#pragma once

// The state of `berth top`: what the agent told last, what is selected, and what a key means. Pure: it reads
// no clock and talks to nobody.

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "agent/cli/top/log_tail.hpp"
#include "agent/cli/top/reading.hpp"

namespace berth::cli::top {

struct Key {
  enum class Kind { character, up, down, page_up, page_down, home, end, enter, escape };
  Kind kind = Kind::character;
  char character = 0;
};

// What is to be done for the user.
struct Action {
  enum class Kind { none, quit, cancel, hold, release, set_priority };
  Kind kind = Kind::none;
  model::JobId job;
  int priority = 0;
};

class Model {
 public:
  enum class Mode { jobs, confirm, log, help };

  void take(Reading reading);
  // The agent cannot be asked: what was told last stays on the screen, with this above it, until take().
  void agent_is_away(std::string why) { away_ = std::move(why); }
  // One line for the user, until the next key.
  void say(std::string message) { message_ = std::move(message); }
  // A job that the user looked at is over; how it ended.
  void job_ended(const model::JobId& id, const std::string& how);

  Action press(Key key);

  // The job whose log is on the screen, and what was fetched of it; nullptr for none.
  const model::JobId* log_job() const;
  // Where its log goes on; nothing when there is none to fetch.
  std::optional<std::uint64_t> log_wanted();
  void take_log(const model::LogFrame& frame) { log_.take(frame); }
  // Instead of the log.
  void no_log(std::string why) { no_log_ = std::move(why); }
  // A job that was on the screen and is gone from the list: its record is wanted, once.
  std::optional<model::JobId> take_vanished() { return std::exchange(vanished_, std::nullopt); }

  // --- for the view

  const Reading& reading() const { return reading_; }
  Mode mode() const { return mode_; }
  const model::JobId& selected() const { return selected_; }
  const JobRecord* selected_job() const;
  const std::string& message() const { return message_; }
  const std::string& away() const { return away_; }
  bool log_shown() const { return log_shown_; }
  const LogTail& log() const { return log_; }
  const std::string& why_no_log() const { return no_log_; }
  std::size_t scrolled() const { return scrolled_; }  // lines up from the log's end
  // Percent of one core between the last two readings; nothing before the second.
  std::optional<double> cpu_percent(const model::JobId& job) const;
  // Percent of all the machine's CPUs.
  std::optional<double> machine_percent() const;

 private:
  void keep_selection(std::size_t index);
  void select(std::size_t index);
  std::size_t selected_index() const;
  void enter_log();
  void scroll(std::ptrdiff_t lines);
  Action press_in_jobs(Key key);
  Action press_in_log(Key key);
  Action press_in_confirm(Key key);
  void move(Key::Kind kind);
  Action letter(char character);
  Action toggle_held();
  Action change_priority(int by);
  void note_rates(const Reading& before);

  Reading reading_;
  bool known_ = false;
  std::map<model::JobId, double> cpu_;
  std::optional<double> machine_cpu_;
  Mode mode_ = Mode::jobs;
  model::JobId selected_;
  std::string message_;
  std::string away_;
  bool log_shown_ = true;
  LogTail log_;
  model::JobId log_of_;  // whose log_ is
  int log_launch_ = 0;
  std::string no_log_;
  std::size_t scrolled_ = 0;
  std::optional<model::JobId> vanished_;
  model::JobId gone_;  // the selected job that was last seen to be over
};

// Whether it waits for its start: it may be held, and its priority means something.
bool is_waiting(const model::Job& job);

}  // namespace berth::cli::top
