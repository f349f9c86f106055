#include "agent/cli/verbs/verbs.hpp"

#include <algorithm>
#include <array>

namespace berth::cli {
namespace {

constexpr std::array<Verb, 21> kVerbs{{
    {"run", "submit a job, follow its log, exit with its code", verb::run},
    {"submit", "submit a job and print its id", verb::submit},
    {"ps", "list jobs", verb::ps},
    {"show", "show everything that is known about a job", verb::show},
    {"logs", "print a job's log, or follow it", verb::logs},
    {"events", "print what happens to jobs, or follow it", verb::events},
    {"wait", "wait until jobs have ended, exit with their code", verb::wait},
    {"cancel", "stop jobs", verb::cancel},
    {"retry", "run ended jobs again", verb::retry},
    {"hold", "keep waiting jobs from starting", verb::hold},
    {"release", "let held jobs start", verb::release},
    {"priority", "change a waiting job's priority", verb::priority},
    {"download", "fetch a job's outputs, code or diff", verb::download},
    {"env", "look after environments: list, build, lock, remove", verb::env},
    {"gpu", "look after GPUs: list, take out of use, take back", verb::gpu},
    {"top", "watch the node live: jobs, CPU, memory, logs", verb::top},
    {"status", "show the node: queue, resources, disk, health", verb::status},
    {"doctor", "check what this node needs, and say what to do", verb::doctor},
    {"drain", "start no more jobs on this node", verb::drain},
    {"resume", "start jobs again", verb::resume},
    {"gc", "give disk space back", verb::gc},
}};

constexpr std::array<Verb, 2> kVerbsForPrograms{{
    {"__complete", "", verb::complete},
    {"__describe", "", verb::describe},
}};

const Verb* find_in(std::span<const Verb> verbs, std::string_view name) {
  const auto found = std::find_if(verbs.begin(), verbs.end(), [&](const Verb& verb) { return verb.name == name; });
  return found == verbs.end() ? nullptr : &*found;
}

}  // namespace

std::span<const Verb> verbs() { return kVerbs; }

const Verb* find_verb(std::string_view name) {
  const auto* listed = find_in(kVerbs, name);
  return listed != nullptr ? listed : find_in(kVerbsForPrograms, name);
}

Description describe(const Verb& verb) {
  Description description;
  Common common;
  common.description = &description;
  verb.run({}, common);
  return description;
}

}  // namespace berth::cli
