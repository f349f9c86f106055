#include "runtime/async/watcher.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using async::Task;

namespace {

void write(const std::string& path) { os::write_file(path, "x", 0600, os::Durable::no); }

template <class Body>
void with_watcher(Body body) {
  const auto run = [](Body& test) -> Task<> {
    async::Watcher watcher(co_await async::this_coro::executor,
                           [](const std::exception_ptr&) { FAIL("a watcher failed"); });
    auto work = test(watcher);
    co_await async::with_cleanup(std::move(work), watcher.stop());
  };
  async::run(run(body));
}

}  // namespace

TEST_CASE("a change wakes everybody who watches the file, and nobody else") {
  const os::TempDir directory;
  os::make_directories(directory / "a");
  os::make_directories(directory / "b");
  with_watcher([&](async::Watcher& watcher) -> Task<> {
    const auto one = watcher.watch(directory / "a", IN_MOVED_TO);
    const auto two = watcher.watch(directory / "a", IN_MOVED_TO);
    const auto other = watcher.watch(directory / "b", IN_MOVED_TO);
    write(directory / "a/file");
    co_await one->changed();
    co_await two->changed();
    write(directory / "b/file");
    co_await other->changed();
  });
}

TEST_CASE("what happened while nobody waited is remembered once") {
  const os::TempDir directory;
  os::make_directories(directory / "a");
  os::make_directories(directory / "b");
  with_watcher([&](async::Watcher& watcher) -> Task<> {
    const auto early = watcher.watch(directory / "a", IN_MOVED_TO);
    const auto late = watcher.watch(directory / "b", IN_MOVED_TO);
    write(directory / "a/1");
    write(directory / "a/2");
    write(directory / "b/1");
    co_await late->changed();  // by now the changes in a have been read too
    co_await early->changed();
    write(directory / "a/3");
    co_await early->changed();
  });
}

TEST_CASE("a watch that ends does not disturb the others on the same file") {
  const os::TempDir directory;
  with_watcher([&](async::Watcher& watcher) -> Task<> {
    const auto stays = watcher.watch(directory.path(), IN_MOVED_TO);
    watcher.watch(directory.path(), IN_MOVED_TO).reset();
    write(directory / "file");
    co_await stays->changed();
  });
}

TEST_CASE("removing a watched file wakes its watchers") {
  const os::TempDir directory;
  write(directory / "file");
  with_watcher([&](async::Watcher& watcher) -> Task<> {
    const auto watch = watcher.watch(directory / "file", IN_MODIFY);
    ::unlink((directory / "file").c_str());
    co_await watch->changed();
  });
}

TEST_CASE("a file's appearance is told when it comes, and at once where it is there") {
  const os::TempDir directory;
  with_watcher([&](async::Watcher& watcher) -> Task<> {
    async::Nursery others(co_await async::this_coro::executor, [](const std::exception_ptr&) { FAIL("it failed"); });
    bool told = false;
    others.spawn([&]() -> Task<> {
      co_await watcher.appearance(directory / "wanted");
      told = true;
    });
    write(directory / "other");
    co_await async::sleep_for(std::chrono::milliseconds(20));  // that nothing is told has no other sign
    CHECK(!told);
    write(directory / "wanted");
    co_await watcher.appearance(directory / "wanted");
    co_await others.join();
    CHECK(told);
  });
}

// In a process of its own, whose user may have no watches: the limit is a user namespace's own.
TEST_CASE("where no watch can be had a change is seen all the same, and it is told that one is missing") {
  const os::TempDir directory;
  os::make_directories(directory / "a");
  const pid_t child = ::fork();
  if (child == 0) {
    const auto user = std::to_string(::getuid());
    if (::unshare(CLONE_NEWUSER) != 0) ::_exit(77);
    try {
      const auto put = [](const char* path, const std::string& text) {
        const auto file = os::open(path, O_WRONLY);
        if (::write(file.get(), text.data(), text.size()) < 0) ::_exit(77);
      };
      put("/proc/self/setgroups", "deny");
      put("/proc/self/uid_map", "0 " + user + " 1");
      put("/proc/sys/user/max_inotify_watches", "0");
    } catch (const Error&) {
      ::_exit(77);
    }
    bool told = false;
    with_watcher([&](async::Watcher& watcher) -> Task<> {
      const auto watch = watcher.watch(directory / "a", IN_MOVED_TO);
      told = watcher.polled() == 1 && !watcher.why_polled().empty();
      write(directory / "a/file");
      co_await watch->changed();
      co_await watcher.appearance(directory / "a/file");
    });
    ::_exit(told ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  SKIP_UNLESS(!WIFEXITED(status) || WEXITSTATUS(status) != 77, "user namespaces");
  CHECK(status == 0);
}
