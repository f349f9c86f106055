#include "runtime/secrets/key.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/random.hpp"

namespace berth::secrets {
namespace {

constexpr const char* kCredential = "berth.key";
constexpr std::size_t kLargestFile = 1U << 16;

[[noreturn]] void refuse(Code code, const std::string& path, const std::string& why, const std::string& remedy) {
  throw Error(code, "the key of the secrets, " + printable(path) + ", " + why, remedy);
}

Key key_of(std::string_view bytes, const std::string& path) {
  Key key{};
  if (bytes.size() != key.size())
    refuse(Code::corrupt, path, "has " + std::to_string(bytes.size()) + " bytes and not 32",
           "bring back the one it was; a new one is `head -c 32 /dev/urandom`, and opens nothing of before");
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

std::optional<std::string> credential_of(const KeyPlace& place) {
  if (place.credentials_directory.empty()) return std::nullopt;
  const auto path = os::join(place.credentials_directory, kCredential);
  return os::exists(path) ? std::optional(path) : std::nullopt;
}

// Opened before it is looked at, so that it is one file that is both.
std::optional<Key> key_in(const std::string& path) {
  const os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file && errno == ENOENT) return std::nullopt;
  if (!file) throw_errno("open the key of the secrets", path);
  struct stat info {};
  if (::fstat(file.get(), &info) < 0) throw_errno("look at the key of the secrets", path);
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0)
    refuse(Code::denied, path, "is not for the agent alone", "chown it to the agent's user, and chmod 600");
  return key_of(os::read_all(file, kLargestFile), path);
}

void make_key(const std::string& path) {
  const auto bytes = os::random_bytes(Key{}.size());
  os::make_directories(os::parent_of(path), 0700);
  os::write_new_file(path, bytes, 0600, os::Durable::yes);
}

}  // namespace

Key read_key(const KeyPlace& place) {
  if (const auto path = credential_of(place)) return key_of(os::read_file(*path, kLargestFile), *path);
  if (const auto key = key_in(place.file)) return *key;
  refuse(Code::not_found, place.file, "is gone",
         "bring it back from where it was copied to: nothing else opens what was sealed with it. For what is to come "
         "alone, "
         "make a new one as the agent's user: (umask 077; head -c 32 /dev/urandom > " +
             printable(place.file) + ")");
}

Key read_or_make_key(const KeyPlace& place) {
  if (!credential_of(place) && !os::exists(place.file)) make_key(place.file);
  return read_key(place);
}

}  // namespace berth::secrets
