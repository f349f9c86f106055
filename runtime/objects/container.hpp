#pragma once

// One immutable file of a store: frames, then a sorted index that is mapped and searched in place. Format
// version 1, little-endian:
//
//   "BRTHOBJ1"  frames…  (zero bytes up to a multiple of 8)
//   index:   u64 objects, u64 frames
//            objects × digest (32 bytes, ascending)
//            objects × {u32 frame, u32 offset, u32 size}      (u32 of zeros where `objects` is odd)
//            frames × {u64 position, u32 stored, u32 raw, u32 encoding, u32 zero}
//   footer:  u64 position of the index, u64 its size, u64 its checksum64, "BRTHEND1"
//
// A file that lacks any of it was never finished. Internal to runtime/objects.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/digest.hpp"
#include "runtime/objects/buffer.hpp"
#include "runtime/objects/frame.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"

namespace berth::objects {

struct Place {
  std::uint32_t frame;
  std::uint32_t offset;
  std::uint32_t size;
};

struct FrameRecord {
  std::uint64_t position;
  std::uint32_t stored;
  std::uint32_t raw;
  std::uint32_t encoding;
  std::uint32_t zero;
};

class Container {
 public:
  // Code::corrupt where the file is not a complete container.
  static std::shared_ptr<const Container> open(const std::string& path, std::uint64_t id);
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;
  ~Container();

  std::uint64_t id() const { return id_; }
  const std::string& path() const { return path_; }
  std::uint64_t file_size() const { return file_size_; }

  std::span<const Digest> digests() const { return digests_; }
  std::span<const Place> places() const { return places_; }
  std::span<const FrameRecord> frames() const { return frames_; }
  std::optional<Place> find(const Digest& digest) const;

  void read_stored(const FrameRecord& frame, Buffer& stored) const;
  // Bytes [offset, offset + size) of a frame kept raw.
  void read_raw(const FrameRecord& frame, std::uint32_t offset, std::span<char> bytes) const;

 private:
  Container() = default;
  void map();
  void check() const;

  std::string path_;
  std::uint64_t id_ = 0;
  std::uint64_t file_size_ = 0;
  std::uint64_t index_position_ = 0;
  os::Fd file_;
  void* mapping_ = nullptr;
  std::size_t mapping_size_ = 0;
  std::span<const Digest> digests_;
  std::span<const Place> places_;
  std::span<const FrameRecord> frames_;
};

// Writes one container; an unfinished one stays under the temporary name given, for its owner to remove.
class ContainerWriter {
 public:
  explicit ContainerWriter(std::string path);

  // The number of the frame.
  std::uint32_t add_frame(Encoding encoding, std::size_t raw_size, std::string_view stored);
  void add_object(const Digest& digest, const Place& place) { objects_.emplace_back(digest, place); }
  bool empty() const { return frames_.empty(); }
  const std::string& path() const { return path_; }
  void finish(os::Durable durable);

 private:
  void start_writeback();
  std::string path_;
  os::Fd file_;
  std::uint64_t position_ = 0;
  std::uint64_t written_back_ = 0;
  std::vector<FrameRecord> frames_;
  std::vector<std::pair<Digest, Place>> objects_;
};

}  // namespace berth::objects
