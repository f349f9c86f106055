#pragma once

// Whole files and directories: read, write so that a crash leaves the old or the new one, make, remove.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/os/fd.hpp"

namespace berth::os {

enum class Durable { no, yes };

// The whole file; Code::not_found when absent, Code::too_large above `limit`.
std::string read_file(const std::string& path, std::uint64_t limit = 64U << 20);
// Nothing where there is no such file; every other failure throws.
std::optional<std::string> read_file_if_exists(const std::string& path, std::uint64_t limit = 64U << 20);

// Replaces `path` by a file with this content in one step: temporary file in the same directory, rename.
// With Durable::yes the file and its directory entry are on disk when this returns.
void write_file(const std::string& path, std::string_view content, unsigned mode, Durable durable);

// The same where there is no such file yet; false, and nothing done, where there is.
bool write_new_file(const std::string& path, std::string_view content, unsigned mode, Durable durable);

// Makes the directory and its missing parents; an existing one is left as it is.
void make_directories(const std::string& path, unsigned mode = 0755);
// In memory and without a path; nothing in it can be executed. `name`: for /proc alone.
Fd make_memory_file(const char* name);
bool exists(const std::string& path);  // follows no symlink at the end
// Removes a file or a whole tree, following no symlink; what is absent is fine (removal.hpp tells more). What cannot
// be removed is named in the Error once all the rest is gone.
void remove_tree(const std::string& path);
// Removes one file; false when there was none.
bool remove_file(const std::string& path);
// Writes a directory's entries to disk.
void sync_directory(const std::string& path);

struct Space {
  std::uint64_t free = 0;   // bytes that this process may still write
  std::uint64_t total = 0;  // bytes
};
Space space_of(const std::string& path);

// What is in a directory, in no order; nothing where there is no such directory. Throws Error where it cannot be looked
// at, which is not the same.
std::vector<std::string> names_in(const std::string& directory);

// "/a/b" + "c" → "/a/b/c".
std::string join(std::string_view directory, std::string_view name);
std::string parent_of(std::string_view path);
// Against the current directory; nothing is resolved.
std::string absolute(const std::string& path);
std::string name_of(std::string_view path);

// A fresh directory below $TMPDIR (or /tmp), removed with its content on destruction unless keep() was called.
class TempDir {
 public:
  explicit TempDir(std::string_view prefix = "berth", const std::string& below = {});
  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir();
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return join(path_, name); }
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

}  // namespace berth::os
