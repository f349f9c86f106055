#include "agent/queue/waiting.hpp"

#include <algorithm>

namespace berth::queue {
namespace {

using model::Resources;

constexpr Resources kNothing{};

std::string number_of_cpus(std::uint32_t milli) {
  const auto text = to_words(Resources{.cpu_milli = milli});
  return milli == 0 ? "0" : text.substr(0, text.find(' '));
}

// "2 of 2", "3 GiB of 4 GiB": of the first kind that is short.
std::string use_in_words(const Resources& lacking, const Resources& used, const Resources& capacity) {
  if (lacking.gpus > 0) return std::to_string(used.gpus) + " of " + std::to_string(capacity.gpus);
  if (lacking.cpu_milli > 0) return number_of_cpus(used.cpu_milli) + " of " + number_of_cpus(capacity.cpu_milli);
  if (lacking.memory.bytes() > 0) return to_text(used.memory) + " of " + to_text(capacity.memory);
  return std::to_string(used.slots) + " of " + std::to_string(capacity.slots);
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

std::string users_in_words(const Waiting& waiting, const NameOf& name_of) {
  std::vector<std::string> names;
  names.reserve(waiting.users.size() + 1);
  for (const auto user : waiting.users) names.push_back(name_of(user));
  if (waiting.more_users > 0)
    names.push_back(std::to_string(waiting.more_users) + (waiting.more_users == 1 ? " other" : " others"));
  return listed(names);
}

// "2 are withheld: GPU 1 (…) and GPU 3 (…)"
std::string withheld_in_words(const std::vector<std::string>& withheld) {
  return std::to_string(withheld.size()) + (withheld.size() == 1 ? " is withheld: " : " are withheld: ") +
         listed(withheld);
}

std::string ahead_in_words(std::size_t ahead) {
  if (ahead == 0) return {};
  return std::to_string(ahead) + (ahead == 1 ? " job is ahead" : " jobs are ahead");
}

std::string and_ahead(std::size_t ahead) { return ahead == 0 ? "" : "; " + ahead_in_words(ahead); }

std::string lack_in_words(const Waiting& waiting, const NameOf& name_of) {
  auto text = "waits for " + to_words(waiting.lacking) + ": " +
              use_in_words(waiting.lacking, waiting.used, waiting.capacity) + " are in use";
  if (!waiting.users.empty()) text += " by " + users_in_words(waiting, name_of);
  if (waiting.free_gpus > 0) text += ", " + std::to_string(waiting.free_gpus) + " free";
  if (!waiting.withheld.empty()) text += ", " + withheld_in_words(waiting.withheld);
  return text;
}

// "waits for 8 GPUs: of this node's 8, 1 is withheld: GPU 3 (fell off the bus)"
std::string shortage_in_words(const Waiting& waiting) {
  const Resources gpus{.gpus = waiting.asked.gpus, .gpu_memory = waiting.asked.gpu_memory};
  return "waits for " + to_words(gpus) + ": of this node's " + std::to_string(waiting.capacity.gpus) + ", " +
         withheld_in_words(waiting.withheld);
}

std::string reservation_in_words(const Waiting& waiting, const NameOf& name_of) {
  return to_words(waiting.asked) + (waiting.asked == Resources{.slots = 1} ? " is" : " are") +
         " free but reserved for " + name_of(waiting.reserved_for.value_or(Sequence{})) + ", which has waited " +
         berth::to_words(waiting.reserved_waited) + " for " + to_words(waiting.reserved_lacking);
}

}  // namespace

std::string to_words(const Waiting& waiting, const NameOf& name_of) {
  using enum Waiting::Reason;
  switch (waiting.reason) {
    case not_waiting:
      return "does not wait";
    case held:
      return "held by its owner: berth release " + name_of(waiting.sequence);
    case preparing:
      return "is being prepared" + and_ahead(waiting.ahead);
    case too_big:
      return never_fits(waiting.asked, waiting.capacity).value_or("asks for more than this node has");
    case drained:
      return "the node is drained: berth resume" + and_ahead(waiting.ahead);
    case withheld:
      return shortage_in_words(waiting) + and_ahead(waiting.ahead);
    case resources:
      return lack_in_words(waiting, name_of) + and_ahead(waiting.ahead);
    case reserved:
      return reservation_in_words(waiting, name_of) + and_ahead(waiting.ahead);
    case turn:
      return waiting.ahead == 0 ? "starts next" : "is number " + std::to_string(waiting.ahead + 1) + " in the queue";
  }
  return {};
}

std::optional<std::string> never_fits(const Resources& resources, const Resources& capacity) {
  if (fits(resources, capacity)) return std::nullopt;
  Resources asked;
  Resources there;
  if (resources.gpus > capacity.gpus) {
    asked.gpus = resources.gpus;
    there.gpus = capacity.gpus;
  } else if (resources.cpu_milli > capacity.cpu_milli) {
    asked.cpu_milli = resources.cpu_milli;
    there.cpu_milli = capacity.cpu_milli;
  } else if (resources.memory > capacity.memory) {
    asked.memory = resources.memory;
    there.memory = capacity.memory;
  } else {
    asked.slots = resources.slots;
    there.slots = capacity.slots;
  }
  return "asks for " + to_words(asked) + ", this node has " + (there == kNothing ? "none" : to_words(there));
}

}  // namespace berth::queue
