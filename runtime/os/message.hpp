#pragma once

// Messages on a unix socket of packets (SOCK_SEQPACKET), which a descriptor may go along with.

#include <cstddef>
#include <span>
#include <string_view>

#include "runtime/os/fd.hpp"

namespace berth::os {

// False with errno where nobody is there to take it. `descriptor`: -1 for none.
bool send_message(int socket, std::string_view bytes, int descriptor = -1);

struct Message {
  std::size_t length = 0;   // 0: the other end is closed, or reading has failed
  Fd descriptor;            // of this process now, closed with exec
  bool incomplete = false;  // a descriptor that went along could not be taken
};
Message receive_message(int socket, std::span<char> buffer);

}  // namespace berth::os
