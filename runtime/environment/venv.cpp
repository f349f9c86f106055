#include "runtime/environment/venv.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/inputs.hpp"
#include "runtime/environment/lock_text.hpp"
#include "runtime/environment/pyproject.hpp"
#include "runtime/environment/requirements.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kNamesShown = 3;
constexpr const char* kRequirementsFile = "requirements.txt";
constexpr const char* kConstraintsFile = "constraints.txt";
constexpr const char* kDescribeFile = "describe.py";
constexpr const char* kLockOf = "give what `berth env lock` printed";

// Run by the new environment's own Python. Its lock is what `pip freeze --all` would print. Of what is installed it
// reads the files: pip, or importlib.metadata alone, would take longer than all the rest.
constexpr const char* kDescribe = R"(import json, os, sys

def read(*path):
    try:
        with open(os.path.join(*path), encoding='utf-8', errors='replace') as file: return file.read()
    except OSError:
        return ''

def about(path):
    text = read(path, 'METADATA') or read(path, 'PKG-INFO') or read(path)
    fields = {}
    for line in text.split('\n\n')[0].splitlines():
        field, _, value = line.partition(':')
        fields.setdefault(field.lower(), value.strip())
    return fields.get('name'), fields.get('version')

def frozen(path, name, version):
    source = json.loads(read(path, 'direct_url.json') or '{}')
    if not source: return name + '==' + version
    url, vcs, archive = source['url'], source.get('vcs_info'), source.get('archive_info') or {}
    if vcs: url = vcs['vcs'] + '+' + url + '@' + vcs['commit_id']
    hashes = [archive['hash']] if archive.get('hash') else [k + '=' + v for k, v in archive.get('hashes', {}).items()]
    parts = hashes[:1] + (['subdirectory=' + source['subdirectory']] if source.get('subdirectory') else [])
    return name + ' @ ' + url + ('#' + '&'.join(parts) if parts else '')

found = {}
for folder in sys.path:
    for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if not entry.endswith(('.dist-info', '.egg-info')): continue
        path = os.path.join(folder, entry)
        name, version = about(path)
        key = (name or '').lower().replace('_', '-').replace('.', '-')
        if name and version: found.setdefault(key, (name + '==' + version, frozen(path, name, version)))
ordered = [found[key] for key in sorted(found)]
version = sys.version.split()[0]
result = {
    'interpreter': os.path.join(sys.prefix, 'bin', 'python'),
    'path_prefix': os.path.join(sys.prefix, 'bin'),
    'variables': {'VIRTUAL_ENV': sys.prefix},
    'python_version': version,
    'packages': [package for package, _ in ordered],
    'lock': {'kind': 'venv', 'python': version, 'pip': [line for _, line in ordered]},
}
with open('result.part', 'w', encoding='utf-8') as file:
    json.dump(result, file)
os.rename('result.part', 'result.json')
)";

std::string real_path(const std::string& path) {
  std::error_code failure;
  const auto real = std::filesystem::canonical(path, failure);
  return failure ? path : real.string();
}

bool is_pyproject(const Venv& venv) { return venv.file.ends_with(".toml"); }

const std::string& main_file(const Venv& venv) {
  const auto found = venv.files.find(venv.file);
  if (found == venv.files.end()) throw Error(Code::invalid, "the file " + printable(venv.file) + " was not sent");
  return found->second;
}

// What is to be installed, and from where, before the tool that does it.
struct Plan {
  Requirements wanted;
  bool locked = false;  // exactly these, whatever they say that they need
};

// The node's sources and the file's own; the file's index goes before the node's.
Indexes indexes_of(const NodePython& node, Requirements& wanted) {
  auto indexes = wanted.indexes;
  const auto plain = [&](const std::string& url) { return without_logins(url, wanted.credentials); };
  if (indexes.index_url.empty()) indexes.index_url = plain(node.index_url);
  std::vector<std::string> extra;
  for (const auto& url : node.extra_index_urls) extra.push_back(plain(url));
  indexes.extra_index_urls.insert(indexes.extra_index_urls.begin(), extra.begin(), extra.end());
  std::vector<std::string> links;
  for (const auto& url : node.find_links) links.push_back(plain(url));
  indexes.find_links.insert(indexes.find_links.begin(), links.begin(), links.end());
  indexes.no_index = indexes.no_index || node.offline;
  if (indexes.no_index) {
    indexes.index_url.clear();
    indexes.extra_index_urls.clear();
  }
  return indexes;
}

// As pip and `uv pip` both understand them.
std::string arguments_of(const Indexes& indexes) {
  std::string text;
  const auto add = [&](const char* option, const std::string& value) {
    text += std::string(" ") + option + " " + shell_quoted(value);
  };
  if (indexes.no_index) text += " --no-index";
  if (!indexes.index_url.empty()) add("--index-url", indexes.index_url);
  for (const auto& url : indexes.extra_index_urls) add("--extra-index-url", url);
  for (const auto& url : indexes.find_links) add("--find-links", url);
  return text;
}

// The rest is said on the command line.
std::string requirements_file(Requirements wanted, bool with_uv) {
  wanted.indexes = {};
  if (with_uv) {
    wanted.options.clear();
    wanted.switches.clear();
  }
  return wanted.requirements_file();
}

// uv knows these options on the command line alone, each with one value; it prefers binaries anyway, and lacks
// pip's features.
std::string option_arguments(const Requirements& wanted) {
  std::string text;
  for (const auto& option : wanted.options) {
    const auto name = option.substr(0, option.find('=') + 1);
    if (name == "--use-feature=") continue;
    for (const auto& value : split(std::string_view(option).substr(name.size()), ','))
      text += " " + shell_quoted(name + value);
  }
  if (wanted.switches.contains("--pre")) text += " --prerelease=allow";
  if (wanted.switches.contains("--require-hashes") || wanted.has_hashes()) text += " --require-hashes";
  return text;
}

std::string script_with_uv(const VenvTools& tools, const Plan& plan, const Indexes& indexes) {
  const auto uv = shell_quoted(tools.uv);
  const auto& wanted = plan.wanted;
  std::string install = uv + " pip install --python \"$PREFIX/bin/python\"" + arguments_of(indexes);
  for (const auto& host : indexes.trusted_hosts) install += " --allow-insecure-host " + shell_quoted(host);
  install += option_arguments(wanted);
  if (plan.locked) install += " --no-deps";
  if (!wanted.constraints.empty()) install += std::string(" -c ") + kConstraintsFile;
  install += std::string(" -r ") + kRequirementsFile + "\n";
  return uv + " venv --python \"$PYTHON\" \"$PREFIX\"\n" + (wanted.requirements.empty() ? "" : install);
}

std::string script_with_pip(const Plan& plan, const Indexes& indexes) {
  const auto& wanted = plan.wanted;
  std::string install =
      "\"$PREFIX/bin/python\" -m pip --disable-pip-version-check --no-input install --progress-bar off" +
      arguments_of(indexes);
  for (const auto& host : indexes.trusted_hosts) install += " --trusted-host " + shell_quoted(host);
  if (plan.locked) install += " --no-deps";
  if (!wanted.constraints.empty()) install += std::string(" -c ") + kConstraintsFile;
  install += std::string(" -r ") + kRequirementsFile + "\n";
  return "\"$PYTHON\" -m venv \"$PREFIX\"\n" + (wanted.requirements.empty() ? "" : install);
}

std::string name_of(const std::string& requirement) {
  return requirement.substr(0, requirement.find_first_of("[<>=!~;@ "));
}

std::string words_of(const Plan& plan, const Python& python) {
  const auto& wanted = plan.wanted.requirements;
  std::string text = "Python environment (" + python.version;
  for (std::size_t at = 0; at < std::min(wanted.size(), kNamesShown); ++at)
    text += ", " + printable(name_of(wanted[at]));
  if (wanted.size() > kNamesShown) text += " and " + std::to_string(wanted.size() - kNamesShown) + " more";
  return text + ")";
}

std::string canonical_of(const Plan& plan, const Indexes& indexes, const VenvTools& tools) {
  const auto& wanted = plan.wanted;
  return Json{{"kind", kVenvKind},
              {"platform", tools.python.platform},
              {"tool", tools.uv.empty() ? "pip" : "uv"},
              {"implementation", tools.python.implementation},
              {"python", tools.python.version},
              {"interpreter", real_path(tools.python.executable)},
              {"locked", plan.locked},
              {"requirements", wanted.requirements},
              {"constraints", wanted.constraints},
              {"options", wanted.options},
              {"switches", wanted.switches},
              {"index_url", without_credentials(indexes.index_url)},
              {"extra_index_urls", without_credentials(indexes.extra_index_urls)},
              {"find_links", without_credentials(indexes.find_links)},
              {"no_index", indexes.no_index}}
      .dump();
}

std::vector<std::string> inputs_of(const Indexes& indexes, const NodePython& node, const VenvTools& tools) {
  auto inputs = paths_of_sources(indexes.find_links);
  for (const auto& source : paths_of_sources({indexes.index_url})) inputs.push_back(source);
  for (const auto& source : paths_of_sources(indexes.extra_index_urls)) inputs.push_back(source);
  for (const auto& program : {tools.python.path, tools.python.executable, tools.uv})
    for (const auto& file : files_of_program(program)) inputs.push_back(file);
  for (const auto& [name, value] : node.variables)
    if (value.starts_with('/')) inputs.push_back(value);  // certificates
  return inputs;
}

Recipe recipe_of(Plan plan, const NodePython& node, VenvTools tools) {
  if (plan.wanted.has_build_options()) tools.uv.clear();  // which does not read them
  const bool of_user = plan.wanted.are_of_user();
  const auto indexes = indexes_of(node, plan.wanted);
  const bool with_uv = !tools.uv.empty();
  Recipe recipe;
  recipe.kind = kVenvKind;
  recipe.canonical = canonical_of(plan, indexes, tools);
  recipe.of_user = of_user;
  recipe.inputs = inputs_of(indexes, node, tools);
  recipe.words = words_of(plan, tools.python);
  recipe.files[kDescribeFile] = kDescribe;
  recipe.files[kRequirementsFile] = requirements_file(plan.wanted, with_uv);
  if (!plan.wanted.constraints.empty()) recipe.files[kConstraintsFile] = plan.wanted.constraints_file();
  if (!plan.wanted.credentials.empty()) recipe.files[".netrc"] = netrc_of(plan.wanted.credentials);
  recipe.variables = node.variables;
  recipe.variables.emplace_back("PYTHON", real_path(tools.python.executable));
  // Jobs may not write into the environment, so nobody would compile the modules later.
  for (const auto* name : {"UV_NO_CONFIG", "UV_NO_PROGRESS", "NO_COLOR", "UV_COMPILE_BYTECODE"})
    recipe.variables.emplace_back(name, "1");
  recipe.variables.emplace_back("UV_PYTHON_DOWNLOADS", "never");
  recipe.script = "export PIP_CACHE_DIR=\"$CACHE/pip\" UV_CACHE_DIR=\"$CACHE/uv\"\n" +
                  (with_uv ? script_with_uv(tools, plan, indexes) : script_with_pip(plan, indexes)) +
                  "\"$PREFIX/bin/python\" -I " + kDescribeFile + "\n";
  return recipe;
}

// Locks are files of users, as much as others.
struct VenvLock {
  std::string python;
  Requirements pip;
};

VenvLock read_venv_lock(const std::string& lock) {
  try {
    const auto json = read_lock(lock);
    const Files no_files;
    RequirementsReader reader(no_files, Logins::taken_out);
    Place place{"the lock's pip", 0};
    for (const auto& line : json.at("pip").get<std::vector<std::string>>()) {
      ++place.line;
      if (line.find("==") == std::string::npos && line.find(" @ ") == std::string::npos)
        refuse(place, "is no package with its version", kLockOf);
      reader.read_requirement(line, place);
    }
    return {json.at("python").get<std::string>(), reader.take()};
  } catch (const Json::exception& failure) {
    throw Error(Code::invalid, "the lock cannot be read: " + printable(without_credentials(failure.what())), kLockOf);
  }
}

// Wheels are made for "3.11", whatever comes after it.
std::string minor_version(const std::string& version) {
  const auto second = version.find('.', version.find('.') + 1);
  return version.substr(0, second);
}

}  // namespace

Requirements requirements_of(const Venv& venv) {
  return is_pyproject(venv) ? read_pyproject(main_file(venv)).requirements : read_requirements(venv.file, venv.files);
}

Recipe venv_recipe(const Venv& venv, const NodePython& node, const VenvTools& tools) {
  Plan plan;
  plan.wanted = requirements_of(venv);
  return recipe_of(std::move(plan), node, tools);
}

Recipe locked_venv_recipe(const std::string& lock, const NodePython& node, const VenvTools& tools) {
  Plan plan;
  plan.wanted = read_venv_lock(lock).pip;
  plan.locked = true;
  return recipe_of(std::move(plan), node, tools);
}

Venvs::Venvs(NodePython node, std::optional<os::Identity> identity)
    : node_(std::move(node)), interpreters_(node_.interpreters, node_.path, std::move(identity)) {}

VenvTools Venvs::tools(const std::vector<std::string>& python_wishes) {
  VenvTools tools{interpreters_.find(python_wishes), node_.uv.value_or("")};
  if (!tools.uv.empty() && ::access(tools.uv.c_str(), X_OK) != 0)
    throw Error(Code::not_found, "the configured uv, " + printable(tools.uv) + ", is not there",
                "install it, or correct the agent's configuration");
  if (node_.uv) return tools;
  for (const auto& directory : split(node_.path, ':'))
    if (const auto path = os::join(directory, "uv"); ::access(path.c_str(), X_OK) == 0) {
      tools.uv = path;
      break;
    }
  return tools;
}

Recipe Venvs::recipe(const FromFiles& spec) { return recipe(Venv{spec.python, spec.file, spec.files}); }

std::vector<gpu::CudaRequirement> Venvs::cuda(const FromFiles& spec) const {
  return cuda_wanted(requirements_of(Venv{spec.python, spec.file, spec.files}));
}

Recipe Venvs::recipe(const Venv& venv) {
  std::vector<std::string> wishes{venv.python};
  if (is_pyproject(venv)) wishes.push_back(read_pyproject(main_file(venv)).requires_python);
  return venv_recipe(venv, node_, tools(wishes));
}

Recipe Venvs::recipe_of_lock(const std::string& lock) {
  return locked_venv_recipe(lock, node_, tools({minor_version(read_venv_lock(lock).python)}));
}

}  // namespace berth::environment
