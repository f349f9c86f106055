#pragma once

// Takes a tree out of the hands of who built it, before anybody uses it. Nobody may write there any more: run it when
// the last process of the build is gone.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace berth::environment {

// Gives all of the tree to this process' user (`builder`, whose it is; nothing: it is this user's already), and tells
// how many bytes of disk it takes. Afterwards nobody else can write into it, nothing in it is set-user-id, and no file
// in it is linked from elsewhere: such ones are replaced by copies, one for all its names in the tree. What is neither
// file, directory nor symlink is removed. Follows no symlink, takes few descriptors; copies on several threads.
// Code::invalid for a tree that is too deep, or has files of others.
std::uint64_t make_immutable(const std::string& tree, std::optional<uid_t> builder);

}  // namespace berth::environment
