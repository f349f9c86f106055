#pragma once

// The programs that a conda recipe puts into the build directory.

namespace berth::environment::conda {

// sh; runs the command that its arguments are in the environment $PREFIX, activated.
extern const char* const kActivate;

// Python 2.7 and newer, run by the new environment's own; needs $PREFIX.
// `describe.py exports` prints the packages' own variables (etc/conda/env_vars.d) for a shell.
// `describe.py result` makes result.json of conda-meta, what pip installed, and the files before, after (what `env -0`
// said without and with activation) and lock.json (what the lock says besides).
extern const char* const kDescribe;

// sh -eu; what the recipes of specs and of locks share, after `tool` and the function `create` are set.
extern const char* const kBuild;

}  // namespace berth::environment::conda
