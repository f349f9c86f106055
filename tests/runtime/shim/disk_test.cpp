// A job that fills the disk still gets its ending.

#include <doctest/doctest.h>
#include <sys/mount.h>

#include "runtime/base/error.hpp"
#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

// A small disk, gone with this object.
class SmallDisk {
 public:
  explicit SmallDisk(const char* options) {
    if (::mount("tmpfs", where_.path().c_str(), "tmpfs", 0, options) < 0) throw_errno("mount", where_.path());
  }
  ~SmallDisk() { ::umount2(where_.path().c_str(), MNT_DETACH); }
  const std::string& path() const { return where_.path(); }

 private:
  os::TempDir where_;
};

}  // namespace

TEST_CASE("the ending is written on a disk without a free byte") {
  SKIP_UNLESS(is_root(), "root");
  const SmallDisk disk("size=1m");
  ShimJob job({}, disk.path());
  job.launch.command = {program("fill_disk"), job.scratch("filler")};
  const auto ended = job.run();
  CHECK(os::space_of(disk.path()).free < 16384);  // what the ending did not need of its reserve
  CHECK(std::get<os::Exit>(ended.outcome).status == 28);
  CHECK(ended.log_bytes == job.log().size());
}

TEST_CASE("a job is not started where its ending has no room, and that is told once there is some") {
  SKIP_UNLESS(is_root(), "root");
  const SmallDisk disk("size=1m");
  ShimJob job(shell("echo ran"), disk.path());
  os::make_directories(job.directory);
  os::write_file(job.scratch("filler"), std::string((1U << 20) - 16384, 'x'), 0600, os::Durable::no);
  job.start();
  wait_until("the shim has claimed it",
             [&] { return os::exists(job.file(kEndingReserve)) || os::exists(job.file(kEndingFile)); });
  os::remove_file(job.scratch("filler"));
  const auto ended = job.end();
  const auto& reason = std::get<NotStarted>(ended.outcome);
  CHECK(reason.reason.find("No space left on device") != std::string::npos);
}
