#pragma once

// The key that secrets are sealed with: 32 bytes that the agent alone can read.

#include <array>
#include <string>

namespace berth::secrets {

using Key = std::array<unsigned char, 32>;

// Where the key may be.
struct KeyPlace {
  // Of the service manager ($CREDENTIALS_DIRECTORY), with a file "berth.key" in it; "" where there is none.
  std::string credentials_directory;
  std::string file;  // else this one, which is made, for its owner alone
};

// The service manager's, else the file's. Code::corrupt for what is no key, Code::denied for a file that others may
// read.
Key read_key(const KeyPlace& place);
// The same; the file is made where there is none, and is on disk when this returns. Whoever asks at the same time gets
// the same key.
Key read_or_make_key(const KeyPlace& place);

}  // namespace berth::secrets
