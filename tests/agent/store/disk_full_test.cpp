#include <fcntl.h>
#include <sys/mount.h>
#include <future>
#include <optional>

#include "runtime/db/writer.hpp"
#include "tests/agent/store/fixture.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::store;

namespace {

// A small file system of its own; nothing where this user may not mount one.
class SmallDisk {
 public:
  SmallDisk() { mounted_ = ::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=2m") == 0; }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (mounted_) ::umount2(directory_.path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::string operator/(std::string_view name) const { return directory_ / name; }

 private:
  os::TempDir directory_;
  bool mounted_ = false;
};

void fill(const std::string& path) {
  const auto file = os::open(path, O_WRONLY | O_CREAT, 0600);
  try {
    while (true) os::write_all(file, std::string(4096, 'x'));
  } catch (const Error& error) {
    REQUIRE(error.code() == Code::no_space);
  }
}

std::optional<Error> submit_one(db::Writer& writer, int number) {
  std::optional<Error> result;
  std::promise<void> done;
  const Random random = [number] { return static_cast<std::uint64_t>(number) * 2654435761U; };
  writer.write(
      db::Durable::yes,
      [&](db::Connection& db) {
        auto job = new_job(number);
        job.request.environment_variables["LARGE"] = std::string(100'000, 'x');
        submit(db, {job}, at(0), random);
      },
      [&](std::exception_ptr failure) {
        if (failure) result = error_from(failure);
        done.set_value();
      });
  done.get_future().wait();
  return result;
}

}  // namespace

TEST_CASE("on a full disk a submission is refused, nothing is half written, and work goes on with room again") {
  const SmallDisk disk;
  SKIP_UNLESS(disk.mounted(), "the right to mount a tmpfs");
  const auto path = disk / "agent.db";
  {
    auto connection = db::Connection::open(path);
    prepare_schema(connection);
    db::Writer writer(std::move(connection));
    REQUIRE_FALSE(submit_one(writer, 1));
    fill(disk / "filler");
    const auto refused = submit_one(writer, 2);
    REQUIRE(refused);
    CHECK(refused->code() == Code::no_space);
    CHECK_FALSE(refused->hint().empty());
    auto reader = db::Connection::open(path, {.access = db::Access::read_only});
    CHECK(live(reader).size() == 1);
    os::remove_file(disk / "filler");
    CHECK_FALSE(submit_one(writer, 2));
    CHECK(live(reader).size() == 2);
  }
  auto db = db::Connection::open(path);
  CHECK_FALSE(db.damage());
}
