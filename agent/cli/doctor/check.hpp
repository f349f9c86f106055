#pragma once

// What `berth doctor` finds: one value per thing that a node needs, and how the values are told. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/output.hpp"

namespace berth::cli::doctor {

// ok: as it should be. note: nothing to do, or not to be told from here. warning: something works less well,
// or not at all, that a node may do without. problem: the node does not work, or will lose something.
enum class Level { ok, note, warning, problem };
std::string_view name(Level level);

struct Check {
  std::string name;  // stable: the key in JSON
  Level level = Level::ok;
  std::string what;
  std::string advice;                // what to do; may have several lines; "" where nothing is to be done
  std::vector<std::string> details;  // for --verbose
};

// One line per check, what to do below it.
std::string checks_page(const std::vector<Check>& checks, bool verbose, const Screen& screen);
// {"checks": [{"name", "level", "what", "advice", "details"}], "problems": N, "warnings": N}
std::string checks_json(const std::vector<Check>& checks);
bool has_problem(const std::vector<Check>& checks);

}  // namespace berth::cli::doctor
