#pragma once

// Rights of single users to files, beyond owner, group and others.

#include <sys/types.h>

#include <string>

namespace berth::os {

// A directory that its owner may use as he likes, `user` may look into and enter, and nobody else may enter; false
// where its file system has no access lists, and then it is as it was.
bool let_in_only(const std::string& directory, uid_t user);

}  // namespace berth::os
