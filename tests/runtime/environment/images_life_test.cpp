// Images that are there: whose they are, what the next agent makes of them, and how they go.

#include <doctest/doctest.h>

#include "images_site.hpp"
#include "tests/support/skip.hpp"

namespace environment = berth::environment;
namespace docker = berth::docker;
namespace os = berth::os;
namespace async = berth::async;
using berth::Code;
using environment::Images;
using environment::ImageUse;
using environment::Waiting;
using namespace berth::environment::test;
using nlohmann::json;

TEST_CASE("what a killed agent had begun to pull is found by the next one") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  const auto reference = real->image("plain", "layers:1");
  const auto pinned = reference.name() + "@" + real->digests.at("amd64");
  const auto begun = os::join(site.settings.directory, std::string(64, 'a'));
  const auto absent = os::join(site.settings.directory, std::string(64, 'b'));
  for (const auto& directory : {begun, absent}) os::make_directories(directory + "/build");
  os::write_file(begun + "/build/log", "pulling\n", 0644, os::Durable::no);
  os::write_file(begun + "/pull.json", json{{"name", pinned}, {"reference", reference.text()}}.dump(), 0644,
                 os::Durable::no);
  real->engine().pull(docker::parse_reference(pinned), {}, [](std::string_view) {});
  with_images(site.settings, [&](Images& images) -> Task<> {
    co_await images.recover();
    const auto entries = co_await images.list();
    REQUIRE(entries.size() == 1);
    CHECK(os::read_file(entries[0].log) == "pulling\n");
    CHECK(!os::exists(begun));
    CHECK(!os::exists(absent));
    co_await images.remove(entries[0].digest);
    CHECK(!real->engine().find_image(pinned));
  });
}

TEST_CASE("an image that came with a job's own credentials is only for those whom its registry lets have it") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  bool everywhere = true;
  SUBCASE("where the registry is asked") {}
  SUBCASE("where only the engine reaches the registry") {
    site.network.reset();
    everywhere = false;
  }
  ImageUse own;
  own.credentials[real->registries.at("basic")] = real->credentials();
  ImageUse wrong;
  wrong.credentials[real->registries.at("basic")] = {"tester", "guessed", ""};
  const auto image = site.name_of("basic", "layers:1");
  const std::vector<ImageUse> strangers{ImageUse(), wrong};
  const auto pinned = real->image("basic", "layers").name() + "@" + real->digests.at("amd64");
  const auto context = site.context("upon", "FROM " + image + "\nCOPY data /data\n");
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto mine = co_await images.ensure(image_spec(image), own, waiting);
    CHECK(mine.lease);
    CHECK(json::parse(mine.ready.record).at("private") == json::array({pinned}));
    const auto built = co_await images.ensure(docker_build(context.context), own, waiting);
    CHECK(json::parse(built.ready.record).at("private") == json::array({pinned}));
    const auto tag = environment::environment_tag(built.ready.digest);
    const std::vector<std::string> names{image, pinned, mine.ready.image, built.ready.image, tag};
    for (const auto& use : strangers) {
      for (const auto& name : names) {
        const auto error = co_await failure(images, image_spec(name), use);
        CHECK_MESSAGE(error.code() == Code::denied, name << ": " << error.describe());
      }
      CHECK((co_await failure(images, locked_spec(built.ready.lock), use)).code() == Code::denied);
      CHECK((co_await failure(images, docker_build(context.context), use)).code() == Code::denied);
    }
    Waiting again;
    const auto once_more = co_await images.ensure(image_spec(mine.ready.image), own, again);
    CHECK(once_more.ready.digest == mine.ready.digest);
    const auto from_lock = co_await images.ensure(locked_spec(built.ready.lock), own, again);
    CHECK(from_lock.ready.image == built.ready.image);
    CHECK(!again.build());
  });
  // Not forgotten with the agent; and the node's own credentials are for everybody.
  with_images(site.settings, [&](Images& images) -> Task<> {
    co_await images.recover();
    const auto error = co_await failure(images, image_spec(image));
    CHECK(error.code() == Code::denied);
    CHECK(says(error, everywhere ? "which is here for others" : "credentials"));
  });
  auto settings = site.settings;
  settings.docker_config = site.scratch / "config.json";
  const auto entry = json{{"username", "tester"}, {"password", real->credentials().password}};
  os::write_file(settings.docker_config, json{{"auths", {{real->registries.at("basic"), entry}}}}.dump(), 0600,
                 os::Durable::no);
  with_images(settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto theirs = co_await images.ensure(image_spec(image), ImageUse(), waiting);
    CHECK(theirs.lease);
  });
}

TEST_CASE("an image that is open to all stays so when a job brings credentials for it") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  ImageUse own;
  own.credentials[real->registries.at("plain")] = real->credentials();
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), waiting);
    co_await images.ensure(site.spec("plain", "layers:1"), own, waiting);
    const auto leased = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), waiting);
    CHECK(!json::parse(leased.ready.record).contains("private"));
    // The administrator's own, too.
    const auto base = co_await images.ensure(site.spec("plain", "base:1"), own, waiting);
    CHECK(!base.lease);
    CHECK(!json::parse(base.ready.record).contains("private"));
  });
}

TEST_CASE("what somebody has removed from the engine is no longer leased, and is forgotten at the next start") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  berth::Digest digest;
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto leased = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), waiting);
    digest = leased.ready.digest;
    CHECK(co_await images.lease_present(digest));
    real->engine().remove_image(leased.ready.image, true);
    CHECK(co_await images.lease(digest));
    CHECK(!co_await images.lease_present(digest));
    Waiting again;
    const auto anew = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), again);
    CHECK(again.build());
    CHECK(anew.ready.digest == digest);
    CHECK(co_await images.lease_present(digest));
  });
  real->engine().remove_image(site.name_of("plain", "layers:1"), true);
  real->engine().remove_image(real->image("plain", "layers").name() + "@" + real->digests.at("amd64"), true);
  with_images(site.settings, [&](Images& images) -> Task<> {
    CHECK((co_await images.list()).size() == 1);
    co_await images.recover();
    CHECK((co_await images.list()).empty());
  });
}

TEST_CASE("what a container has, or another image is built upon, is not removed and keeps its names") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  const auto engine = real->engine();
  const auto name = site.name_of("plain", "layers:1");
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto above = site.context("above", "FROM " + name + "\nRUN echo above\n");
    // What a Dockerfile is built upon is pulled as an image of its own.
    const auto built = co_await images.ensure(above, ImageUse(), waiting);
    CHECK((co_await images.list()).size() == 2);
  });
  with_images(site.settings, [&](Images& images) -> Task<> {
    std::optional<environment::Entry> below;
    std::optional<environment::Entry> above;
    for (const auto& entry : co_await images.list()) (entry.kind == "image" ? below : above) = entry;
    REQUIRE(below);
    REQUIRE(above);
    CHECK(above->below == std::set<std::string>{below->image});
    auto removed = co_await async::attempt(images.remove(below->digest));
    REQUIRE(!removed);
    CHECK(removed.error().code() == Code::conflict);
    CHECK(says(removed.error(), "built upon it"));
    CHECK(engine.find_image(name));

    docker::ContainerSpec spec;
    spec.image = above->image;
    spec.name = "somebodys";
    const auto container = engine.create_container(spec);
    removed = co_await async::attempt(images.remove(above->digest));
    REQUIRE(!removed);
    CHECK(says(removed.error(), "somebodys"));
    CHECK(engine.find_image(environment::environment_tag(above->digest)));
    engine.remove_container(container);

    // For the disk manager: all that can go goes, in the order given, and what stays says why.
    Waiting waiting;
    const auto leased = co_await images.lease(above->digest);
    const std::vector<berth::Digest> both{above->digest, below->digest};
    auto stays = co_await images.evict(both, std::chrono::seconds(30));
    CHECK(stays.size() == 2);
    CHECK(stays.at(above->digest).find("in use") != std::string::npos);
  });
  with_images(site.settings, [&](Images& images) -> Task<> {
    CHECK(images.entries().size() == 2);
    CHECK(images.bytes() > 48U << 20);
    std::vector<berth::Digest> order;
    for (const auto& entry : images.entries())
      order.insert(entry.kind == "image" ? order.end() : order.begin(), entry.digest);
    const auto stays = co_await images.evict(order, std::chrono::seconds(30));
    CHECK(stays.empty());
    CHECK(images.entries().empty());
    CHECK(!engine.find_image(name));
  });
}

TEST_CASE("what a killed agent had begun to pull with a job's own credentials is private for the next one, too") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  const auto reference = real->image("basic", "layers:1");
  const auto pinned = reference.name() + "@" + real->digests.at("amd64");
  const auto begun = os::join(site.settings.directory, std::string(64, 'a'));
  os::make_directories(begun + "/build");
  os::write_file(begun + "/pull.json", json{{"name", pinned}, {"reference", reference.text()}, {"own", true}}.dump(),
                 0644, os::Durable::no);
  const auto quiet = [](std::string_view) {};
  real->engine().pull(docker::parse_reference(pinned), real->credentials(), quiet);
  with_images(site.settings, [&](Images& images) -> Task<> {
    co_await images.recover();
    CHECK((co_await images.list()).size() == 1);
    const auto error = co_await failure(images, image_spec(pinned));
    CHECK(error.code() == Code::denied);
  });
}
