#pragma once

// What a snapshot is: names, kinds, the executable bit, sizes and content digests of a tree, in one canonical
// form. The snapshot's id is the SHA-256 of exactly these bytes, so equal trees have equal ids. Format
// version 1:
//
//   "BRTHSNP1" directory
//   directory:  entries in ascending bytewise order of their names, then a zero byte
//   entry:      kind byte, number: length of the name, name, and
//     1 directory    its own entries and its zero byte, inline
//     2 file         number: size, digest          3 executable   likewise
//     4 symlink      number: length of the target, target
//
// Numbers are LEB128 in their shortest form. A file's digest is that of its content up to kSmallFile bytes,
// and that of its recipe (recipe.hpp) above. Directories are inline and names are base names, so a renamed
// directory is the same bytes elsewhere and costs a delta next to nothing. Whatever is not canonical is
// refused.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/digest.hpp"

namespace berth::snapshot {

inline constexpr std::uint64_t kSmallFile = 1ULL << 20;
inline constexpr std::uint64_t kLargestFile = 1ULL << 40;
inline constexpr std::size_t kDeepest = 256;
inline constexpr std::size_t kLongestName = 255;
inline constexpr std::size_t kLongestTarget = 4095;
inline constexpr std::size_t kLargestManifest = 256U << 20;

enum class Kind : std::uint8_t { directory = 1, file = 2, executable = 3, symlink = 4 };

// Not empty, at most kLongestName bytes, UTF-8, not "." or "..", without '/', NUL or newline.
bool is_valid_name(std::string_view name);

struct Entry {
  Kind kind = Kind::directory;
  std::string_view name;
  std::string_view target;        // of a symlink
  std::uint64_t size = 0;         // of a file
  Digest digest;                  // of a file
  std::uint32_t parent = 0;       // index, or Manifest::kRoot
  std::uint32_t subtree_end = 0;  // index after the last entry below this one
  std::uint32_t bytes_begin = 0;  // where the entry stands in the canonical bytes
  std::uint32_t bytes_end = 0;

  bool is_directory() const { return kind == Kind::directory; }
  bool is_file() const { return kind == Kind::file || kind == Kind::executable; }
  bool is_chunked() const { return is_file() && size > kSmallFile; }
};

struct Totals {
  std::uint64_t files = 0;
  std::uint64_t directories = 0;
  std::uint64_t symlinks = 0;
  std::uint64_t bytes = 0;  // of files
};

// Immutable and cheap to copy. Entries are in depth-first order; the root itself is not one.
class Manifest {
 public:
  static constexpr std::uint32_t kRoot = 0xFFFFFFFF;

  // The empty tree.
  Manifest();
  // Code::corrupt for anything but the canonical form, Code::too_large above kLargestManifest.
  static Manifest parse(std::string bytes);

  const Digest& id() const { return data_->id; }
  std::string_view bytes() const { return data_->bytes; }
  std::span<const Entry> entries() const { return data_->entries; }
  const Entry& operator[](std::size_t index) const { return data_->entries[index]; }
  const Totals& totals() const { return data_->totals; }

  // "a/b/c" of an entry.
  std::string path(std::size_t index) const;
  // The entry at a path; nothing where there is none. The root has no entry.
  std::optional<std::uint32_t> find(std::string_view path) const;
  // The entries directly in a directory (kRoot for the root), by index.
  std::vector<std::uint32_t> children(std::uint32_t directory) const;

  friend bool operator==(const Manifest& a, const Manifest& b) { return a.id() == b.id(); }

 private:
  friend class ManifestParser;
  friend class ManifestBuilder;
  struct Data {
    std::string bytes;
    Digest id;
    std::vector<Entry> entries;
    Totals totals;
  };
  explicit Manifest(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

// Writes the canonical form. Entries must come in order, each directory closed; Code::internal otherwise, for
// names and sizes were the caller's to check.
class ManifestBuilder {
 public:
  ManifestBuilder();
  void begin_directory(std::string_view name);
  void end_directory();
  void file(std::string_view name, bool executable, std::uint64_t size, const Digest& digest);
  void symlink(std::string_view name, std::string_view target);
  Manifest finish();

 private:
  void entry(Kind kind, std::string_view name);
  std::string bytes_;
  std::vector<std::string> last_names_;  // of each open directory
};

}  // namespace berth::snapshot
