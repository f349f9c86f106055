#pragma once

// The node's own conda program, and what the administrator sets for it.

#include <chrono>
#include <compare>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/os/identity.hpp"

namespace berth::environment {

// What the administrator sets for conda environments.
struct NodeConda {
  std::string tool;  // micromamba, mamba or conda: a whole path, or a name on `path`; "" for the first of them found
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  std::optional<os::Identity> identity;  // who builds; nothing: who this process is

  std::vector<std::string> channels;  // instead of those that the file names; empty: the file's
  std::vector<std::string> default_channels{"defaults"};  // for a file that names none, as conda itself does
  std::map<std::string, std::string> mirrors;  // a channel as files name it → its URL here, credentials and all
  bool offline = false;  // only file:// channels and the package cache; pip only `find_links`
  std::vector<std::string> options;  // further arguments of `create`, such as "--channel-priority=strict"
  std::string cache;  // the packages' directory, the build user's; "" for the one that all builds share

  // For the pip part.
  std::string index_url;  // "" for PyPI; may have credentials, as may the extra ones
  std::vector<std::string> extra_index_urls;
  std::vector<std::string> find_links;  // directories of wheels on this machine, or pages
  // More variables of the build: proxies, certificates.
  std::vector<std::pair<std::string, std::string>> variables;
};

struct CondaTool {
  enum class Kind { micromamba, mamba, conda };
  struct Version {
    int major = 0;
    int minor = 0;
    int patch = 0;
    friend auto operator<=>(const Version&, const Version&) = default;
  };

  Kind kind = Kind::micromamba;
  std::string path;  // whole
  std::string platform;  // "linux-64": whose packages it installs
  Version version;

  std::string name_and_version() const;  // "micromamba 2.0.5"
  // Whether several of them may use one package cache at a time.
  bool shares_cache() const;
};

// Starts the program to ask for its version and platform: blocks, up to `patience` a candidate. Throws an
// Error that tells what is to be done: Code::not_found for none, Code::unsupported for one that is too old.
CondaTool find_conda_tool(const NodeConda& node, std::chrono::seconds patience = std::chrono::seconds(60));

// What `--version` and `info --json` printed, understood; `name` is the program's. Nothing for what is no
// such tool.
std::optional<CondaTool> recognise_conda_tool(const std::string& name, const std::string& version,
                                              const std::string& info);

}  // namespace berth::environment
