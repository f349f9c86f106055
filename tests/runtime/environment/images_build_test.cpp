// Images that a real engine builds of Dockerfiles.

#include <doctest/doctest.h>

#include "images_site.hpp"

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

TEST_CASE("a build that nobody waits for any more is stopped") {
  const auto* real = docker::test::real_engine();
  if (real == nullptr) return;
  Site site(*real);
  with_images(site.settings, [&](Images& images) -> Task<> {
    async::Nursery jobs(co_await async::this_coro::executor, nullptr);
    const auto hang = site.context("hang", "FROM berth-test/base:1\nRUN echo begun\nRUN sleep 1000\n");
    Waiting first;
    Waiting second;
    int cancelled = 0;
    jobs.spawn(expect_cancelled(images, hang, first, cancelled));
    jobs.spawn(expect_cancelled(images, hang, second, cancelled));
    const auto work = [&]() -> Task<> {
      co_await until("it runs", [&] {
        return first.build() && second.build() && os::exists(first.build()->log) &&
               os::read_file(first.build()->log).find("sleep 1000") != std::string::npos;
      });
      first.abandon();
      co_await until("one is away", [&] { return cancelled == 1; });
      CHECK(images.building().size() == 1);
      const auto begin = std::chrono::steady_clock::now();
      second.abandon();
      co_await until("nothing is built", [&] { return cancelled == 2 && images.building().empty(); });
      CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    };
    co_await async::with_cleanup(work(), jobs.stop_and_join());
    CHECK((co_await images.list()).empty());
  });
}

TEST_CASE("an image is built of a Dockerfile, once for the same contents") {
  const auto* real = docker::test::real_engine();
  if (real == nullptr) return;
  Site site(*real);
  const std::string dockerfile = "FROM berth-test/base:1\nCOPY data /data\nRUN echo hello from the build\n";
  const auto one = site.context("one", dockerfile);
  const auto same = site.context("same", dockerfile);
  berth::Digest digest;
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto leased = co_await images.ensure(one, ImageUse(), waiting);
    digest = leased.ready.digest;
    const auto image = real->engine().image(environment::environment_tag(digest));
    CHECK(image.id == leased.ready.image);
    CHECK(image.labels.at(environment::kEnvironmentLabel) == digest.hex());
    CHECK(leased.lease);
    CHECK(json::parse(leased.ready.record).at("kind") == "image");
    REQUIRE(waiting.build());
    CHECK(os::read_file(waiting.build()->log).find("hello from the build") != std::string::npos);
    Waiting again;
    const auto second = co_await images.ensure(same, ImageUse(), again);
    CHECK(second.ready.image == leased.ready.image);
    CHECK(!again.build());
    os::write_file(same.context + "/data", "other data\n", 0644, os::Durable::no);
    const auto other = co_await images.ensure(same, ImageUse(), again);
    CHECK(other.ready.image != leased.ready.image);
    // What .dockerignore leaves out does not count.
    os::write_file(same.context + "/.dockerignore", "*.tmp\n", 0644, os::Durable::no);
    const auto ignoring = co_await images.ensure(same, ImageUse(), again);
    os::write_file(same.context + "/new.tmp", "x", 0644, os::Durable::no);
    const auto still = co_await images.ensure(same, ImageUse(), again);
    CHECK(still.ready.digest == ignoring.ready.digest);
    CHECK((co_await images.list()).size() == 3);
  });
  // Even when all records are lost, what was built is known, and Berth's.
  os::remove_tree(site.settings.directory);
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto leased = co_await images.ensure(one, ImageUse(), waiting);
    CHECK(leased.ready.digest == digest);
    CHECK(leased.lease);
    CHECK(!waiting.build());
    co_await images.recover();
    CHECK((co_await images.list()).size() == 3);
  });
  with_images(site.settings, [&](Images& images) -> Task<> {
    co_await images.remove(digest);
    CHECK(!real->engine().find_image(environment::environment_tag(digest)));
  });
}

TEST_CASE("a Dockerfile that fails tells which step did") {
  const auto* real = docker::test::real_engine();
  if (real == nullptr) return;
  Site site(*real);
  with_images(site.settings, [&](Images& images) -> Task<> {
    const auto failing = site.context("fails", "FROM berth-test/base:1\nRUN echo almost; exit 7\n");
    Waiting waiting;
    const auto result = co_await async::attempt(images.ensure(failing, ImageUse(), waiting));
    REQUIRE(!result);
    CHECK(result.error().code() == Code::invalid);
    CHECK(says(result.error(), "exit 7"));
    CHECK(says(result.error(), "code: 7"));
    REQUIRE(waiting.build());
    CHECK(os::read_file(waiting.build()->log).find("almost\n") != std::string::npos);
    CHECK((co_await images.list()).empty());
    auto error = co_await failure(images, site.context("syntax", "FROM berth-test/base:1\nFLY away\n"));
    CHECK(error.code() == Code::invalid);
    CHECK(says(error, "FLY"));
    error = co_await failure(images, site.context("base", "FROM " + site.name_of("plain", "nosuch:1") + "\n"));
    CHECK(error.code() == Code::not_found);
    error = co_await failure(images, docker_build(site.scratch / "absent"));
    CHECK(error.code() == Code::not_found);
    // A CUDA image that its Dockerfile builds upon, before anything is pulled.
  });
  with_images(with_driver(site.settings), [&](Images& images) -> Task<> {
    ImageUse use;
    use.gpus = true;
    const auto error =
        co_await failure(images, site.context("cuda", "FROM " + site.name_of("plain", "layers:1") + "\n"), use);
    CHECK(error.code() == Code::unsupported);
    CHECK(!real->engine().find_image(site.name_of("plain", "layers:1")));
  });
}

TEST_CASE("a build that takes too long ends") {
  const auto* real = docker::test::real_engine();
  if (real == nullptr) return;
  Site site(*real);
  site.settings.time_limit = std::chrono::milliseconds(1500);
  with_images(site.settings, [&](Images& images) -> Task<> {
    const auto error = co_await failure(images, site.context("hang", "FROM berth-test/base:1\nRUN sleep 1000\n"));
    CHECK(error.code() == Code::timeout);
    CHECK(says(error, "took longer than 1.5 seconds"));
  });
}
