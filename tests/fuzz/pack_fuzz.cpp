// A receiver that has one snapshot gets arbitrary packs. What it accepts must be complete, and what it
// refuses must leave the store as it was. So that the fuzzer gets past the digests, the first byte of the
// input chooses what is prepended: a sound header of a full pack, of a pack with a base, or nothing.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "runtime/base/error.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/pack.hpp"

namespace {

using namespace berth;
using namespace berth::snapshot;

Manifest manifest_of(const std::string& content) {
  ManifestBuilder builder;
  builder.file("a", false, content.size(), objects::sha256(content));
  builder.file("b", true, 1, objects::sha256("b"));
  return builder.finish();
}

struct Node {
  os::TempDir directory{"berth-fuzz"};
  objects::Store store{directory.path()};
  std::string base_content = std::string(500, 'x') + "base";
  std::string new_content = std::string(500, 'x') + "next";
  Manifest base = manifest_of(base_content);
  Manifest next = manifest_of(new_content);
  std::string full_header;
  std::string delta_header;

  Node() {
    auto batch = store.begin();
    for (const auto& content : {base_content, std::string("b"), std::string(base.bytes())})
      batch.add(objects::sha256(content), content);
    batch.commit(os::Durable::no);
    full_header = header({});
    delta_header = header({&base, 1});
  }

  // What comes before the first record: a pack without objects, less its end.
  std::string header(std::span<const Manifest> bases) {
    os::TempDir scratch{"berth-fuzz"};
    objects::Store other(scratch.path());
    auto batch = other.begin();
    batch.add(objects::sha256(new_content), new_content);
    batch.add(objects::sha256("b"), "b");
    batch.commit(os::Durable::no);
    StoreContent content(other);
    std::string pack;
    write_pack(next, bases, content, [&](std::string_view bytes) { pack += bytes; });
    return pack.substr(0, pack.rfind('F'));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Node node;
  if (size == 0) return 0;
  std::string pack = data[0] % 3 == 0 ? node.full_header : data[0] % 3 == 1 ? node.delta_header : std::string();
  pack.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  MemorySource source(pack);
  const auto before = node.store.usage().objects;
  try {
    const auto received = receive_pack(node.store, SoleOwnersView(), source);
    if (!is_complete(node.store, received.manifest.id())) std::abort();
    const auto base = node.base.id();
    sweep(
        node.store, [&] { return std::vector{base}; }, objects::DryRun::no);
  } catch (const Error& error) {
    if (error.code() == Code::internal || node.store.usage().objects != before) std::abort();
  }
  return 0;
}
