#pragma once

// Where things are for the user who types: the agent's socket, the cache.

#include <string>

#include "agent/cli/options.hpp"

namespace berth::cli {

// --socket, else $BERTH_SOCKET, else the socket of the user's own agent if there is one, else the machine's.
std::string socket_path(const Common& common);
// Whether that is the machine's agent: by its socket's name, or as nobody has named or has another one.
bool means_machine(const Common& common);
// ${XDG_CACHE_HOME:-~/.cache}/berth
std::string cache_directory();
// $HOME, else what the user database says; "" where nobody knows.
std::string home_directory();
// As the user sees it: $PWD where it names the current directory, so that a symlink on the way stays.
std::string current_directory();

}  // namespace berth::cli
