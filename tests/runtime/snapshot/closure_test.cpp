#include <doctest/doctest.h>

#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/closure.hpp"
#include "tests/runtime/snapshot/forger.hpp"
#include "tests/runtime/snapshot/large_file.hpp"
#include "tests/runtime/snapshot/trees.hpp"

using namespace berth;
using namespace berth::snapshot;

namespace {

struct Alone : LargeFile {
  Manifest manifest;

  Alone() {
    ManifestBuilder builder;
    add_to(builder);
    manifest = builder.finish();
  }
  std::string pack() const {
    const auto bytes = recipe.bytes();
    return Forger()
        .manifest(manifest)
        .frame({bytes.size()}, 0, bytes)
        .frame({600'000}, 0, chunks[0])
        .frame({600'000}, 0, chunks[1])
        .end(3)
        .pack;
  }
};

}  // namespace

TEST_CASE("a file that is, byte for byte, a recipe or a manifest of somebody else's lets nothing of his be swept") {
  const os::TempDir directory;
  objects::Store store(directory.path());
  const Alone file;
  receive(store, file.pack());
  const auto bytes = file.recipe.bytes();
  ManifestBuilder builder;
  builder.file("manifest", false, file.manifest.bytes().size(), file.manifest.id());
  builder.file("recipe", false, bytes.size(), objects::sha256(bytes));
  const auto alike = builder.finish();
  receive(store, Forger()
                     .manifest(alike)
                     .frame({file.manifest.bytes().size()}, 0, file.manifest.bytes())
                     .frame({bytes.size()}, 0, bytes)
                     .end(2)
                     .pack);
  const auto roots = [&] { return std::vector{alike.id(), file.manifest.id()}; };
  sweep(store, roots, objects::DryRun::no);
  CHECK(is_complete(store, file.manifest.id()));
  CHECK(is_complete(store, alike.id()));
}

TEST_CASE("what is pinned stays with all it needs, and what only claims to be a snapshot stops no sweep") {
  const os::TempDir directory;
  objects::Store store(directory.path());
  const Alone file;
  const auto received = receive(store, file.pack());  // and its pin, until the snapshot is on record
  const std::string other = "no manifest";
  auto batch = store.begin();
  batch.append(objects::sha256(other), other);
  batch.append(objects::sha256("gone"), "gone");
  batch.commit(os::Durable::no);
  const auto claimed = store.pin({objects::sha256(other), true});
  const auto nowhere = store.pin({objects::sha256("nowhere"), true});
  const auto nothing = [] { return std::vector<Digest>(); };
  CHECK(sweep(store, nothing, objects::DryRun::yes).objects_removed == 1);
  sweep(store, nothing, objects::DryRun::no);
  CHECK(is_complete(store, file.manifest.id()));
  CHECK(store.read(objects::sha256(other)) == other);
}

TEST_CASE("a pinned manifest that calls a file a recipe stops no sweep") {
  const os::TempDir directory;
  objects::Store store(directory.path());
  ManifestBuilder builder;
  builder.file("large", false, 1'200'000, objects::sha256("no recipe"));
  const auto forged = builder.finish();
  auto batch = store.begin();
  batch.append(objects::sha256("no recipe"), "no recipe");
  batch.append(forged.id(), forged.bytes());
  batch.commit(os::Durable::no);
  const auto pin = store.pin({forged.id(), true});
  sweep(
      store, [] { return std::vector<Digest>(); }, objects::DryRun::no);
  CHECK(store.has(forged.id()));
}
