#pragma once

// Recipes for conda environments (recipe.hpp): the tool solves and installs, the new environment's own pip
// adds the pip part, activation is captured once, and what came of it is written down. Pure.

#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "runtime/environment/conda_tool.hpp"
#include "runtime/environment/python.hpp"
#include "runtime/environment/recipe.hpp"
#include "runtime/environment/spec.hpp"

namespace berth::environment {

inline constexpr const char* kCondaKind = "conda";

// Code::invalid as parse_conda (conda_spec.hpp). `python` is added where the file does not ask for it, as is
// `pip` where there is something for it.
//
// Beyond recipe.hpp: "path_prefix" has every directory that activation puts on PATH, the environment's own
// first, with colons between; "lock" is what locked_conda_recipe reads:
//   {"kind": "conda", "platform": "linux-64", "explicit": ["url#md5", …], "pip": ["a==1", …],
//    "pip_options": ["--extra-index-url=…"], "variables": {"A": "1"}}
// "packages" are conda's and pip's. No credentials are in any of it.
Recipe conda_recipe(const Conda& conda, const CondaTool& tool, const NodeConda& node);

// Exactly what an earlier build came to: its packages by URL and digest, pip's without looking for
// dependencies. Code::invalid for what is no such lock; Code::unsupported for one of another platform.
Recipe locked_conda_recipe(const std::string& lock, const CondaTool& tool, const NodeConda& node);

// What of CUDA its packages want. Code::invalid as parse_conda.
std::vector<gpu::CudaRequirement> cuda_wanted(const Conda& conda);

// The same with the tool found on this machine: blocks while it is looked for, which is once, and again after
// it was changed or removed. Thread-safe.
class Condas : public Recipes {
 public:
  explicit Condas(NodeConda node) : node_(std::move(node)) {}
  std::string kind() const override { return kCondaKind; }
  Recipe recipe(const FromFiles& spec) override { return conda_recipe({spec.file, spec.files}, tool(), node_); }
  Recipe recipe_of_lock(const std::string& lock) override { return locked_conda_recipe(lock, tool(), node_); }
  std::vector<gpu::CudaRequirement> cuda(const FromFiles& spec) const override {
    return cuda_wanted({spec.file, spec.files});
  }

 private:
  CondaTool tool();

  const NodeConda node_;
  std::mutex mutex_;  // held while the tool is looked for, so that others wait for the answer
  std::optional<CondaTool> tool_;
  Stamp stamp_;  // of tool_'s file
};

}  // namespace berth::environment
