#include "runtime/os/mount.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/os/in_child.hpp"
#include "tests/support/skip.hpp"

using namespace berth;

TEST_CASE("an overlay shows the lower layer, keeps it as it is, and nobody else sees the mount") {
  const os::TempDir directory;
  SKIP_UNLESS(os::overlay_works(directory.path()), "overlays");
  // Characters that mean something in the mount's options.
  const os::Overlay overlay{
      {directory / "top", directory / "lo,w:e\\r"}, directory / "upper", directory / "work", directory / "target"};
  for (const auto& path : {overlay.lower[0], overlay.lower[1], overlay.upper, overlay.work, overlay.target})
    os::make_directories(path);
  os::write_file(overlay.lower[1] + "/file", "lower", 0644, os::Durable::no);
  os::write_file(overlay.lower[1] + "/both", "hidden", 0644, os::Durable::no);
  os::write_file(overlay.lower[0] + "/both", "seen", 0644, os::Durable::no);
  CHECK(os::in_child([&] {
    os::enter_private_mounts();
    os::mount_overlay(overlay);
    const bool shown =
        os::read_file(overlay.target + "/file") == "lower" && os::read_file(overlay.target + "/both") == "seen";
    os::write_file(overlay.target + "/file", "changed", 0644, os::Durable::no);
    return shown;
  }));
  CHECK(os::read_file(overlay.lower[1] + "/file") == "lower");
  CHECK(os::read_file(overlay.upper + "/file") == "changed");
  CHECK(!os::exists(overlay.upper + "/both"));
  CHECK(!os::exists(overlay.target + "/file"));
}

TEST_CASE("a missing layer is an error that names the target") {
  const os::TempDir directory;
  CHECK_THROWS_AS(os::mount_overlay({{"/nowhere"}, "/nowhere", "/nowhere", directory.path()}), Error);
}

TEST_CASE("asking whether overlays work leaves nothing behind") {
  const os::TempDir directory;
  os::overlay_works(directory.path());
  CHECK(::rmdir(directory.path().c_str()) == 0);
}
