#include "runtime/snapshot/content.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/beneath.hpp"

namespace berth::snapshot {
namespace {

Error changed(const std::string& path) {
  return Error(Code::conflict, printable(path) + " changed while it was being sent", "submit again");
}

std::optional<std::string> read_if_sound(const objects::Store& store, const Digest& digest) {
  try {
    if (store.has(digest)) return store.read(digest);
  } catch (const Error&) {
    // A damaged or vanished earlier object only makes the pack larger.
  }
  return std::nullopt;
}

}  // namespace

void TreeContent::read(const Manifest& manifest, std::uint32_t entry, std::uint64_t offset, std::uint64_t size,
                       objects::Buffer& out) {
  const auto path = scan_.real_names.empty() ? manifest.path(entry) : scan_.path_on_disk(entry);
  const auto file = os::try_open_beneath(root_, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) < 0 || stamp_of(info) != scan_.stamps[entry] ||
      static_cast<std::uint64_t>(info.st_size) != manifest[entry].size)
    throw changed(path);
  const auto begin = out.size();
  out.resize(begin + size);
  auto room = out.span().subspan(begin);
  while (!room.empty()) {
    const auto n = os::read_at(file, room, offset);
    if (n == 0) throw changed(path);
    room = room.subspan(n);
    offset += n;
  }
}

void TreeContent::small_file(const Manifest& manifest, std::uint32_t entry, objects::Buffer& out) {
  read(manifest, entry, 0, manifest[entry].size, out);
}

void TreeContent::chunks(const Manifest& manifest, std::uint32_t entry, std::span<const Chunk> run,
                         objects::Buffer& out) {
  read(manifest, entry, run.front().offset, run.back().offset + run.back().size - run.front().offset, out);
}

std::string TreeContent::recipe(const Manifest& manifest, std::uint32_t entry) {
  const auto& digest = manifest[entry].digest;
  if (const auto found = scan_.recipes.find(digest); found != scan_.recipes.end()) return found->second;
  if (auto kept = earlier(digest)) return std::move(*kept);
  throw Error(Code::not_found, "the list of chunks of " + printable(manifest.path(entry)) + " is missing",
              "submit again");
}

std::optional<std::string> TreeContent::earlier(const Digest& digest) {
  if (earlier_ == nullptr) return std::nullopt;
  return read_if_sound(*earlier_, digest);
}

void StoreContent::small_file(const Manifest& manifest, std::uint32_t entry, objects::Buffer& out) {
  out.append(store_.read(manifest[entry].digest));
}

void StoreContent::chunks(const Manifest&, std::uint32_t, std::span<const Chunk> run, objects::Buffer& out) {
  for (const auto& chunk : run) out.append(store_.read(chunk.digest));
}

std::string StoreContent::recipe(const Manifest& manifest, std::uint32_t entry) {
  return store_.read(manifest[entry].digest);
}

std::optional<std::string> StoreContent::earlier(const Digest& digest) { return read_if_sound(store_, digest); }

}  // namespace berth::snapshot
