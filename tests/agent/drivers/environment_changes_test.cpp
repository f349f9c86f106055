#include "agent/drivers/environment_changes.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "runtime/os/file.hpp"

using namespace berth;

namespace {

using Names = std::vector<std::string>;

// An environment, and a layer on it.
struct Layer {
  os::TempDir directory;
  std::string upper = directory / "upper";
  std::string lower = directory / "lower";

  Layer() {
    for (const auto* package : {"six-1.16.0.dist-info", "needed-1.0.dist-info"})
      put(lower, site(package) + "/METADATA");
    put(lower, "conda-meta/zlib-1.3-h4ab18f5_0.json");
    os::make_directories(upper);
  }
  static std::string site(const std::string& name) { return "lib/python3.11/site-packages/" + name; }
  static void put(const std::string& layer, const std::string& name) {
    os::make_directories(os::parent_of(os::join(layer, name)));
    os::write_file(os::join(layer, name), "x", 0644, os::Durable::no);
  }
  void remove(const std::string& name) const {
    os::make_directories(os::parent_of(os::join(upper, name)));
    REQUIRE(::mknod(os::join(upper, name).c_str(), S_IFCHR, ::makedev(0, 0)) == 0);
  }
  model::EnvironmentChanges look(const drivers::LookBounds& bounds = {}) const {
    return drivers::environment_changes(os::open(upper, O_RDONLY | O_DIRECTORY),
                                        os::open(lower, O_RDONLY | O_DIRECTORY), bounds);
  }
};

}  // namespace

TEST_CASE("a layer that nobody wrote to holds no changes, and neither does compiled Python") {
  const Layer layer;
  CHECK(layer.look() == model::EnvironmentChanges{});
  Layer::put(layer.upper, Layer::site("__pycache__/six.cpython-311.pyc"));
  Layer::put(layer.upper, Layer::site("old.pyc"));
  CHECK(layer.look() == model::EnvironmentChanges{});
}

TEST_CASE("packages that were added and removed are named, files are counted") {
  const Layer layer;
  Layer::put(layer.upper, Layer::site("idna-3.7.dist-info/METADATA"));
  Layer::put(layer.upper, Layer::site("idna/__init__.py"));
  Layer::put(layer.upper, "conda-meta/xz-5.2-0.json");
  layer.remove(Layer::site("six-1.16.0.dist-info"));
  layer.remove(Layer::site("six.py"));
  layer.remove("conda-meta/zlib-1.3-h4ab18f5_0.json");
  Layer::put(layer.upper, Layer::site("needed-1.0.dist-info/METADATA"));  // as it was, written again
  Layer::put(layer.upper, Layer::site("~eft-1.0.dist-info/METADATA"));    // pip's, of one that it is removing
  const auto changes = layer.look();
  CHECK(changes.added == Names{"idna-3.7", "xz-5.2-0"});
  CHECK(changes.removed == Names{"six-1.16.0", "zlib-1.3-h4ab18f5_0"});
  CHECK(changes.files == 8);
  CHECK(changes.unknown.empty());
}

TEST_CASE("a link in the layer leads nowhere, and names are made printable") {
  const Layer layer;
  const os::TempDir elsewhere;
  Layer::put(elsewhere.path(), "secret-1.0.dist-info/METADATA");
  REQUIRE(::symlink(elsewhere.path().c_str(), (layer.upper + "/lib").c_str()) == 0);
  Layer::put(layer.upper, "bad\033[31m-1.dist-info/METADATA");
  const auto changes = layer.look();
  CHECK(changes.files == 2);
  REQUIRE(changes.added.size() == 1);
  CHECK(changes.added.front().find('\033') == std::string::npos);
}

TEST_CASE("what cannot all be looked at is told") {
  const Layer layer;
  for (int i = 0; i < 10; ++i) Layer::put(layer.upper, "a" + std::to_string(i) + "-1.dist-info");
  CHECK(layer.look({.entries = 5}).unknown == "there are more than 5 files");
  const auto few = layer.look({.names = 3});
  CHECK(few.added.size() == 3);
  CHECK(few.files == 10);
  CHECK(few.unknown == "there are too many packages to name");
  Layer::put(layer.upper, "1/2/3/4/file");
  CHECK(layer.look({.depth = 2}).unknown == "its directories are nested too deeply");
}
