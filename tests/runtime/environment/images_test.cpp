// Against a real engine and real registries.

#include "runtime/environment/images.hpp"

#include <doctest/doctest.h>

#include "images_site.hpp"

namespace environment = berth::environment;
namespace docker = berth::docker;
namespace gpu = berth::gpu;
namespace os = berth::os;
namespace async = berth::async;
using berth::Code;
using environment::DockerBuild;
using environment::Image;
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

Task<> expect_cancelled(Images& images, Spec spec, Waiting& waiting, int& cancelled) {
  try {
    co_await images.ensure(std::move(spec), ImageUse(), waiting);
  } catch (const berth::Cancelled&) {
    ++cancelled;
  }
}

environment::ImageSettings with_driver(environment::ImageSettings settings) {
  settings.machine = [] {
    gpu::Machine machine;
    machine.driver = gpu::Version{535, 54, 3};
    machine.cuda = gpu::Version{12, 2, 0};
    machine.cards = {{"NVIDIA H100 80GB HBM3", {9, 0, 0}, "nvidia"}};
    return machine;
  };
  settings.gpu_images = {{{12, 2, 0}, "node/cuda:12.2"}};
  return settings;
}

int count_of(const std::string& text, const std::string& words) {
  int count = 0;
  for (auto at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("an image is pulled once, and is there at once the next time, without a word to the registry") {
  const auto* real = docker::test::real_engine();
  if (real == nullptr) return;
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
    co_await images.remove(entries[0].digest);
    CHECK((co_await images.list()).empty());
    CHECK(!real->engine().find_image(site.name_of("plain", "layers:1")));
    CHECK(!real->engine().find_image(json::parse(entries[0].lock).at("image")));
  });
}

TEST_CASE("ten who want the same image at the same time share one pull, and see its output") {
  const auto* real = docker::test::real_engine();
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
  if (real == nullptr) return;
  Site site(*real);
  with_images(site.settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto result =
        co_await async::attempt(images.ensure(site.spec("dying", "layers:1"), ImageUse(), waiting));
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
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
  const auto begin = std::chrono::steady_clock::now();
  with_images(site.settings, [&](Images& images) -> Task<> {
    async::Nursery jobs(co_await async::this_coro::executor, nullptr);
    int cancelled = 0;
    jobs.spawn(expect_cancelled(images, site.spec("dying", "layers:1"), waiting, cancelled));
    co_await async::with_cleanup(until("it has begun", [&] { return begun(waiting); }), jobs.stop_and_join());
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

TEST_CASE("what a killed agent had begun to pull is found by the next one") {
  const auto* real = docker::test::real_engine();
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
  if (real == nullptr) return;
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
    CHECK(environment::images_below(above->canonical) == std::set<std::string>{below->image});
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

    // For the disk governor: all that can go goes, in the order given, and what stays says why.
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
  if (real == nullptr) return;
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
