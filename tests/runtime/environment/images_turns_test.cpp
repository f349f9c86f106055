// Users who want images at the same time, some of which never come to be.

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <list>

#include "images_site.hpp"
#include "tests/support/skip.hpp"

namespace environment = berth::environment;
namespace docker = berth::docker;
namespace os = berth::os;
namespace async = berth::async;
using environment::Images;
using environment::ImageUse;
using environment::Leased;
using environment::Spec;
using environment::Waiting;
using namespace berth::environment::test;

namespace {

constexpr uid_t kHog = 1001;
constexpr uid_t kOther = 1002;

// Those that a user waits for, until he abandons all of them.
class Wishes {
 public:
  Wishes(Images& images, async::Nursery& jobs, uid_t user) : images_(images), jobs_(jobs), user_(user) {}

  const Waiting& add(Spec spec) {
    auto& waiting = waiting_.emplace_back(user_);
    jobs_.spawn(wait(std::move(spec), waiting));
    return waiting;
  }
  std::ptrdiff_t running() const {
    return std::ranges::count_if(waiting_, [](const Waiting& one) { return one.build() && one.build()->running; });
  }
  std::size_t over() const { return over_; }
  bool all_over() const { return over_ == waiting_.size(); }
  void abandon() {
    for (auto& waiting : waiting_) waiting.abandon();
  }

 private:
  Task<> wait(Spec spec, Waiting& waiting) {
    ImageUse use;
    use.user = user_;
    try {
      co_await images_.ensure(std::move(spec), std::move(use), waiting);
    } catch (const berth::Cancelled&) {
    } catch (const berth::Error& error) {
      MESSAGE(error.describe());
    }
    ++over_;
  }

  Images& images_;
  async::Nursery& jobs_;
  uid_t user_;
  std::list<Waiting> waiting_;
  std::size_t over_ = 0;
};

Task<Leased> made(Images& images, Spec spec) {
  Waiting waiting(kOther);
  ImageUse use;
  use.user = kOther;
  co_return co_await images.ensure(std::move(spec), std::move(use), waiting);
}

// Lets programs connect, and says nothing.
class MuteServer {
 public:
  MuteServer() {
    REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address_), length_) == 0);
    REQUIRE(::listen(socket_.get(), 64) == 0);
    REQUIRE(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address_), &length_) == 0);
  }
  std::string name() const { return "127.0.0.1:" + std::to_string(ntohs(address_.sin_port)); }

 private:
  os::Fd socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address_{AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
  socklen_t length_ = sizeof address_;
};

}  // namespace

TEST_CASE("images of one user that never come to be keep no other user waiting") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  SUBCASE("one at a time") { site.settings.at_once = 1; }
  SUBCASE("two at a time") { site.settings.at_once = 2; }
  const auto places = static_cast<std::ptrdiff_t>(site.settings.at_once);
  const auto base = "FROM " + site.name_of("plain", "base:1") + "\n";
  with_images(site.settings, [&](Images& images) -> Task<> {
    async::Nursery jobs(co_await async::this_coro::executor, nullptr);
    Wishes hogs(images, jobs, kHog);
    const auto work = [&]() -> Task<> {
      for (int at = 0; at < 4; ++at) {
        const auto name = "hang" + std::to_string(at);
        hogs.add(site.context(name, base + "RUN echo " + name + "\nRUN sleep 1000\n"));
      }
      co_await until("as many run as may", [&] { return hogs.running() == places; });
      const auto& common = hogs.add(site.spec("plain", "layers:1"));  // and asks first for what the other wants
      co_await until("it waits", [&] { return common.build().has_value(); });
      CHECK(!common.build()->running);
      const auto pulled = co_await made(images, site.spec("plain", "layers:1"));
      CHECK(pulled.lease);
      auto build = site.context("quick", base + "RUN echo quick\n");
      const auto built = co_await made(images, std::move(build));
      CHECK(built.lease);
      co_await until("the hog has what the other had made", [&] { return hogs.over() == 1; });
      CHECK(hogs.running() == places);
      CHECK(images.building().size() == 4);
      hogs.abandon();
      co_await until("nothing is built", [&] { return hogs.all_over() && images.building().empty(); });
    };
    co_await async::with_cleanup(work(), jobs.stop_and_join());
  });
  site.remove_steps();
}

TEST_CASE("registries that never answer one user keep no other user waiting") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  const MuteServer mute;
  site.settings.insecure_registries = {mute.name()};
  with_images(site.settings, [&](Images& images) -> Task<> {
    async::Nursery jobs(co_await async::this_coro::executor, nullptr);
    Wishes hogs(images, jobs, kHog);
    const auto work = [&]() -> Task<> {
      for (int at = 0; at < 20; ++at) hogs.add(image_spec(mute.name() + "/some/image:" + std::to_string(at)));
      const auto pulled = co_await made(images, site.spec("plain", "layers:1"));
      CHECK(pulled.lease);
      CHECK(co_await images.lease_present(pulled.ready.digest));
      CHECK(hogs.over() == 0);
      hogs.abandon();
      co_await until("nobody waits", [&] { return hogs.all_over(); });
    };
    co_await async::with_cleanup(work(), jobs.stop_and_join());
  });
}
