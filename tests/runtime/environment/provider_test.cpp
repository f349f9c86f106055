#include "runtime/environment/provider.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "build_site.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/environment.hpp"
#include "runtime/environment/host_provider.hpp"
#include "runtime/environment/user_managed.hpp"

namespace environment = berth::environment;
namespace gpu = berth::gpu;
namespace os = berth::os;
namespace async = berth::async;
using namespace berth::environment::test;
using berth::Code;
using berth::Error;
using environment::Context;
using environment::FromFiles;
using environment::Recipe;
using environment::Spec;
using environment::Waiting;

namespace {

// All that a new kind is: environments of words, one a line, of which each becomes a command that prints it.
class Words : public environment::Recipes {
 public:
  std::string kind() const override { return "words"; }
  Recipe recipe(const FromFiles& spec) override { return recipe_of(spec.files.at(spec.file)); }
  Recipe recipe_of_lock(const std::string& lock) override {
    return recipe_of(berth::read_json(lock).at("text").get<std::string>());
  }
  std::vector<gpu::CudaRequirement> cuda(const FromFiles& spec) const override {
    if (spec.files.at(spec.file).find("cuda") == std::string::npos) return {};
    return {{.by = "the word cuda", .least = gpu::Version{99, 0, 0}, .most = {}, .requirements = {}}};
  }

 private:
  Recipe recipe_of(const std::string& text) const {
    Recipe recipe;
    recipe.kind = kind();
    recipe.canonical = nlohmann::json{{"kind", kind()}, {"text", text}}.dump();
    recipe.words = "environment of words";
    recipe.files["words"] = text;
    recipe.files["lock.json"] = nlohmann::json{{"kind", kind()}, {"text", text}}.dump();
    recipe.script = R"sh(
mkdir -p "$PREFIX/bin"
ln -s /bin/sh "$PREFIX/bin/python"
while read -r word; do
  printf '#!/bin/sh\necho %s\n' "$word" > "$PREFIX/bin/$word"
  chmod 755 "$PREFIX/bin/$word"
done < words
printf '{"interpreter":"%s/bin/python","path_prefix":"%s/bin","variables":{},"python_version":"",' \
  "$PREFIX" "$PREFIX" > result.part
printf '"packages":[],"lock":%s}' "$(cat lock.json)" >> result.part
mv result.part result.json
)sh";
    return recipe;
  }
};

// That the build user may pass through.
struct Place {
  Place() { ::chmod(scratch.path().c_str(), 0755); }
  os::TempDir scratch;
};

FromFiles words(const std::string& text) { return {"words", "", "list.txt", {{"list.txt", text}}}; }

environment::Environments node_with_words(Agent& agent, environment::HostOptions options = {}) {
  environment::Providers providers;
  providers.add(std::make_unique<environment::MachineProvider>());
  providers.add(
      std::make_unique<environment::HostProvider>(agent.builds, std::move(options), std::make_unique<Words>()));
  return {std::move(providers), {&agent.builds}};
}

// Not a default argument for the context: g++ 12 frees an aggregate that is made inside a co_await expression twice.
Task<environment::Leased> made(environment::Environments& environments, Spec spec, Context context) {
  Waiting waiting;
  auto leased = co_await environments.ensure(std::move(spec), std::move(context), waiting);
  co_return leased;
}

Task<environment::Leased> made(environment::Environments& environments, Spec spec) {
  Context context;
  auto leased = co_await made(environments, std::move(spec), std::move(context));
  co_return leased;
}

}  // namespace

TEST_CASE("a kind of environment is its recipes and their registration: it is built, locked, listed and removed") {
  const Place place;
  with_agent(settings_in(place.scratch / "environments"), [&](Agent& agent) -> Task<> {
    auto environments = node_with_words(agent);
    const auto both = words("hello\nworld\n");
    auto first = co_await made(environments, both);
    CHECK(os::read_file(first.ready.path_prefix + "/world") == "#!/bin/sh\necho world\n");
    CHECK(berth::read_json(first.ready.record).at("kind") == "words");

    const environment::Locked lock{first.ready.lock};
    const auto again = co_await made(environments, lock);
    CHECK(again.ready.digest == first.ready.digest);

    const auto digest = first.ready.digest;
    const auto listed = co_await environments.list();
    REQUIRE(listed.size() == 1);
    CHECK(listed[0].kind == "words");
    CHECK(listed[0].words == "environment of words");
    CHECK(listed[0].leased);
    const auto shown = co_await environments.show(digest);
    CHECK(berth::read_json(shown).at("lock").at("text") == "hello\nworld\n");
    const auto held = co_await environments.lease(digest);
    CHECK(held.has_value());
    const auto kept = co_await async::attempt(environments.remove(digest));
    REQUIRE(!kept);
    CHECK(kept.error().code() == Code::conflict);
  });
}

TEST_CASE("what no store has is not found; what nobody holds can be removed") {
  const Place place;
  with_agent(settings_in(place.scratch / "environments"), [&](Agent& agent) -> Task<> {
    auto environments = node_with_words(agent);
    const auto hello = words("hello\n");
    const auto digest = (co_await made(environments, hello)).ready.digest;
    co_await environments.remove(digest);
    const auto listed = co_await environments.list();
    CHECK(listed.empty());
    const auto leased = co_await environments.lease_present(digest);
    CHECK(!leased);
    const auto as_built = co_await environments.is_as_built(digest);
    CHECK(!as_built);
    const auto shown = co_await async::attempt(environments.show(digest));
    REQUIRE(!shown);
    CHECK(shown.error().code() == Code::not_found);
    const auto removed = co_await async::attempt(environments.remove(digest));
    REQUIRE(!removed);
    CHECK(removed.error().code() == Code::not_found);
  });
}

TEST_CASE("a kind's wishes of CUDA are held against the machine, for jobs that ask for GPUs alone") {
  const Place place;
  with_agent(settings_in(place.scratch / "environments"), [&](Agent& agent) -> Task<> {
    environment::HostOptions options;
    options.check_cuda = [](const std::vector<gpu::CudaRequirement>& wanted) {
      if (!wanted.empty()) throw Error(Code::unsupported, wanted.front().by + " wants too much");
    };
    auto environments = node_with_words(agent, options);
    Context with_gpus;
    with_gpus.gpus = true;
    auto making = made(environments, words("cuda\n"), with_gpus);
    const auto refused = co_await async::attempt(std::move(making));
    REQUIRE(!refused);
    CHECK(says(refused.error(), "the word cuda wants too much"));
    const auto cuda = words("cuda\n");
    const auto without = co_await made(environments, cuda);
    CHECK(without.lease);
  });
}

TEST_CASE("users who share nothing have one of their own each; those who share have the same") {
  const Place place;
  with_agent(settings_in(place.scratch / "environments"), [&](Agent& agent) -> Task<> {
    for (const bool shared : {true, false}) {
      environment::HostOptions options;
      options.shared = shared;
      auto environments = node_with_words(agent, options);
      Context root;
      root.identity = os::identity_of(0);
      Context nobody;
      nobody.identity = os::identity_of(65534);
      const auto hello = words("hello\n");
      const auto one = co_await made(environments, hello, root);
      const auto other = co_await made(environments, hello, nobody);
      CHECK((one.ready.digest == other.ready.digest) == shared);
    }
  });
}

TEST_CASE("no environment is ready at once; a kind that was not registered is told so by its name") {
  const Place place;
  with_agent(settings_in(place.scratch / "environments"), [&](Agent& agent) -> Task<> {
    auto environments = node_with_words(agent);
    const environment::None none;
    const auto ready = (co_await made(environments, none)).ready;
    CHECK(ready.interpreter.empty());
    CHECK(ready.path_prefix.empty());
    CHECK(ready.variables.empty());
    CHECK(ready.record == R"({"kind":"none"})");
    auto unknown = words("hello\n");
    unknown.kind = "sentences";
    auto making = made(environments, unknown);
    const auto refused = co_await async::attempt(std::move(making));
    REQUIRE(!refused);
    CHECK(refused.error().code() == Code::unsupported);
    CHECK(says(refused.error(), "'sentences'"));
  });
}

TEST_CASE("a lock that says it is of what has no locks is refused, and is not taken for no environment") {
  const Place place;
  with_agent(settings_in(place.scratch / "environments"), [&](Agent& agent) -> Task<> {
    auto environments = node_with_words(agent);
    for (const auto* kind : {"none", "user-managed"}) {
      environment::Locked lock;
      lock.lock = std::string(R"({"kind":")") + kind + R"("})";
      auto making = made(environments, lock);
      const auto refused = co_await async::attempt(std::move(making));
      REQUIRE(!refused);
      CHECK(refused.error().code() == Code::unsupported);
      CHECK(says(refused.error(), "locks of kind"));
    }
  });
}
