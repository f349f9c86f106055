// berth-collect PATH: gathers what is asked for over standard input from the tree at PATH and answers over standard
// output (collection.hpp). "-": from the directory that is open as descriptor 3. Started by the agent as the user whose
// tree it is. Exits with 3 where the tree changed meanwhile.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <string>

#include "runtime/base/error.hpp"
#include "runtime/os/standard_files.hpp"
#include "runtime/snapshot/collection.hpp"

namespace {

constexpr int kTree = 3;
constexpr std::uint64_t kLongestRequest = 300ULL << 20;

berth::os::Fd open_root(const std::string& path) {
  if (path != "-") return berth::os::open(path, O_RDONLY | O_DIRECTORY);
  return berth::os::Fd(kTree);
}

}  // namespace

int main(int argc, char** argv) {
  berth::os::open_standard_files();
  // Others of the user's programs may neither look into it nor find its descriptors in /proc.
  ::prctl(PR_SET_DUMPABLE, 0);
  ::signal(SIGPIPE, SIG_DFL);
  if (argc != 2) {
    ::fprintf(stderr, "usage: berth-collect PATH (started by berthd)\n");
    return 2;
  }
  try {
    const berth::os::Fd input(STDIN_FILENO);
    const berth::os::Fd output(STDOUT_FILENO);
    const auto request = berth::snapshot::CollectionRequest::from_bytes(berth::os::read_all(input, kLongestRequest));
    const auto root = open_root(argv[1]);
    berth::snapshot::collect(root, request, [&](std::string_view bytes) { berth::os::write_all(output, bytes); });
    return 0;
  } catch (const berth::Error& error) {
    ::fprintf(stderr, "%s\n", error.describe().c_str());
    return error.code() == berth::Code::conflict ? 3 : 1;
  } catch (const std::exception& error) {
    ::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
