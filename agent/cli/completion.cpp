#include "agent/cli/completion.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "agent/cli/verbs/verbs.hpp"
#include "agent/jobfile/parse.hpp"

namespace berth::cli {
namespace {

using Kind = Description::Kind;

constexpr std::string_view kSocket = "--socket";
constexpr std::array<std::string_view, 7> kEnvironmentActions{"ls", "show", "log", "lock", "export", "build", "rm"};
constexpr std::array<std::string_view, 3> kGpuActions{"ls", "drain", "resume"};
constexpr std::array<std::string_view, 6> kSignals{"TERM", "INT", "HUP", "USR1", "USR2", "QUIT"};

std::vector<std::string> split(const std::string& names) {
  const auto comma = names.find(',');
  if (comma == std::string::npos) return {names};
  return {names.substr(0, comma), names.substr(comma + 1)};
}

void offer_verbs(Completion& completion) {
  for (const auto& verb : verbs()) completion.candidates.push_back({std::string(verb.name), std::string(verb.summary)});
}

JobChoice choice_for(std::string_view verb) {
  if (verb == "cancel" || verb == "wait") return JobChoice::live;
  if (verb == "hold" || verb == "priority") return JobChoice::waiting;
  if (verb == "release") return JobChoice::held;
  if (verb == "retry" || verb == "download") return JobChoice::ended;
  return JobChoice::any;
}

// Of `berth env`.
std::optional<EnvironmentChoice> environments_for(const std::string& action) {
  if (action == "ls" || action == "build") return std::nullopt;
  return action == "rm" ? EnvironmentChoice::idle : EnvironmentChoice::any;
}

// What the placeholder of a value says about it.
void offer_value(Completion& completion, const std::string& placeholder) {
  if (placeholder == "DIR") completion.from_shell = FromShell::directories;
  if (placeholder == "PATH" || placeholder == "FILE") completion.from_shell = FromShell::files;
  if (placeholder == "SIGNAL")
    for (const auto signal : kSignals) completion.candidates.push_back({std::string(signal), ""});
  if (placeholder.starts_with("[CAUSE=]"))
    for (const auto cause : jobfile::retry_causes()) completion.candidates.push_back({std::string(cause) + "=", ""});
}

void offer_actions(Completion& completion, std::string_view verb) {
  const auto actions = verb == "gpu" ? std::span<const std::string_view>(kGpuActions) : kEnvironmentActions;
  for (const auto action : actions) completion.candidates.push_back({std::string(action), ""});
}

// Reads the words of one verb up to the one being typed.
class Line {
 public:
  explicit Line(Description description) : description_(std::move(description)) {}

  void pass(const std::string& word) {
    if (command_begun_) return;
    if (expects_value_ != nullptr) {
      if (expects_value_->names == kSocket) socket_ = word;
      expects_value_ = nullptr;
    } else if (!only_arguments_ && word == "--") {
      only_arguments_ = true;
    } else if (!only_arguments_ && word.starts_with('-')) {
      pass_option(word);
    } else if (takes_command()) {
      command_begun_ = true;
    } else {
      named_.push_back(word);
    }
  }

  Completion typing(const std::string& word) const {
    Completion completion;
    completion.socket = socket_;
    completion.named = named_;
    if (command_begun_) {
      completion.from_shell = FromShell::files;
    } else if (expects_value_ != nullptr) {
      offer_value(completion, expects_value_->value);
    } else if (!only_arguments_ && word.starts_with("--") && word.find('=') != std::string::npos) {
      offer_joined_value(completion, word);
    } else if (!only_arguments_ && word.starts_with('-')) {
      offer_options(completion);
    } else if (takes_command()) {
      completion.from_shell = FromShell::commands;
    } else {
      offer_argument(completion);
    }
    return completion;
  }

 private:
  const Description::Entry* find(const auto& wanted) const {
    for (const auto& group : description_.groups)
      for (const auto& entry : group.entries)
        if (wanted(entry)) return &entry;
    return nullptr;
  }
  const Description::Entry* option_named(const std::string& name) const {
    return find([&](const Description::Entry& entry) {
      const auto names = split(entry.names);
      return std::find(names.begin(), names.end(), name) != names.end();
    });
  }
  bool takes_command() const {
    return find([](const Description::Entry& entry) { return entry.kind == Kind::command; }) != nullptr;
  }

  void pass_option(const std::string& word) {
    const auto* option = option_named(word);
    if (option != nullptr && option->kind == Kind::option) expects_value_ = option;
    if (word.starts_with("--socket=")) socket_ = word.substr(kSocket.size() + 1);
  }

  void offer_options(Completion& completion) const {
    for (const auto& group : description_.groups)
      for (const auto& entry : group.entries)
        if (entry.kind == Kind::flag || entry.kind == Kind::option)
          completion.candidates.push_back({split(entry.names).back(), entry.help});
  }

  // "--into=…"
  void offer_joined_value(Completion& completion, const std::string& word) const {
    const auto name = word.substr(0, word.find('='));
    const auto* option = option_named(name);
    if (option == nullptr) return;
    offer_value(completion, option->value);
    for (auto& candidate : completion.candidates) candidate.text.insert(0, name + "=");
  }

  void offer_argument(Completion& completion) const {
    std::size_t place = named_.size();
    const auto* argument = find([&](const Description::Entry& entry) {
      return entry.kind == Kind::argument && (entry.names.ends_with("…") || place-- == 0);
    });
    if (argument == nullptr) return;
    if (argument->names.starts_with("JOB"))
      completion.jobs = choice_for(description_.verb);
    else if (argument->names == "ACTION")
      offer_actions(completion, description_.verb);
    else if (argument->names.starts_with("ENV"))
      completion.environments = environments_for(named_.front());
    else
      offer_value(completion, argument->names);
  }

  Description description_;
  const Description::Entry* expects_value_ = nullptr;
  bool only_arguments_ = false;  // after "--"
  bool command_begun_ = false;
  std::vector<std::string> named_;
  std::string socket_;
};

// Options that may stand before the verb; where the verb is, or would be.
std::size_t verb_place(const Arguments& words) {
  std::size_t place = 0;
  while (place + 1 < words.size() && words[place].starts_with('-')) place += words[place] == kSocket ? 2 : 1;
  return place;
}

Completion before_the_verb(const std::string& word) {
  Completion completion;
  if (word.starts_with('-')) {
    for (const char* option : {"--help", "--version", "--json", "--socket"})
      completion.candidates.push_back({option, ""});
  } else {
    offer_verbs(completion);
    completion.candidates.push_back({"help", "explain a verb"});
  }
  return completion;
}

Completion in_verb(const Arguments& words, std::size_t place) {
  Completion completion;
  const auto& name = words[place];
  if (name == "help" && place + 2 == words.size()) offer_verbs(completion);
  const auto all = verbs();
  const auto verb = std::find_if(all.begin(), all.end(), [&](const Verb& known) { return known.name == name; });
  if (verb == all.end()) return completion;
  Line line(describe(*verb));
  for (std::size_t i = 0; i + 1 < words.size(); ++i)
    if (i != place) line.pass(words[i]);
  return line.typing(words.back());
}

}  // namespace

Completion complete(const Arguments& words) {
  if (words.empty()) return {};
  const auto place = verb_place(words);
  Completion completion;
  if (place == words.size())
    completion.from_shell = FromShell::files;  // the value of --socket
  else
    completion = place + 1 == words.size() ? before_the_verb(words.back()) : in_verb(words, place);
  std::erase_if(completion.candidates,
                [&](const Candidate& candidate) { return !candidate.text.starts_with(words.back()); });
  return completion;
}

bool is_choice(JobChoice choice, const model::Job& job) {
  const bool waiting = job.state == model::State::preparing || job.state == model::State::queued;
  switch (choice) {
    case JobChoice::live:
      return !model::is_final(job.state);
    case JobChoice::waiting:
      return waiting;
    case JobChoice::held:
      return waiting && job.held;
    case JobChoice::ended:
      return model::is_final(job.state);
    case JobChoice::any:
      break;
  }
  return true;
}

}  // namespace berth::cli
