#include "runtime/environment/conda_recipe.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/conda_script.hpp"
#include "runtime/environment/conda_spec.hpp"
#include "runtime/environment/inputs.hpp"
#include "runtime/environment/lock_text.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {
namespace {

using Json = nlohmann::json;
using conda::CondaSpec;
using conda::MatchSpec;
using Kind = CondaTool::Kind;

// Counts in every digest: to be raised when recipes come to make something else of the same spec.
constexpr int kForm = 1;
constexpr const char* kLockOf = "use what `berth env lock` printed";

std::string mirrored(const std::string& channel, const NodeConda& node) {
  const auto mirror = node.mirrors.find(channel);
  return mirror == node.mirrors.end() ? channel : mirror->second;
}

std::vector<std::string> channels_of(const CondaSpec& spec, const NodeConda& node) {
  const auto& named = !node.channels.empty()  ? node.channels
                      : spec.channels.empty() ? node.default_channels
                                              : spec.channels;
  std::vector<std::string> channels;
  for (const auto& channel : named) channels.push_back(mirrored(channel, node));
  return channels;
}

bool names(const std::vector<MatchSpec>& dependencies, const std::string& name) {
  return std::any_of(dependencies.begin(), dependencies.end(), [&](const auto& spec) { return spec.name == name; });
}

// With Python in front, which is what people look for first.
std::vector<MatchSpec> dependencies_of(const CondaSpec& spec) {
  std::vector<MatchSpec> dependencies(spec.dependencies.begin(), spec.dependencies.end());
  for (const auto* needed : {"python", "pip"}) {
    if (names(dependencies, needed) || (std::string(needed) == "pip" && spec.pip.empty())) continue;
    MatchSpec added;
    added.name = needed;
    dependencies.push_back(added);
  }
  std::stable_partition(dependencies.begin(), dependencies.end(), [](const auto& one) { return one.name == "python"; });
  return dependencies;
}

std::string words_of(const std::vector<MatchSpec>& dependencies, const Requirements& pip) {
  std::vector<std::string> all;
  for (const auto& dependency : dependencies)
    if (dependency.name != "pip") all.push_back(dependency.text());
  all.insert(all.end(), pip.requirements.begin(), pip.requirements.end());
  const std::size_t shown = all.size() <= 4 ? all.size() : 3;
  std::string words;
  for (std::size_t i = 0; i < shown; ++i) words += (i == 0 ? "" : ", ") + printable(all[i]);
  if (shown < all.size()) words += " and " + std::to_string(all.size() - shown) + " more";
  return "conda environment (" + words + ")";
}

// What of the node's configuration decides what pip installs.
Json pip_sources(const NodeConda& node) {
  if (node.offline) return {{"find_links", without_credentials(node.find_links)}, {"offline", true}};
  return {{"index_url", without_credentials(node.index_url)},
          {"extra_index_urls", without_credentials(node.extra_index_urls)},
          {"find_links", without_credentials(node.find_links)}};
}

std::string lines_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) {
    if (line.find_first_of(std::string_view("\n\r\0", 3)) != std::string::npos)
      throw Error(
          Code::invalid,
          "the node's configuration of conda has a line break in '" + printable(without_credentials(line)) + "'",
          "remove it");
    text += line + "\n";
  }
  return text;
}

std::string spaced(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::vector<std::pair<std::string, std::string>> variables_of(const NodeConda& node) {
  auto variables = node.variables;
  if (node.offline) variables.emplace_back("PIP_NO_INDEX", "1");
  if (!node.index_url.empty()) variables.emplace_back("PIP_INDEX_URL", node.index_url);
  if (!node.extra_index_urls.empty()) variables.emplace_back("PIP_EXTRA_INDEX_URL", spaced(node.extra_index_urls));
  return variables;
}

bool is_mamba(const CondaTool& tool) {
  return tool.kind == Kind::micromamba || (tool.kind == Kind::mamba && tool.version.major >= 2);
}

// What `create` gets before its packages, whatever they are.
std::vector<std::string> create_options(const CondaTool& tool, const NodeConda& node) {
  std::vector<std::string> options;
  // What a machine's own .condarc says would not be in the digest. conda cannot leave those files unread.
  options.emplace_back(is_mamba(tool) ? "--no-rc" : "--no-default-packages");
  if (node.offline) options.emplace_back("--offline");
  options.insert(options.end(), node.options.begin(), node.options.end());
  return options;
}

std::string pip_arguments(const Requirements& pip, const NodeConda& node, bool exactly) {
  std::vector<std::string> arguments;
  for (const auto& links : node.find_links) arguments.push_back("--find-links=" + links);
  if (!pip.constraints.empty()) arguments.emplace_back("--constraint=constraints.txt");
  if (exactly) arguments.emplace_back("--no-deps");
  return lines_of(arguments);
}

std::string exports_of(const std::map<std::string, std::string>& variables) {
  std::string text;
  for (const auto& [name, value] : variables) text += "export " + name + "=" + shell_quoted(value) + "\n";
  return text;
}

std::string script_of(const CondaTool& tool, const NodeConda& node) {
  const auto cache = node.cache.empty() ? "\"$CACHE/conda\"" : shell_quoted(node.cache);
  std::string script = "tool=" + shell_quoted(tool.path) + "\nexport CONDA_PKGS_DIRS=" + cache + "\n";
  if (tool.kind == Kind::micromamba) script += "export MAMBA_ROOT_PREFIX=\"$PWD/root\"\n";
  script += "echo " + shell_quoted("making the environment with " + tool.name_and_version()) + "\n";
  const std::string create = "\"$tool\" create --yes --prefix \"$PREFIX\" \"$@\"";
  // See CondaTool::shares_cache. The lock goes with the process, however that ends.
  if (tool.shares_cache()) return script + "create() { " + create + "; }\n" + conda::kBuild;
  return script +
         "create() {\n"
         "  lock=$CONDA_PKGS_DIRS/.berth.lock\n"
         "  flock -n \"$lock\" true || echo 'waiting: another build has the package cache'\n"
         "  flock -o \"$lock\" " +
         create + "\n}\n" + conda::kBuild;
}

bool is_of_node(const std::string& url, const NodeConda& node) {
  const auto below = [&](const std::string& base) {
    return is_url(base) && url.starts_with(base) &&
           (base.ends_with('/') || url.size() == base.size() || url[base.size()] == '/');
  };
  return std::any_of(node.channels.begin(), node.channels.end(), below) ||
         std::any_of(node.mirrors.begin(), node.mirrors.end(), [&](const auto& one) { return below(one.second); });
}

// By a name, a channel is one of those that everybody may have.
bool is_for_all(const std::string& channel, const NodeConda& node) {
  const bool named = !is_url(channel) && !channel.starts_with('/') && !channel.starts_with('.');
  return (named || node.mirrors.contains(channel) || is_of_node(channel, node)) &&
         (node.mirrors.contains(channel) || !has_credentials(channel) || is_of_node(channel, node));
}

bool is_of_user(const CondaSpec& spec, const NodeConda& node) {
  const auto not_for_all = [&](const std::string& channel) { return !is_for_all(channel, node); };
  const bool channels = node.channels.empty() && std::any_of(spec.channels.begin(), spec.channels.end(), not_for_all);
  return channels || spec.pip.are_of_user() ||
         std::any_of(spec.dependencies.begin(), spec.dependencies.end(),
                     [&](const auto& one) { return !one.channel.empty() && not_for_all(one.channel); });
}

// A lock's packages have a digest each; where they are from counts all the same.
bool is_of_user(const std::vector<std::string>& packages, const Requirements& pip, const NodeConda& node) {
  const auto for_all = [&](const std::string& url) {
    return url.starts_with("https://conda.anaconda.org/") || url.starts_with("https://repo.anaconda.com/") ||
           is_of_node(url, node);
  };
  return pip.are_of_user() || !std::all_of(packages.begin(), packages.end(), for_all);
}

std::vector<std::string> inputs_of(const CondaTool& tool, const NodeConda& node,
                                   const std::vector<std::string>& sources) {
  auto inputs = files_of_program(tool.path);
  for (const auto& list : {sources, node.find_links, std::vector{node.index_url}, node.extra_index_urls})
    for (const auto& path : paths_of_sources(list)) inputs.push_back(path);
  for (const auto& [name, value] : node.variables)
    if (value.starts_with('/')) inputs.push_back(value);  // certificates
  return inputs;
}

// What specs and locks have in common.
Recipe recipe_of(const CondaTool& tool, const NodeConda& node, const Requirements& pip,
                 const std::map<std::string, std::string>& variables, const std::vector<std::string>& arguments) {
  Recipe recipe;
  recipe.kind = kCondaKind;
  recipe.script = script_of(tool, node);
  recipe.variables = variables_of(node);
  recipe.files = {
      {"arguments", lines_of(arguments)},
      {"requirements.txt", pip.empty() ? "" : pip.requirements_file()},
      {"constraints.txt", pip.constraints_file()},
      {"variables.sh", exports_of(variables)},
      {"activate.sh", conda::kActivate},
      {"describe.py", conda::kDescribe},
      {"lock.json",
       Json{{"platform", tool.platform}, {"pip_options", pip.option_lines()}, {"variables", variables}}.dump()}};
  return recipe;
}

// A lock's list of text, each checked and counted.
std::vector<std::string> texts(const Json& lock, const char* key) {
  const auto list = lock.find(key);
  if (list == lock.end()) return {};
  if (!list->is_array()) throw Error(Code::invalid, "the lock's '" + std::string(key) + "' is not a list", kLockOf);
  std::vector<std::string> found;
  for (const auto& item : *list) {
    if (!item.is_string())
      throw Error(Code::invalid, "the lock's '" + std::string(key) + "' has something that is not text", kLockOf);
    found.push_back(item.get<std::string>());
  }
  return found;
}

void check_explicit(const std::string& entry) {
  const bool proper = is_url(entry) && !has_credentials(entry) &&
                      std::none_of(entry.begin(), entry.end(),
                                   [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '\'' || c == '"'; });
  if (!proper)
    throw Error(Code::invalid, "the lock's '" + printable(without_credentials(entry)) + "' is not the URL of a package",
                kLockOf);
}

Requirements pip_of_lock(const Json& lock) {
  const Files none;
  RequirementsReader reader(none, Logins::refused);
  for (const auto* key : {"pip_options", "pip"}) {
    std::size_t line = 0;
    for (const auto& text : texts(lock, key)) reader.read(text, {std::string("the lock's ") + key, ++line});
  }
  auto pip = reader.take();
  pip.sort();
  return pip;
}

std::map<std::string, std::string> variables_of_lock(const Json& lock) {
  // Read as an environment file's are, and so checked in the same way.
  const Json file{{"dependencies", Json::array()}, {"variables", lock.value("variables", Json::object())}};
  return conda::parse_conda({"the lock", {{"the lock", file.dump()}}}).variables;
}

Json parse_lock(const std::string& text, const CondaTool& tool) {
  auto lock = read_lock(text);
  const auto is = [&](const char* key, const std::string& value) { return lock.contains(key) && lock[key] == value; };
  if (!lock.is_object() || !is("kind", "conda") || !lock.contains("platform") || texts(lock, "explicit").empty())
    throw Error(Code::invalid, "this is not the lock of a conda environment", kLockOf);
  if (!is("platform", tool.platform))
    throw Error(Code::unsupported,
                "the lock is for " + printable(lock["platform"].dump()) + " and this machine is " + tool.platform,
                "use the environment file, or lock it again on such a machine");
  return lock;
}

// A channel's packages by way of its mirror; conda-forge and its like live below one address.
std::string mirrored_url(const std::string& url, const NodeConda& node) {
  for (const auto& [channel, mirror] : node.mirrors) {
    const auto base = (is_url(channel) ? channel : "https://conda.anaconda.org/" + channel) + "/";
    if (url.starts_with(base)) return mirror + (mirror.ends_with('/') ? "" : "/") + url.substr(base.size());
  }
  return url;
}

}  // namespace

Recipe conda_recipe(const Conda& conda, const CondaTool& tool, const NodeConda& node) {
  const auto spec = conda::parse_conda(conda);
  const auto channels = channels_of(spec, node);
  auto dependencies = dependencies_of(spec);
  const auto words = words_of(dependencies, spec.pip);
  auto arguments = create_options(tool, node);
  arguments.emplace_back("--override-channels");
  for (const auto& channel : channels) arguments.insert(arguments.end(), {"--channel", channel});
  std::vector<std::string> identity;
  for (auto& dependency : dependencies) {
    if (!dependency.channel.empty()) dependency.channel = mirrored(dependency.channel, node);
    arguments.push_back(dependency.text());
    dependency.channel = without_credentials(dependency.channel);
    identity.push_back(dependency.text());
  }
  auto recipe = recipe_of(tool, node, spec.pip, spec.variables, arguments);
  recipe.files["pip_arguments"] = pip_arguments(spec.pip, node, false);
  recipe.words = words;
  recipe.of_user = is_of_user(spec, node);
  auto sources = channels;
  for (const auto& dependency : dependencies) sources.push_back(dependency.channel);
  sources.insert(sources.end(), spec.pip.indexes.find_links.begin(), spec.pip.indexes.find_links.end());
  recipe.inputs = inputs_of(tool, node, sources);
  Json canonical{{"kind", kCondaKind},         {"form", kForm},
                 {"platform", tool.platform},  {"channels", without_credentials(channels)},
                 {"dependencies", identity},   {"options", node.options},
                 {"variables", spec.variables}};
  if (!spec.pip.empty())
    canonical["pip"] = {{"options", spec.pip.option_lines()},
                        {"switches", spec.pip.switches},
                        {"requirements", spec.pip.requirements},
                        {"constraints", spec.pip.constraints},
                        {"sources", pip_sources(node)}};
  recipe.canonical = canonical.dump();
  return recipe;
}

Recipe locked_conda_recipe(const std::string& text, const CondaTool& tool, const NodeConda& node) {
  const auto lock = parse_lock(text, tool);
  const auto packages = texts(lock, "explicit");
  std::string list = "@EXPLICIT\n";
  for (const auto& package : packages) {
    check_explicit(package);
    list += mirrored_url(package, node) + "\n";
  }
  const auto pip = pip_of_lock(lock);
  const auto variables = variables_of_lock(lock);
  auto arguments = create_options(tool, node);
  arguments.insert(arguments.end(), {"--file", "explicit.txt"});
  auto recipe = recipe_of(tool, node, pip, variables, arguments);
  recipe.files["explicit.txt"] = list;
  recipe.of_user = is_of_user(packages, pip, node);
  std::vector<std::string> sources{pip.indexes.find_links};
  for (const auto& package : packages) {
    const auto url = mirrored_url(package, node);  // CHANNEL/PLATFORM/FILE
    sources.push_back(os::parent_of(os::parent_of(url.substr(0, url.find('#')))));
  }
  std::sort(sources.begin(), sources.end());
  sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
  recipe.inputs = inputs_of(tool, node, sources);
  recipe.files["pip_arguments"] = pip_arguments(pip, node, true);
  recipe.words =
      "conda environment from a lock (" + std::to_string(packages.size() + pip.requirements.size()) + " packages)";
  const std::set<std::string> sorted(packages.begin(), packages.end());
  recipe.canonical = Json{{"kind", kCondaKind},        {"form", kForm},
                          {"platform", tool.platform}, {"explicit", sorted},
                          {"pip", pip.requirements},   {"pip_options", pip.option_lines()},
                          {"variables", variables},    {"sources", pip.empty() ? Json() : pip_sources(node)}}
                         .dump();
  return recipe;
}

std::vector<gpu::CudaRequirement> cuda_wanted(const Conda& conda) {
  const auto spec = conda::parse_conda(conda);
  std::vector<std::string> dependencies;
  for (const auto& one : spec.dependencies) dependencies.push_back(one.text());
  auto wanted = gpu::wanted_by_conda(dependencies);
  for (auto& one : cuda_wanted(spec.pip)) wanted.push_back(std::move(one));
  return wanted;
}

CondaTool Condas::tool() {
  const std::lock_guard lock(mutex_);
  if (tool_ && stamp_of(tool_->path) == stamp_) return *tool_;
  tool_.reset();
  auto found = find_conda_tool(node_);
  stamp_ = stamp_of(found.path);
  tool_ = found;
  return found;
}

}  // namespace berth::environment
