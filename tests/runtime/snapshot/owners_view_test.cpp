#include <doctest/doctest.h>

#include <set>

#include "runtime/objects/compression.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/recipe.hpp"
#include "tests/runtime/snapshot/forger.hpp"
#include "tests/runtime/snapshot/large_file.hpp"
#include "tests/runtime/snapshot/trees.hpp"

using namespace berth;
using namespace berth::snapshot;

namespace {

struct View : OwnersView {
  std::set<Digest> snapshots;
  bool may_use(const Digest& snapshot) const override { return snapshots.contains(snapshot); }
};

// A store with a snapshot that is the victim's: a small file, and a large one of two chunks.
struct Shared : LargeFile {
  os::TempDir directory;
  objects::Store store{directory.path()};
  View attacker;
  std::string secret = "pin: 4711";
  Manifest victims;

  Shared() {
    ManifestBuilder builder;
    add_to(builder);
    builder.file("secret", false, secret.size(), objects::sha256(secret));
    victims = builder.finish();
    View victim;
    take(victim, whole(victims));
  }

  std::string whole(const Manifest& manifest) const {
    const auto bytes = recipe.bytes();
    return Forger()
        .manifest(manifest)
        .frame({bytes.size()}, 0, bytes)
        .frame({600'000, 600'000}, 0, chunks[0] + chunks[1])
        .frame({secret.size()}, 0, secret)
        .end(4)
        .pack;
  }

  Received take(const OwnersView& view, std::string_view pack, const ReceiveLimits& limits = {}) {
    MemorySource source(pack);
    return receive_pack(store, view, source, limits);
  }

  // In the attacker's eyes; "" where it is taken.
  std::string answer(const std::string& pack) {
    try {
      take(attacker, pack);
      return "";
    } catch (const Error& error) {
      return std::string(name(error.code())) + ": " + error.describe();
    }
  }
};

std::string without(std::string text, const Digest& digest) {
  const auto brief = digest.brief();
  if (const auto at = text.find(brief); at != std::string::npos) text.replace(at, brief.size(), "DIGEST");
  return text;
}

Manifest large_file(const Recipe& recipe) {
  ManifestBuilder builder;
  builder.file("f", false, recipe.file_size(), objects::sha256(recipe.bytes()));
  return builder.finish();
}

}  // namespace

TEST_CASE_FIXTURE(Shared, "a base of another owner's is answered as one that is nowhere") {
  const auto nowhere = objects::sha256("nothing has this digest");
  const auto mine = one_file("mine");
  const auto with_base = [&](const Digest& base) {
    return Forger().manifest(mine, {base}).frame({4}, 0, "mine").end(1).pack;
  };
  const auto of_victim = answer(with_base(victims.id()));
  CHECK(of_victim.find("is not here") != std::string::npos);
  CHECK(without(of_victim, victims.id()) == without(answer(with_base(nowhere)), nowhere));
  CHECK_FALSE(store.has(mine.id()));
  // As the last of several, and as its own base: the manifest copied by a delta.
  take(attacker, Forger().manifest(mine).frame({4}, 0, "mine").end(1).pack);
  attacker.snapshots.insert(mine.id());
  const auto second = Forger().manifest(mine, {mine.id(), victims.id()}).end(0).pack;
  CHECK(without(answer(second), victims.id()) == without(of_victim, victims.id()));
}

TEST_CASE_FIXTURE(Shared, "a manifest that names what was never sent is incomplete, whoever has it") {
  const auto guess = [&](const std::string& content, std::initializer_list<Digest> bases = {}) {
    return without(answer(Forger().manifest(one_file(content), bases).end(0).pack), objects::sha256(content));
  };
  CHECK(guess(secret).find("incomplete") != std::string::npos);
  CHECK(guess(secret) == guess("pin: 4712"));
  // A base of his own lends nothing that it does not name.
  take(attacker, Forger().manifest(one_file("mine")).frame({4}, 0, "mine").end(1).pack);
  const auto own = one_file("mine").id();
  attacker.snapshots.insert(own);
  CHECK(guess(secret, {own}) == guess("pin: 4712", {own}));
  // Nor does sending what is no part of the snapshot tell whether it is here.
  const auto beside = [&](const std::string& content) {
    auto pack = Forger().manifest(one_file("mine"));
    pack.frame({4}, 0, "mine").frame({content.size()}, 0, content).end(2);
    return without(answer(pack.pack), objects::sha256(content));
  };
  CHECK(beside(secret) == beside("pin: 4712"));
  CHECK(beside(secret).find("no part of the snapshot") != std::string::npos);
}

TEST_CASE_FIXTURE(Shared, "a recipe gives no chunk that the sender did not send") {
  const auto bytes = recipe.bytes();
  const auto only_recipe = Forger().manifest(large_file(recipe)).frame({bytes.size()}, 0, bytes).end(1).pack;
  CHECK(answer(only_recipe).find("incomplete") != std::string::npos);
  CHECK(answer(Forger().manifest(large_file(recipe)).end(0).pack).find("incomplete") != std::string::npos);
  // One chunk of his own, one of the victim's; and a small file of the victim's as a chunk.
  for (const auto& [digest, size] : {std::pair(objects::sha256(chunks[1]), 600'000U),
                                     std::pair(objects::sha256(secret), static_cast<std::uint32_t>(secret.size()))}) {
    const auto own = objects::random_bytes(1'100'000, 3);
    Recipe mixed;
    mixed.add(objects::sha256(own), 1'100'000);
    mixed.add(digest, size);
    const auto mixed_bytes = mixed.bytes();
    auto pack = Forger().manifest(large_file(mixed));
    pack.frame({mixed_bytes.size()}, 0, mixed_bytes).frame({own.size()}, 0, own).end(2);
    CHECK(answer(pack.pack).find("incomplete") != std::string::npos);
  }
  // The recipe as a small file of his base is his, and gives no more.
  ManifestBuilder builder;
  builder.file("r", false, bytes.size(), objects::sha256(bytes));
  const auto as_small = builder.finish();
  take(attacker, Forger().manifest(as_small).frame({bytes.size()}, 0, bytes).end(1).pack);
  attacker.snapshots.insert(as_small.id());
  CHECK(answer(Forger().manifest(large_file(recipe), {as_small.id()}).end(0).pack).find("incomplete") !=
        std::string::npos);
}

TEST_CASE_FIXTURE(Shared, "what he sends he has: as new, whoever had it before") {
  const auto containers = store.usage();
  const auto received = take(attacker, whole(victims));
  CHECK(received.objects == 4);
  CHECK(received.raw_bytes == secret.size() + 1'200'000 + recipe.bytes().size());
  CHECK(store.usage().stored_bytes == 2 * containers.stored_bytes);
  // Once it is his, it is not stored again.
  attacker.snapshots.insert(victims.id());
  CHECK(take(attacker, whole(victims)).objects == 4);
  CHECK(store.usage().stored_bytes == 2 * containers.stored_bytes);
  // A sweep makes one of the two, but for what is small.
  sweep(
      store, [&] { return std::vector{victims.id()}; }, objects::DryRun::no);
  CHECK(store.usage().stored_bytes < containers.stored_bytes + 100'000);
  CHECK(is_complete(store, victims.id()));
}

TEST_CASE_FIXTURE(Shared, "his own bases lend him what they name: files elsewhere, chunks, deltas, recipes") {
  take(attacker, whole(victims));
  attacker.snapshots.insert(victims.id());  // he sent it just now
  Recipe longer = recipe;
  const auto more = objects::random_bytes(700'000, 4);
  longer.add(objects::sha256(more), 700'000);
  const auto edited = secret + "!";
  const auto bytes = longer.bytes();
  ManifestBuilder builder;
  builder.file("edited", false, edited.size(), objects::sha256(edited));
  builder.file("longer", false, longer.file_size(), objects::sha256(bytes));
  builder.file("moved", false, secret.size(), objects::sha256(secret));
  builder.file("moved-large", false, recipe.file_size(), objects::sha256(recipe.bytes()));
  builder.file("recipe", false, recipe.bytes().size(), objects::sha256(recipe.bytes()));
  const auto next = builder.finish();
  objects::Compressor compressor;
  const auto delta = compressor.delta(edited, secret);
  auto pack = Forger().manifest(next, {victims.id()});
  pack.delta(0, 1, edited.size(), delta).frame({bytes.size()}, 0, bytes).frame({700'000}, 0, more).end(3);
  // The recipe's digest stands for a large file and for a small one: no honest tree has that.
  CHECK(answer(pack.pack).find("different sizes") != std::string::npos);

  ManifestBuilder honest;
  honest.file("edited", false, edited.size(), objects::sha256(edited));
  honest.file("longer", false, longer.file_size(), objects::sha256(bytes));
  honest.file("moved", false, secret.size(), objects::sha256(secret));
  honest.file("moved-large", false, recipe.file_size(), objects::sha256(recipe.bytes()));
  const auto good = honest.finish();
  pack = Forger().manifest(good, {victims.id()});
  pack.delta(0, 1, edited.size(), delta).frame({bytes.size()}, 0, bytes).frame({700'000}, 0, more).end(3);
  CHECK(answer(pack.pack).empty());
  CHECK(is_complete(store, good.id()));
  // A chunk that the base has may come all the same.
  pack = Forger().manifest(good, {victims.id()});
  pack.delta(0, 1, edited.size(), delta).frame({bytes.size()}, 0, bytes);
  pack.frame({700'000, 600'000}, 0, more + chunks[0]).end(4);
  CHECK(answer(pack.pack).empty());
}

TEST_CASE_FIXTURE(Shared, "a manifest that stands for a recipe is told before anything trusts it") {
  const auto manifest_bytes = std::string(victims.bytes());
  ManifestBuilder small;
  small.file("m", false, manifest_bytes.size(), victims.id());
  const auto own = small.finish();
  take(attacker, Forger().manifest(own).frame({manifest_bytes.size()}, 0, manifest_bytes).end(1).pack);
  attacker.snapshots.insert(own.id());
  ManifestBuilder builder;
  builder.file("large", false, 2'000'000, victims.id());
  CHECK(answer(Forger().manifest(builder.finish(), {own.id()}).end(0).pack).find("malformed") != std::string::npos);
}

TEST_CASE("a base that lost objects is no base, and the whole snapshot mends it") {
  const os::TempDir root;
  const os::TempDir node;
  objects::Store store(node.path());
  put(root.path(), "a", "1");
  const auto before = scan(root.path(), {});
  auto batch = store.begin();
  batch.add(before.manifest.id(), before.manifest.bytes());
  batch.commit(os::Durable::no);
  put(root.path(), "b", "2");
  const auto after = scan(root.path(), {});
  CHECK(code_of([&] { receive(store, pack_of(after, root.path(), {&before.manifest, 1})); }) == Code::not_found);
  receive(store, pack_of(after, root.path()));
  CHECK(is_complete(store, after.manifest.id()));
  CHECK(is_complete(store, before.manifest.id()));
}

TEST_CASE_FIXTURE(Shared, "who may store no more is refused before anything is published") {
  ReceiveLimits limits;
  std::uint64_t told = 0;
  limits.allow = [&](std::uint64_t bytes) {
    told = bytes;
    if (bytes > 700'000) throw Error(Code::no_space, "enough");
  };
  const auto before = store.usage().stored_bytes;
  CHECK(code_of([&] { take(attacker, whole(victims), limits); }) == Code::no_space);
  CHECK(store.usage().stored_bytes == before);
  CHECK(take(attacker, Forger().manifest(one_file("mine")).frame({4}, 0, "mine").end(1).pack, limits).raw_bytes == 4);
  CHECK(told == 4);
}
