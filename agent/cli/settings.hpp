#pragma once

// Where things are for the user who types: the agent's socket, the cache.

#include <string>

#include "agent/cli/options.hpp"

namespace berth::cli {

constexpr const char* kMachineSocket = "/run/berth/berth.sock";
// That of the user's own agent.
std::string own_socket();

// --socket, else $BERTH_SOCKET, else that of the user's own agent where he has one, else the machine's where Berth's
// package is installed, else his own, which is still to be started.
std::string socket_path(const Common& common);
// Whose that is.
enum class Whose { named, own, machine };
Whose whose_agent(const Common& common);
// "/home/ada/.local/state/berth/berth.sock (your own agent; …)": which one is asked, and which one is not.
std::string socket_words(const Common& common);

// ${XDG_CACHE_HOME:-~/.cache}/berth
std::string cache_directory();
// $HOME, else what the user database says; "" where nobody knows.
std::string home_directory();
// As the user sees it: $PWD where it names the current directory, so that a symlink on the way stays.
std::string current_directory();

}  // namespace berth::cli
