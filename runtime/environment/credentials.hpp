#pragma once

// User names, passwords and tokens in the URLs of indexes, repositories and channels. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/url_credentials.hpp"

namespace berth::environment {

using berth::Credential;
using berth::has_broken_login;
using berth::has_credentials;
using berth::without_credentials;
using berth::without_logins;

bool is_url(std::string_view text);  // has a scheme, as in "https://"

// The text of a .netrc file, which pip, uv and git read.
std::string netrc_of(const std::vector<Credential>& credentials);

}  // namespace berth::environment
