#include "runtime/environment/host_provider.hpp"

#include <nlohmann/json.hpp>

#include "runtime/async/offload.hpp"
#include "runtime/base/json.hpp"

namespace berth::environment {
namespace {

// To be raised when what was built before is not to be taken any more: it is part of the identity where users are told
// apart.
constexpr int kIsolation = 1;

// Made for whom: what is of a user is of another identity for everybody.
Recipe made_for(Recipe recipe, const os::Identity& user, bool shared) {
  auto canonical = read_json(recipe.canonical);
  canonical["isolation"] = kIsolation;
  if (recipe.of_user || !shared) {
    recipe.owner = user.uid;
    canonical["owner"] = user.uid;
  }
  recipe.asker = user.uid;
  recipe.canonical = canonical.dump();
  return recipe;
}

}  // namespace

HostProvider::HostProvider(Builds& builds, HostOptions options, std::unique_ptr<Recipes> recipes)
    : builds_(builds), options_(std::move(options)), recipes_(std::move(recipes)) {}

async::Task<Leased> HostProvider::ensure(Spec spec, Context context, Waiting& waiting) {
  auto make = [&] { return recipe_of(spec, context); };
  auto recipe = co_await async::offload(builds_.pool(), make);
  co_return co_await builds_.ensure(std::move(recipe), waiting);
}

// On a thread.
Recipe HostProvider::recipe_of(const Spec& spec, const Context& context) {
  Recipe recipe;
  if (const auto* locked = std::get_if<Locked>(&spec)) {
    recipe = recipes_->recipe_of_lock(locked->lock);
  } else {
    const auto& files = std::get<FromFiles>(spec);
    if (context.gpus && options_.check_cuda) options_.check_cuda(recipes_->cuda(files));
    recipe = recipes_->recipe(files);
  }
  return context.identity ? made_for(std::move(recipe), *context.identity, options_.shared) : recipe;
}

}  // namespace berth::environment
