#include "runtime/snapshot/stat_cache.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/objects/checksum.hpp"
#include "runtime/os/file.hpp"

namespace berth::snapshot {
namespace {

constexpr std::string_view kMagic = "BRTHSTC1";
// Clocks of file systems advance in ticks of up to 10 ms.
constexpr std::int64_t kTick = 20'000'000;

struct Header {
  char magic[8];
  std::uint64_t checksum;
  std::uint64_t entries;
  std::uint64_t manifest_size;
};

Stamp settled(const Stamp& stamp, std::int64_t scan_started) {
  const bool fresh = std::max(stamp.modified, stamp.changed) > scan_started - kTick;
  return fresh ? Stamp{} : stamp;
}

void append(std::string& out, const void* bytes, std::size_t size) {
  out.append(static_cast<const char*>(bytes), size);
}

}  // namespace

std::optional<StatCache> StatCache::load(const std::string& path) try {
  const auto file = os::read_file_if_exists(path, 1ULL << 30);
  Header header{};
  if (!file || file->size() < sizeof header + sizeof(Stamp)) return std::nullopt;
  std::memcpy(&header, file->data(), sizeof header);
  const auto rest = std::string_view(*file).substr(16);
  if (std::string_view(header.magic, 8) != kMagic || header.checksum != objects::checksum64(rest)) return std::nullopt;
  std::uint64_t left = file->size() - sizeof header - sizeof(Stamp);
  if (header.entries > left / sizeof(Stamp)) return std::nullopt;
  left -= header.entries * sizeof(Stamp);
  if (header.manifest_size > left) return std::nullopt;

  StatCache cache;
  const char* at = file->data() + sizeof header;
  std::memcpy(&cache.root_stamp_, at, sizeof(Stamp));
  at += sizeof(Stamp);
  cache.stamps_.resize(header.entries);
  if (header.entries > 0) std::memcpy(cache.stamps_.data(), at, header.entries * sizeof(Stamp));
  at += header.entries * sizeof(Stamp);
  cache.manifest_ = Manifest::parse(std::string(at, header.manifest_size));
  cache.ignore_name_.assign(at + header.manifest_size, left - header.manifest_size);
  if (cache.manifest_.entries().size() != header.entries) return std::nullopt;
  return cache;
} catch (const Error&) {
  return std::nullopt;  // it only ever saves work
}

void StatCache::save(const std::string& path, const Scan& scan) {
  Header header{};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.entries = scan.stamps.size();
  header.manifest_size = scan.manifest.bytes().size();
  std::string file;
  file.reserve(sizeof header + (scan.stamps.size() + 1) * sizeof(Stamp) + scan.manifest.bytes().size() + 16);
  append(file, &header, sizeof header);
  const auto root = settled(scan.root_stamp, scan.started);
  append(file, &root, sizeof root);
  for (const auto& stamp : scan.stamps) {
    const auto kept = settled(stamp, scan.started);
    append(file, &kept, sizeof kept);
  }
  file += scan.manifest.bytes();
  file += scan.ignore_name;
  header.checksum = objects::checksum64(std::string_view(file).substr(16));
  std::memcpy(file.data(), &header, sizeof header);
  os::write_file(path, file, 0600, os::Durable::no);
}

}  // namespace berth::snapshot
