#pragma once

// A kind of environment that is built on this machine, as its recipes say.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/environment/builds.hpp"
#include "runtime/environment/provider.hpp"
#include "runtime/environment/recipe.hpp"
#include "runtime/gpu/wanted.hpp"

namespace berth::environment {

// What is the same for all kinds of a node.
struct HostOptions {
  // Where users are told apart, what nobody's own is part of is made once for all of them; if not, each has his own.
  bool shared = true;
  // Throws where what a spec wants of CUDA cannot run on this machine's GPUs; for jobs that ask for some. Called on
  // threads.
  std::function<void(const std::vector<gpu::CudaRequirement>&)> check_cuda;
};

class HostProvider : public Provider {
 public:
  // `builds` outlives it.
  HostProvider(Builds& builds, HostOptions options, std::unique_ptr<Recipes> recipes);

  std::string kind() const override { return recipes_->kind(); }
  async::Task<Leased> ensure(Spec spec, Context context, Waiting& waiting) override;

 private:
  Recipe recipe_of(const Spec& spec, const Context& context);

  Builds& builds_;
  HostOptions options_;
  std::unique_ptr<Recipes> recipes_;
};

}  // namespace berth::environment
