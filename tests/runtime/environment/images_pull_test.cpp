// Images from real registries, by way of a real engine.

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
using environment::Leased;
using environment::Spec;
using environment::Waiting;
using namespace berth::environment::test;
using nlohmann::json;

namespace {

Task<> keep(Images& images, Spec spec, Waiting& waiting, std::vector<Leased>& made) {
  auto leased = co_await images.ensure(std::move(spec), ImageUse(), waiting);
  made.push_back(std::move(leased));
}

int count_of(const std::string& text, const std::string& words) {
  int count = 0;
  for (auto at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("an image is pulled once, and is there at once the next time, without a word to the registry") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto leased = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), waiting);
    const auto here = real->engine().image(site.name_of("plain", "layers:1"));
    CHECK(leased.ready.image == here.id);
    CHECK(leased.lease);
    const auto record = json::parse(leased.ready.record);
    CHECK(record.at("kind") == "image");
    CHECK(record.at("reference") == site.name_of("plain", "layers:1"));
    CHECK(record.at("id") == here.id);
    CHECK(record.at("cuda") == "12.4.1");
    CHECK(record.at("size") == here.size.bytes());
    const auto lock = json::parse(leased.ready.lock);
    CHECK(lock.at("kind") == "image");
    CHECK(lock.at("image") == real->image("plain", "layers").name() + "@" + real->digests.at("amd64"));
    REQUIRE(waiting.build());
    CHECK(waiting.build()->words.find("image ") == 0);
    const auto log = os::read_file(waiting.build()->log);
    CHECK(log.find("pulling ") == 0);
    CHECK(log.find("layers fetched") != std::string::npos);
    CHECK(os::exists(waiting.build()->log + ".index"));

    Waiting again;
    const auto begin = std::chrono::steady_clock::now();
    const auto second = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), again);
    const auto took = std::chrono::steady_clock::now() - begin;
    MESSAGE("second time: " << std::chrono::duration_cast<std::chrono::microseconds>(took).count() << " us");
    CHECK(second.ready.digest == leased.ready.digest);
    CHECK(!again.build());

    Waiting locked;
    const auto exact = co_await images.ensure(locked_spec(leased.ready.lock), ImageUse(), locked);
    CHECK(exact.ready.image == here.id);
    CHECK(!locked.build());

    auto entries = co_await images.list();
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].leased);
    CHECK(entries[0].bytes == here.size.bytes());
    CHECK(entries[0].log == waiting.build()->log);
    const auto removed = co_await async::attempt(images.remove(leased.ready.digest));
    REQUIRE(!removed);
    CHECK(removed.error().code() == Code::conflict);
  });
  // Nobody leases it any more.
  with_images(site.settings, [&](Images& images) -> Task<> {
    const auto entries = co_await images.list();
    REQUIRE(entries.size() == 1);
    CHECK(!entries[0].leased);
    const auto record = json::parse(co_await images.show(entries[0].digest));
    co_await images.remove(entries[0].digest);
    CHECK((co_await images.list()).empty());
    CHECK(!real->engine().find_image(site.name_of("plain", "layers:1")));
    CHECK(!real->engine().find_image(record.at("lock").at("image")));
  });
}

TEST_CASE("ten who want the same image at the same time share one pull, and see its output") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  with_images(site.settings, [&](Images& images) -> Task<> {
    async::Nursery jobs(co_await async::this_coro::executor, nullptr);
    std::vector<Waiting> waiting(10);
    std::vector<Leased> made;
    for (auto& one : waiting) jobs.spawn(keep(images, site.spec("plain", "layers:1"), one, made));
    co_await async::with_cleanup(until("all have it", [&] { return made.size() == 10; }), jobs.stop_and_join());
    std::set<std::string> logs;
    for (const auto& one : waiting)
      if (one.build()) logs.insert(one.build()->log);
    REQUIRE(logs.size() == 1);
    CHECK(count_of(os::read_file(*logs.begin()), "pulling ") == 1);
    CHECK(images.building().empty());
    CHECK((co_await images.list()).size() == 1);
  });
}

TEST_CASE("an image that Berth did not pull is used and left alone") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto leased = co_await images.ensure(image_spec("berth-test/base:1"), ImageUse(), waiting);
    CHECK(leased.ready.image == real->engine().image("berth-test/base:1").id);
    CHECK(!leased.lease);
    CHECK(json::parse(leased.ready.lock).at("image") == leased.ready.image);
    CHECK(!waiting.build());
    CHECK((co_await images.list()).empty());
    const auto removed = co_await async::attempt(images.remove(leased.ready.digest));
    REQUIRE(!removed);
    CHECK(removed.error().code() == Code::not_found);
    // Its other name comes from the registry; the image stays somebody else's.
    const auto pulled = co_await images.ensure(site.spec("plain", "base:1"), ImageUse(), waiting);
    CHECK(pulled.ready.image == leased.ready.image);
    CHECK((co_await images.list()).empty());
  });
}

TEST_CASE("why an image cannot be had is told") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  with_images(site.settings, [&](Images& images) -> Task<> {
    auto error = co_await failure(images, site.spec("plain", "layers:nosuch"));
    CHECK(error.code() == Code::not_found);
    CHECK(says(error, "layers:nosuch"));
    error = co_await failure(images, site.spec("basic", "layers:1"));
    CHECK(error.code() == Code::denied);
    CHECK(says(error, "credentials"));
    error = co_await failure(images, site.spec("plain", "layers:only-arm"));
    CHECK(error.code() == Code::unsupported);
    CHECK(says(error, "arm64"));
    error = co_await failure(images, site.spec("plain", "layers:arm64"));
    CHECK(error.code() == Code::unsupported);
    error = co_await failure(images, image_spec("No Such/Name"));
    CHECK(error.code() == Code::invalid);
    error = co_await failure(images, image_spec("gpu"));
    CHECK(error.code() == Code::unsupported);
    ImageUse use;
    use.credentials[real->registries.at("basic")] = real->credentials();
    Waiting waiting;
    const auto leased = co_await images.ensure(site.spec("basic", "layers:1"), use, waiting);
    CHECK(leased.lease);
  });
  auto settings = site.settings;
  settings.socket = site.scratch / "nothing.sock";
  with_images(settings, [&](Images& images) -> Task<> {
    const auto error = co_await failure(images, site.spec("plain", "layers:1"));
    CHECK(error.code() == Code::unavailable);
    CHECK(says(error, "docker.io"));
  });
  settings = site.settings;
  settings.pull = environment::PullPolicy::never;
  with_images(settings, [&](Images& images) -> Task<> {
    const auto error = co_await failure(images, site.spec("plain", "base:1"));
    CHECK(error.code() == Code::not_found);
  });
}

TEST_CASE("a registry that only the engine can reach is left to it") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  site.network.reset();
  ImageUse use;
  use.gpus = true;
  with_images(with_driver(site.settings), [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto leased = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), waiting);
    CHECK(leased.lease);
    REQUIRE(waiting.build());
    CHECK(os::read_file(waiting.build()->log).find("layers fetched") != std::string::npos);
    const auto entries = co_await images.list();
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].digest == leased.ready.digest);
    CHECK(entries[0].log == waiting.build()->log);
    auto error = co_await failure(images, site.spec("plain", "layers:nosuch"));
    CHECK(error.code() == Code::not_found);
    // Only then can be known which CUDA it has.
    error = co_await failure(images, site.spec("plain", "layers:multi"), use);
    CHECK(error.code() == Code::unsupported);
    CHECK(says(error, "550.54.14"));
  });
}

TEST_CASE("a registry is asked each time where the node wants that, and what is unchanged is not pulled again") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  site.settings.pull = environment::PullPolicy::always;
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto first = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), waiting);
    CHECK(waiting.build());
    Waiting again;
    const auto second = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), again);
    CHECK(second.ready.image == first.ready.image);
    CHECK(second.lease);
    CHECK(!again.build());
    // Another image has got the name: the registry decides.
    real->engine().tag("berth-test/base:1", real->image("plain", "layers:1"));
    const auto third = co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), again);
    CHECK(third.ready.image == first.ready.image);
    CHECK(again.build());
  });
}

TEST_CASE("a registry that dies in the middle of a pull leaves its log, and nothing else") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto result = co_await async::attempt(images.ensure(site.spec("dying", "layers:1"), ImageUse(), waiting));
    REQUIRE(!result);
    CHECK(result.error().code() == Code::unavailable);
    REQUIRE(waiting.build());
    CHECK(os::read_file(waiting.build()->log).find("pulling ") == 0);
    CHECK((co_await images.list()).empty());
    CHECK(!os::exists(os::join(site.settings.directory, waiting.build()->digest.hex())));
    // The same bytes from a registry that lives.
    Waiting again;
    CHECK((co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), again)).lease);
  });
}

TEST_CASE("an image for a newer driver is refused within a second and before any layer travels") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  with_images(with_driver(site.settings), [&](Images& images) -> Task<> {
    // The registry's image is of CUDA 12.4, by its configuration; 12.2 runs it by minor-version compatibility, but the
    // image itself refuses.
    ImageUse use;
    use.gpus = true;
    const auto begin = std::chrono::steady_clock::now();
    const auto error = co_await failure(images, site.spec("plain", "layers:1"), use);
    const auto took = std::chrono::steady_clock::now() - begin;
    CHECK(took < std::chrono::seconds(1));
    CHECK(error.code() == Code::unsupported);
    CHECK(says(error, "550.54.14"));
    CHECK(says(error, "node/cuda:12.2"));
    CHECK(!real->engine().find_image(site.name_of("plain", "layers:1")));
    CHECK(!os::exists(site.settings.directory + "/failed/" + std::string(64, '0')));
    // Without GPUs it runs; and then the one that is here is refused for GPUs.
    Waiting waiting;
    CHECK((co_await images.ensure(site.spec("plain", "layers:1"), ImageUse(), waiting)).lease);
    CHECK((co_await failure(images, site.spec("plain", "layers:1"), use)).code() == Code::unsupported);
  });
}

TEST_CASE("a pull that nobody waits for any more is stopped, and one whose agent ends is forgotten") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  // A registry that dies is tried again for some seconds.
  const auto begun = [](const Waiting& waiting) {
    return waiting.build() && os::exists(waiting.build()->log) && !os::read_file(waiting.build()->log).empty();
  };
  with_images(site.settings, [&](Images& images) -> Task<> {
    async::Nursery jobs(co_await async::this_coro::executor, nullptr);
    Waiting waiting;
    int cancelled = 0;
    jobs.spawn(expect_cancelled(images, site.spec("dying", "layers:1"), waiting, cancelled));
    const auto work = [&]() -> Task<> {
      co_await until("it has begun", [&] { return begun(waiting); });
      const auto begin = std::chrono::steady_clock::now();
      waiting.abandon();
      co_await until("nothing is pulled", [&] { return cancelled == 1 && images.building().empty(); });
      CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
    };
    co_await async::with_cleanup(work(), jobs.stop_and_join());
    CHECK((co_await images.list()).empty());
  });
  Waiting waiting;
  std::chrono::steady_clock::time_point begin;
  with_images(site.settings, [&](Images& images) -> Task<> {
    async::Nursery jobs(co_await async::this_coro::executor, nullptr);
    int cancelled = 0;
    jobs.spawn(expect_cancelled(images, site.spec("dying", "layers:1"), waiting, cancelled));
    const auto work = [&]() -> Task<> {
      co_await until("it has begun", [&] { return begun(waiting); });
      begin = std::chrono::steady_clock::now();
    };
    co_await async::with_cleanup(work(), jobs.stop_and_join());
  });
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
  const auto left = os::join(site.settings.directory, waiting.build()->digest.hex());
  CHECK(os::exists(left));
  with_images(site.settings, [&](Images& images) -> Task<> {
    co_await images.recover();
    CHECK(!os::exists(left));
    CHECK((co_await images.list()).empty());
  });
}
