#pragma once

// Trees for tests: made, changed at random, and read back by means of their own.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/pack.hpp"
#include "tests/runtime/objects/random_bytes.hpp"

namespace berth::snapshot {

inline void put(const std::string& root, const std::string& path, std::string_view content, bool executable = false) {
  const auto full = root + "/" + path;
  std::filesystem::create_directories(std::filesystem::path(full).parent_path());
  std::ofstream(full) << content;
  ::chmod(full.c_str(), executable ? 0755 : 0644);
}

// Path → what is there, told in a word and the content.
inline std::map<std::string, std::string> contents_of(const std::string& root) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const auto path = entry.path().lexically_relative(root).string();
    struct stat info {};
    ::lstat(entry.path().c_str(), &info);
    if (S_ISLNK(info.st_mode))
      contents[path] = "link " + std::filesystem::read_symlink(entry.path()).string();
    else if (S_ISDIR(info.st_mode))
      contents[path] = "directory";
    else if (S_ISREG(info.st_mode))
      contents[path] = ((info.st_mode & 0100) != 0 ? "executable " : "file ") + os::read_file(entry.path());
    else
      contents[path] = "special";
  }
  return contents;
}

inline Code code_of(const auto& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return Code::internal;
}

inline std::string message_of(const auto& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.describe();
  }
  return {};
}

// A tree that changes in the ways trees do.
class RandomTree {
 public:
  RandomTree(std::string root, unsigned seed) : root_(std::move(root)), random_(seed) {
    for (int i = 0; i < 40; ++i) add();
    put(root_, "large.bin", objects::random_bytes(3 << 20, seed));
  }

  void change() {
    const auto steps = 1 + pick(6);
    for (std::size_t i = 0; i < steps; ++i) change_once();
  }

 private:
  std::size_t pick(std::size_t count) { return random_() % count; }

  std::string name() {
    static const std::vector<std::string> kNames{"a", "b",  "ab",   "a.py",  "a-b", "a b", "a0",
                                                 "é", "zz", "Make", "x.bin", "+",   ".h"};
    return kNames[pick(kNames.size())];
  }

  std::string directory() {
    std::string path;
    for (auto depth = pick(4); depth > 0; --depth) path += "d" + name() + "/";
    return path;
  }

  void add() {
    const auto path = directory() + name();
    if (std::filesystem::exists(std::filesystem::symlink_status(root_ + "/" + path))) return;
    std::error_code taken;  // a file is where the directory should be
    std::filesystem::create_directories(std::filesystem::path(root_ + "/" + path).parent_path(), taken);
    if (taken) return;
    switch (pick(8)) {
      case 0:
        std::filesystem::create_symlink("../" + name(), root_ + "/" + path);
        break;
      case 1:
        std::filesystem::create_directories(root_ + "/" + path + "/empty");
        break;
      case 2:
        put(root_, path, "");
        break;
      default:
        put(root_, path, objects::random_text(pick(20'000), static_cast<unsigned>(random_())), pick(3) == 0);
    }
  }

  std::vector<std::filesystem::path> existing() {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  void change_once() {
    const auto paths = existing();
    if (paths.size() < 10) return add();
    const auto& path = paths[pick(paths.size())];
    switch (pick(7)) {
      case 0:
        std::filesystem::remove_all(path);
        break;
      case 1:
        std::filesystem::rename(path, root_ + "/renamed" + std::to_string(pick(1'000'000)));
        break;
      case 2:
        std::filesystem::remove_all(path);  // replaced by another kind
        if (pick(2) == 0)
          put(root_, path.lexically_relative(root_), "now a file");
        else
          put(root_, path.lexically_relative(root_).string() + "/now", "a directory");
        break;
      case 3:
        if (std::filesystem::is_regular_file(std::filesystem::symlink_status(path)))
          ::chmod(path.c_str(), pick(2) == 0 ? 0755 : 0644);
        break;
      case 4:
        add();
        break;
      default:
        edit(path);
    }
  }

  void edit(const std::filesystem::path& path) {
    if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(path))) return;
    auto content = os::read_file(path);
    content.insert(pick(content.size() + 1), "edited " + std::to_string(random_()));
    std::ofstream(path) << content;
  }

  std::string root_;
  std::mt19937 random_;
};

// The pack of a scan, in memory.
inline std::string pack_of(const Scan& scan, const std::string& root, std::span<const Manifest> bases = {},
                           const objects::Store* earlier = nullptr) {
  const auto fd = os::open(root, O_RDONLY | O_DIRECTORY);
  TreeContent content(fd, scan, earlier);
  std::string pack;
  write_pack(scan.manifest, bases, content, [&](std::string_view bytes) { pack += bytes; });
  return pack;
}

inline Received receive(objects::Store& store, std::string_view pack, const ReceiveLimits& limits = {}) {
  MemorySource source(pack);
  return receive_pack(store, SoleOwnersView(), source, limits);
}

}  // namespace berth::snapshot
