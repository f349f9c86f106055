// Whatever parses is canonical: built again from its entries it gives the same bytes.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/snapshot/manifest.hpp"

namespace {

using namespace berth::snapshot;

Manifest rebuilt(const Manifest& manifest) {
  ManifestBuilder builder;
  std::vector<std::uint32_t> ends;
  for (std::uint32_t i = 0; i < manifest.entries().size(); ++i) {
    for (; !ends.empty() && ends.back() == i; ends.pop_back()) builder.end_directory();
    const auto& entry = manifest[i];
    if (entry.is_directory()) {
      builder.begin_directory(entry.name);
      ends.push_back(entry.subtree_end);
    } else if (entry.kind == Kind::symlink) {
      builder.symlink(entry.name, entry.target);
    } else {
      builder.file(entry.name, entry.kind == Kind::executable, entry.size, entry.digest);
    }
  }
  for (; !ends.empty(); ends.pop_back()) builder.end_directory();
  return builder.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto manifest = Manifest::parse(std::string(reinterpret_cast<const char*>(data), size));
    if (!(rebuilt(manifest) == manifest)) std::abort();
    for (std::uint32_t i = 0; i < manifest.entries().size() && i < 16; ++i)
      if (manifest.find(manifest.path(i)) != i) std::abort();
  } catch (const berth::Error& error) {
    if (error.code() == berth::Code::internal) std::abort();
  }
  return 0;
}
