// berth: the command line of a Berth node.

#include <exception>

#include "agent/cli/dispatch.hpp"
#include "agent/cli/explanation.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/standard_files.hpp"

int main(int argc, char** argv) {
  berth::os::open_standard_files();
  berth::cli::Common common;
  try {
    return berth::cli::dispatch(berth::cli::Arguments(argv + 1, argv + argc), common);
  } catch (...) {
    const auto failure = berth::error_from(std::current_exception());
    return berth::cli::report(
        berth::cli::explained(failure, common, berth::cli::this_installation(), berth::cli::doctor::Machine()), common);
  }
}
