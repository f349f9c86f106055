#pragma once

// The way to the agent. One that is starting is waited for; where there is none, that is known at once.

#include <string>
#include <vector>

#include "runtime/http/client.hpp"

namespace berth::cli {

// Connects to the socket, and waits for seconds (less where the options have less patience) where an agent for it runs
// but does not listen yet, as right behind `berthd --user &`. Otherwise the failure that http::connect_unix has.
http::Connect connection_to(std::string socket, const http::Client::Options& options);

// The socket of a berthd with these arguments, as far as they tell; `directory` is where it was started.
std::string socket_of_agent(const std::vector<std::string>& arguments, const std::string& directory);

}  // namespace berth::cli
