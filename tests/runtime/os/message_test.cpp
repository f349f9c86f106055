#include "runtime/os/message.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

using namespace berth;

TEST_CASE("a descriptor goes along with a message, and one that cannot be taken is told of with the rest") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  os::Fd here(ends[0]);
  const os::Fd there(ends[1]);
  const auto null = os::open("/dev/null", O_RDONLY);
  std::array<char, 16> buffer{};
  const auto text = [&](const os::Message& message) { return std::string(buffer.data(), message.length); };

  REQUIRE(os::send_message(here.get(), "with", null.get()));
  const auto with = os::receive_message(there.get(), buffer);
  CHECK(text(with) == "with");
  REQUIRE(with.descriptor);
  CHECK((::fcntl(with.descriptor.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK_FALSE(with.incomplete);

  REQUIRE(os::send_message(here.get(), "without"));
  const auto without = os::receive_message(there.get(), buffer);
  CHECK(text(without) == "without");
  CHECK_FALSE(without.descriptor);
  CHECK_FALSE(without.incomplete);

  REQUIRE(os::send_message(here.get(), "lost", null.get()));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto lost = os::receive_message(there.get(), buffer);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(text(lost) == "lost");
  CHECK_FALSE(lost.descriptor);
  CHECK(lost.incomplete);

  here.reset();
  CHECK(os::receive_message(there.get(), buffer).length == 0);
  CHECK_FALSE(os::send_message(there.get(), "nobody"));
}
