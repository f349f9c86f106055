// Images that a real engine builds of Dockerfiles.

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

TEST_CASE("a build that nobody waits for any more is stopped") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
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
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
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
  // Labels and tags make nothing Berth's: anybody can write them. Without its record an image is somebody's.
  os::remove_tree(site.settings.directory);
  with_images(site.settings, [&](Images& images) -> Task<> {
    co_await images.recover();
    CHECK((co_await images.list()).empty());
    CHECK(real->engine().find_image(environment::environment_tag(digest)));
    Waiting waiting;
    const auto leased = co_await images.ensure(one, ImageUse(), waiting);
    CHECK(leased.ready.digest == digest);
    CHECK(leased.lease);
    CHECK(waiting.build());
    CHECK((co_await images.list()).size() == 1);
  });
  with_images(site.settings, [&](Images& images) -> Task<> {
    co_await images.remove(digest);
    CHECK(!real->engine().find_image(environment::environment_tag(digest)));
  });
}

TEST_CASE("a Dockerfile that fails tells which step did") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
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

TEST_CASE("what a killed agent had begun to build is found by the name that it had written down") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  berth::Digest digest;
  const auto one = site.context("one", "FROM berth-test/base:1\nCOPY data /data\n");
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    digest = (co_await images.ensure(one, ImageUse(), waiting)).ready.digest;
  });
  // As if it had died before the record was written.
  const auto engine = real->engine();
  const auto place = os::join(site.settings.directory, digest.hex());
  const auto image = engine.image(environment::environment_tag(digest));
  os::remove_tree(place);
  os::make_directories(place + "/build");
  const std::string name = "berth/env:" + std::string(32, '7');
  engine.tag(image.id, docker::parse_reference(name));
  os::write_file(place + "/pull.json",
                 json{{"name", name}, {"reference", ""}, {"own", false}, {"labels", image.labels}}.dump(), 0600,
                 os::Durable::no);
  with_images(site.settings, [&](Images& images) -> Task<> {
    co_await images.recover();
    const auto entries = co_await images.list();
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].digest == digest);
    CHECK(entries[0].image == image.id);
    CHECK(!engine.find_image(name));
  });
}

TEST_CASE("what one user of a shared node built is another user's by no name") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  ImageUse one;
  one.user = 1001;
  ImageUse other;
  other.user = 1002;
  ImageUse root;
  root.user = 0;
  const auto base = site.name_of("plain", "base:1");
  const auto context = site.context("owned", "FROM " + base + "\nCOPY data /data\nRUN echo of one\n");
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto mine = co_await images.ensure(docker_build(context.context), one, waiting);
    const auto tag = environment::environment_tag(mine.ready.digest);
    const auto parent = real->engine().image(mine.ready.image);
    for (const auto& name : {mine.ready.image, tag}) {
      CHECK((co_await failure(images, image_spec(name), other)).code() == Code::denied);
      const auto upon = site.context("upon", "FROM " + name + "\n");
      CHECK((co_await failure(images, docker_build(upon.context), other)).code() == Code::denied);
      const auto copy = site.context("copy", "FROM " + base + "\nCOPY --from=" + name + " /data /x\n");
      CHECK((co_await failure(images, docker_build(copy.context), other)).code() == Code::denied);
      const auto own = co_await images.ensure(image_spec(name), one, waiting);
      CHECK(own.ready.image == mine.ready.image);
      const auto of_root = co_await images.ensure(image_spec(name), root, waiting);
      CHECK(of_root.ready.image == mine.ready.image);
    }
    CHECK((co_await failure(images, locked_spec(mine.ready.lock), other)).code() == Code::denied);
    // The same files are another environment for him; what is here for all is for him, too.
    const auto his = co_await images.ensure(docker_build(context.context), other, waiting);
    CHECK(his.ready.digest != mine.ready.digest);
    const auto open = co_await images.ensure(image_spec("berth-test/base:1"), other, waiting);
    CHECK(!open.ready.image.empty());
    const auto local = site.context("local", "FROM berth-test/base:1\n");
    const auto error = co_await failure(images, docker_build(local.context), other);
    CHECK(error.code() == Code::denied);
    CHECK(says(error, "on this machine alone"));
  });
}

TEST_CASE("a private image is reached through a Dockerfile by no spelling") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  ImageUse own;
  own.user = 1001;
  own.credentials[real->registries.at("basic")] = real->credentials();
  ImageUse other;
  other.user = 1002;
  const auto secret = site.name_of("basic", "layers:1");
  const auto base = site.name_of("plain", "base:1");
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto mine = co_await images.ensure(image_spec(secret), own, waiting);
    const auto pinned = real->image("basic", "layers").name() + "@" + real->digests.at("amd64");
    const auto id = mine.ready.image;
    int number = 0;
    for (const auto& name :
         {secret, pinned, secret + "@" + real->digests.at("amd64"), id, id.substr(7), id.substr(7, 12)}) {
      const auto half = name.size() / 2;
      const std::vector<std::string> spellings{
          "FROM " + name + "\n",
          "\xef\xbb\xbf"
          "FROM " +
              name + "\n",
          "ARG A=" + name.substr(0, half) + "\nARG B=" + name.substr(half) + "\nFROM ${A}${B}\n",
          "FROM " + base + "\nCOPY --from=" + name + " /one /s\n",
          "FROM " + base + "\nCOPY --fr\\\nom=" + name + " /one /s\n",
          "FROM " + base + "\nCOPY --\\from=" + name + " /one /s\n",
          "# hello\n# escape=`\nFROM " + base + "\nENV X=`\nCOPY --from=" + name + " /one /s\n",
          "#escape=`\nFROM `\n" + name + "\n",
          "FROM " + base + " AS x\nFROM x\nCOPY --from=" + name + " /one /s\nRUN ls /s\n",
      };
      for (const auto& text : spellings) {
        const auto context = site.context("spelled" + std::to_string(++number), text);
        Waiting again;
        const auto result = co_await async::attempt(images.ensure(docker_build(context.context), other, again));
        CHECK_MESSAGE(!result, text);
      }
    }
    CHECK(real->engine().find_image(secret));
    // Who may have it builds upon it, however he spells it.
    const auto plain = site.context("plain", "FROM " + secret + "\n");
    CHECK((co_await images.ensure(docker_build(plain.context), own, waiting)).lease);
  });
  site.remove_steps();
}

TEST_CASE("a build that takes too long ends") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  site.settings.time_limit = std::chrono::milliseconds(1500);
  with_images(site.settings, [&](Images& images) -> Task<> {
    const auto error = co_await failure(images, site.context("hang", "FROM berth-test/base:1\nRUN sleep 1000\n"));
    CHECK(error.code() == Code::timeout);
    CHECK(says(error, "took longer than 1.5 seconds"));
  });
}
