#include "runtime/environment/image_conda.hpp"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/docker/registry.hpp"
#include "runtime/environment/conda_recipe.hpp"
#include "runtime/environment/credentials.hpp"
#include "runtime/environment/user_text.hpp"

namespace berth::environment {
namespace {

constexpr std::string_view kResultMark = "berth-result: ";
constexpr std::size_t kLongestColour = 8;  // the engine ends the colour of errors at the beginning of the next line
constexpr std::uint64_t kLargestResult = 8U << 20;

// sh; stands in the build directory beside a directory for each kind of tool.
const char* const kRun = R"sh(set -eu
cd "$(dirname "$0")"
work=$PWD
fail() { echo "error: $*" >&2; exit 1; }

find_tool() {
  for name in micromamba mamba conda; do
    tool=$(command -v "$name") && return
    for place in "${CONDA_DIR:-}" /opt/conda /opt/miniconda /opt/miniconda3 /opt/miniforge3 /opt/mambaforge /root/miniconda3; do
      tool=$place/bin/$name
      [ ! -x "$tool" ] || return 0
    done
  done
  [ -s micromamba-static ] || fail "the image has no micromamba, mamba or conda, and this node has no static micromamba to lend it"
  cp micromamba-static lent
  chmod 755 lent
  name=micromamba tool=$work/lent
}

find_tool
recipe=$name
if [ "$name" = mamba ]; then
  case $("$tool" --version 2>/dev/null | head -n 1) in
    mamba\ [01].* | [01].*) recipe=conda ;;
  esac
fi
printf '#!/bin/sh\nexec "%s" "$@"\n' "$tool" >tool
chmod 755 tool
echo "making the environment with $tool $("$tool" --version 2>/dev/null | head -n 1)"
. ./variables.sh
export PREFIX=/opt/berth/env CACHE=/opt/berth/cache TMPDIR="$work/tmp" LC_ALL=C.UTF-8
unset PYTHONPATH PYTHONHOME
mkdir -p "$CACHE" "$TMPDIR"
cd "$recipe"
export HOME="$PWD"
sh -eu ./script.sh
{ fold -w 2000 result.json; echo; } | sed 's/^/berth-result: /'
cd /
rm -rf "$CACHE" "$work"
)sh";

const char* const kDockerfile = R"(USER 0
COPY . /opt/berth/build/
ARG BERTH_BUILD
RUN ["/bin/sh", "/opt/berth/build/run.sh"]
)";

std::string conda_platform() {
  const auto architecture = docker::this_platform().architecture;
  if (architecture == "amd64") return "linux-64";
  if (architecture == "arm64") return "linux-aarch64";
  return "linux-" + architecture;
}

CondaTool tool_in_image(CondaTool::Kind kind) { return {kind, "/opt/berth/build/tool", conda_platform(), {2, 0, 0}}; }

// Only the image knows its tool's version: run.sh tells it.
std::string without_announcement(std::string script) {
  constexpr std::string_view kAnnouncement = "echo 'making the environment with ";
  const auto at = script.find(kAnnouncement);
  if (at != std::string::npos) script.erase(at, script.find('\n', at) + 1 - at);
  return script;
}

std::string exports_of(const std::vector<std::pair<std::string, std::string>>& variables, const std::string& cuda) {
  std::string text;
  for (const auto& [name, value] : variables) text += "export " + name + "=" + shell_quoted(value) + "\n";
  // conda's __cuda has two numbers.
  const auto dot = cuda.find('.');
  const auto version = cuda.substr(0, dot == std::string::npos ? dot : cuda.find('.', dot + 1));
  if (!version.empty()) text += "export CONDA_OVERRIDE_CUDA=" + shell_quoted(version) + "\n";
  return text;
}

// As conda and pip take them: in URLs.
bool has_secret(const Recipe& recipe) {
  const auto in_words = [](const std::string& text) {
    const auto words = words_of(text);
    return std::any_of(words.begin(), words.end(), [](const auto& word) { return has_credentials(word); });
  };
  const auto file = [&](const auto& named) { return named.first == ".netrc" || in_words(named.second); };
  const auto variable = [&](const auto& one) { return in_words(one.second); };
  return std::any_of(recipe.variables.begin(), recipe.variables.end(), variable) ||
         std::any_of(recipe.files.begin(), recipe.files.end(), file);
}

template <class MakeRecipe>
ImageConda made_with(const MakeRecipe& recipe_for, const std::string& base, const std::string& cuda,
                     const std::string& micromamba) {
  using Kind = CondaTool::Kind;
  ImageConda made;
  for (const auto& [name, kind] :
       {std::pair("micromamba", Kind::micromamba), std::pair("mamba", Kind::mamba), std::pair("conda", Kind::conda)}) {
    const Recipe recipe = recipe_for(tool_in_image(kind));
    const auto directory = std::string(name) + "/";
    for (const auto& [file, content] : recipe.files) made.files[directory + file] = content;
    made.files[directory + "script.sh"] = without_announcement(recipe.script);
    made.files["variables.sh"] = exports_of(recipe.variables, cuda);
    made.words = recipe.words;
    made.canonical = recipe.canonical;
    made.secret = made.secret || has_secret(recipe);
  }
  made.files["run.sh"] = kRun;
  made.files["Dockerfile"] = "FROM " + base + "\n" + kDockerfile;
  if (!micromamba.empty()) made.files["micromamba-static"] = micromamba;
  return made;
}

// A build within an image has none of the node's directories.
NodeConda within_image(NodeConda node) {
  node.cache.clear();
  return node;
}

}  // namespace

ImageConda image_conda(const Conda& conda, const std::string& base, const std::string& cuda,
                       const std::string& micromamba, const NodeConda& node) {
  const auto inside = within_image(node);
  return made_with([&](const CondaTool& tool) { return conda_recipe(conda, tool, inside); }, base, cuda, micromamba);
}

ImageConda image_conda_of_lock(const std::string& lock, const std::string& base, const std::string& cuda,
                               const std::string& micromamba, const NodeConda& node) {
  const auto inside = within_image(node);
  return made_with([&](const CondaTool& tool) { return locked_conda_recipe(lock, tool, inside); }, base, cuda,
                   micromamba);
}

std::string final_dockerfile(const std::string& base, const std::string& made, bool secret) {
  if (!secret) return "FROM " + made + "\n";
  return "FROM " + base + "\nUSER 0\nCOPY --from=" + made + " " + kImagePrefix + " " + kImagePrefix + "\n";
}

void ImageCondaOutput::take(std::string_view line) {
  const auto mark = line.find(kResultMark);
  if (mark > kLongestColour) return log_(line);
  result_ += line.substr(mark + kResultMark.size());
  if (result_.size() > kLargestResult) throw Error(Code::too_large, "the build's result is larger than 8 MiB");
}

bool is_static_program(std::string_view elf) {
  Elf64_Ehdr header{};
  if (elf.size() < sizeof header || !elf.starts_with("\177ELF")) return false;
  std::memcpy(&header, elf.data(), sizeof header);
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    const auto at = header.e_phoff + i * sizeof part;
    if (at > elf.size() || elf.size() - at < sizeof part) return false;
    std::memcpy(&part, elf.data() + at, sizeof part);
    if (part.p_type == PT_INTERP) return false;
  }
  return true;
}

}  // namespace berth::environment
