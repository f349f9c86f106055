#pragma once

// Parts of a program that are loaded when they are first needed, since what they bring along (libgit2, OpenSSL) costs
// milliseconds and megabytes.

#include <string>

namespace berth::os {

// The `symbol` of lib/berth/lib`name`.so, which lies beside the running program's directory: a library found by the
// environment could be anybody's. It is never unloaded. Code::unavailable with the loader's own words.
void* load_module(const std::string& name, const char* symbol);

}  // namespace berth::os
