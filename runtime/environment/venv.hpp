#pragma once

// Recipes for Python virtual environments, made by uv where the machine has it, else by `python -m venv` and
// pip.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/environment/interpreters.hpp"
#include "runtime/environment/python.hpp"
#include "runtime/environment/recipe.hpp"
#include "runtime/environment/requirements.hpp"
#include "runtime/environment/spec.hpp"
#include "runtime/os/identity.hpp"

namespace berth::environment {

inline constexpr const char* kVenvKind = "venv";

struct Venv {
  std::string python;  // "" any; or what is wanted: "3.11", "3.11.4", ">=3.10"
  std::string file;    // the main one of `files`: a requirements file, or a pyproject.toml
  Files files;         // with the requirements and constraints files that it includes
};

// What the administrator sets for Python packages.
struct NodePython {
  std::optional<std::string> uv;  // the program's whole path; "" for pip; nothing: uv where `path` has it
  std::string index_url;          // "" for PyPI; a user name and password in it are used and never shown
  std::vector<std::string> extra_index_urls;
  std::vector<std::string> find_links;                // directories of wheels on this machine, or pages
  bool offline = false;                               // no index is asked, only `find_links`
  std::vector<std::string> interpreters;              // whole paths, before those found
  std::string path = "/usr/local/bin:/usr/bin:/bin";  // where interpreters and uv are looked for
  // More variables of the build: proxies, certificates, netrc's like.
  std::vector<std::pair<std::string, std::string>> variables;
};

// What a venv is made with.
struct VenvTools {
  Python python;
  std::string uv;  // whole path; "" for pip
};

// What its files ask for. Pure; Code::invalid as venv_recipe().
Requirements requirements_of(const Venv& venv);

// Pure. Code::invalid for files that cannot be read or name what is not there (requirements.hpp).
Recipe venv_recipe(const Venv& venv, const NodePython& node, const VenvTools& tools);
// The same for a lock of kind "venv", to be installed as it is, without looking for dependencies.
Recipe locked_venv_recipe(const std::string& lock, const NodePython& node, const VenvTools& tools);

// The same with the tools found on this machine; blocks. Thread-safe.
class Venvs : public Recipes {
 public:
  Venvs(NodePython node, std::optional<os::Identity> identity);
  std::string kind() const override { return kVenvKind; }
  Recipe recipe(const FromFiles& spec) override;
  Recipe recipe_of_lock(const std::string& lock) override;
  std::vector<gpu::CudaRequirement> cuda(const FromFiles& spec) const override;
  Recipe recipe(const Venv& venv);

 private:
  VenvTools tools(const std::vector<std::string>& python_wishes);

  NodePython node_;
  Interpreters interpreters_;
};

}  // namespace berth::environment
