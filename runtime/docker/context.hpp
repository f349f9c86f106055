#pragma once

// What a build gets to see: a directory as a tar stream, made on the way. Symlinks are sent as such and never
// followed, so nothing from outside the directory gets in; what is neither file, directory nor symlink is
// left out.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/digest.hpp"
#include "runtime/docker/tar.hpp"
#include "runtime/os/fd.hpp"

namespace berth::docker {

class BuildContext {
 public:
  // Of a directory, less what its .dockerignore names; `dockerfile`, relative to it, and the .dockerignore
  // are always sent. Looks at names and sizes now. Throws Error: Code::not_found for the directory or the
  // Dockerfile (with the remedy), Code::invalid for a Dockerfile outside.
  static BuildContext of_directory(const std::string& directory, const std::string& dockerfile = "Dockerfile");
  // Of these files alone: relative name → content.
  static BuildContext of_files(const std::map<std::string, std::string>& files);

  // The next bytes of the stream; 0 at its end. Throws Error(Code::conflict) when a file has changed its
  // size.
  std::size_t read(std::span<char> buffer);
  // SHA-256 over names, kinds, executable bits and contents, not over times: reads the whole of it.
  Digest digest() const;
  std::uint64_t bytes() const;  // of all files
  std::size_t entries() const { return entries_.size(); }

 private:
  struct Item {
    tar::Entry entry;
    std::string content;  // where there is no directory to read it from
  };
  BuildContext() = default;
  void open_item(const Item& item);
  void fill();

  os::Fd root_;
  std::string place_;  // for messages
  std::vector<Item> entries_;
  std::size_t next_ = 0;
  std::string ready_;  // bytes to hand out
  std::size_t handed_ = 0;
  os::Fd file_;
  std::uint64_t left_ = 0;  // of the file
  bool ended_ = false;
};

}  // namespace berth::docker
