#include "runtime/environment/conda_spec.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::environment::conda {
namespace {

constexpr std::size_t kLargestFile = 1U << 20;
constexpr std::size_t kLargestSum = 8U << 20;
constexpr std::size_t kMostEntries = 10'000;
constexpr std::size_t kMostChannels = 100;
constexpr std::size_t kLongestValue = 32'768;

bool is_name(std::string_view text) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && fits(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return fits(c) || (c >= '0' && c <= '9'); });
}

class DocumentCount : public YAML::EventHandler {
 public:
  int count() const { return count_; }

 private:
  using Mark = YAML::Mark;
  using Anchor = YAML::anchor_t;
  using Style = YAML::EmitterStyle::value;
  void OnDocumentStart(const Mark&) override { ++count_; }
  void OnDocumentEnd() override {}
  void OnNull(const Mark&, Anchor) override {}
  void OnAlias(const Mark&, Anchor) override {}
  void OnScalar(const Mark&, const std::string&, Anchor, const std::string&) override {}
  void OnSequenceStart(const Mark&, const std::string&, Anchor, Style) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const Mark&, const std::string&, Anchor, Style) override {}
  void OnMapEnd() override {}

  int count_ = 0;
};

// YAML::LoadAll would do, but there are malformed files in which it finds documents without end.
bool has_several_documents(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  DocumentCount documents;
  while (documents.count() < 2 && parser.HandleNextDocument(documents)) {
  }
  return documents.count() > 1;
}

// Reads one environment file; keeps count, since an alias makes much out of little.
class Reader {
 public:
  explicit Reader(const Conda& conda) : conda_(conda), pip_(conda.files, Logins::refused) {}

  CondaSpec read() {
    const auto root = document(text());
    if (!root.IsMap())
      fail(root, "is not a conda environment: it has no 'dependencies'",
           "write lines of 'key: value', as in 'dependencies:'");
    bool has_dependencies = false;
    for_each_key(root, [&](const std::string& key, const YAML::Node& name, const YAML::Node& value) {
      if (key == "channels") {
        read_channels(value);
      } else if (key == "dependencies") {
        has_dependencies = true;
        read_dependencies(value);
      } else if (key == "variables") {
        read_variables(value);
      } else if (key != "name" && key != "prefix") {
        fail(name, "has the unknown key '" + printable(key) + "'",
             "known keys: name, channels, dependencies, variables, prefix");
      }
    });
    if (!has_dependencies) fail(root, "has no 'dependencies'", "list the packages under 'dependencies:'");
    spec_.pip = pip_.take();
    spec_.pip.sort();
    return std::move(spec_);
  }

 private:
  Place place(const YAML::Node& node) const {
    const auto mark = node.Mark();
    return {conda_.file, mark.line < 0 ? 1 : static_cast<std::size_t>(mark.line) + 1};
  }

  [[noreturn]] void fail(const YAML::Node& node, const std::string& why, const std::string& remedy) const {
    refuse(place(node), why, remedy);
  }

  const std::string& text() const {
    const auto file = conda_.files.find(conda_.file);
    if (file == conda_.files.end())
      throw Error(Code::not_found,
                  "the environment file '" + printable(conda_.file) + "' is not among the files sent with it",
                  "check the file's name");
    std::size_t sum = 0;
    for (const auto& [name, contents] : conda_.files) sum += contents.size();
    if (file->second.size() > kLargestFile || sum > kLargestSum)
      throw Error(Code::too_large,
                  printable(conda_.file) + " is larger than 1 MiB, or with what it includes larger than 8 MiB",
                  "such a file lists packages, and needs a few kilobytes");
    if (!is_utf8(file->second)) refuse({conda_.file, 1}, "is not UTF-8 text", "save it as UTF-8");
    return file->second;
  }

  YAML::Node document(const std::string& text) const {
    try {
      if (has_several_documents(text))
        refuse({conda_.file, 1}, "has several documents", "keep one, without a line of '---' in the middle");
      auto document = YAML::Load(text);
      if (document.IsNull()) refuse({conda_.file, 1}, "is empty", "list the packages under 'dependencies:'");
      return document;
    } catch (const YAML::Exception& error) {
      const auto line = error.mark.line < 0 ? 1 : static_cast<std::size_t>(error.mark.line) + 1;
      refuse({conda_.file, line}, "is not well-formed YAML: " + printable(error.msg),
             "correct the line or the one above it");
    }
  }

  template <typename Visit>
  void for_each_key(const YAML::Node& map, Visit visit) {
    std::set<std::string> seen;
    for (const auto& pair : map) {
      count(map);
      if (!pair.first.IsScalar()) fail(map, "has a key that is not text", "write lines of 'key: value'");
      const auto& key = pair.first.Scalar();
      if (!seen.insert(key).second)
        fail(pair.first, "has '" + printable(key) + "' twice",
             "keep one of the two; conda would take the last and drop the other");
      visit(key, pair.first, pair.second);
    }
  }

  void read_channels(const YAML::Node& list) {
    if (list.IsNull()) return;
    if (!list.IsSequence())
      fail(list, "'channels' is not a list", "write each channel on a line of its own, after '- '");
    for (const auto& item : list) {
      count(item);
      read_channel(item);
    }
    if (spec_.channels.size() > kMostChannels) fail(list, "names more than 100 channels", "name those that are needed");
  }

  void read_channel(const YAML::Node& item) {
    if (!item.IsScalar()) fail(item, "has a channel that is not text", "write its name or URL after '- '");
    const auto channel = std::string(trimmed(item.Scalar()));
    const auto quoted = "the channel '" + printable(channel.substr(0, 200)) + "' ";
    if (channel == "nodefaults" || channel.empty()) return;  // no channel is added to those named here anyway
    if (has_credentials(channel))
      fail(item, "a channel has a user name, password or token in its URL",
           "give it a name in the node's configuration (its mirrors), where such URLs are kept");
    if (const auto reference = variable_reference(channel); !reference.empty())
      fail(item, quoted + "uses the variable " + reference, "write what it stands for");
    if (channel.front() == '.' || channel.front() == '~')
      fail(item, quoted + "is a directory of the machine where it was written",
           "give its name, its URL or an absolute path of the node");
    const bool proper =
        channel.front() != '-' && std::none_of(channel.begin(), channel.end(), [](unsigned char c) {
          return c <= ' ' || c >= 0x7f ||
                 std::string_view("\"'`\\,;<>|&[]{}()").find(static_cast<char>(c)) != std::string_view::npos;
        });
    if (!proper) fail(item, quoted + "has a strange character", "give its name, as in 'conda-forge', or its URL");
    if (std::find(spec_.channels.begin(), spec_.channels.end(), channel) == spec_.channels.end())
      spec_.channels.push_back(channel);
  }

  void read_dependencies(const YAML::Node& list) {
    if (!list.IsSequence())
      fail(list, "'dependencies' is not a list", "write each package on a line of its own, after '- '");
    for (const auto& item : list) {
      count(item);
      if (item.IsMap()) {
        read_section(item);
      } else if (item.IsScalar()) {
        spec_.dependencies.insert(parse_match_spec(item.Scalar(), place(item)));
      } else if (!item.IsNull()) {
        fail(item, "has a dependency that is neither a package nor 'pip:'",
             "write packages after '- ', as in '- numpy=1.26'");
      }
    }
  }

  void read_section(const YAML::Node& map) {
    for_each_key(map, [&](const std::string& key, const YAML::Node& name, const YAML::Node& value) {
      if (key != "pip")
        fail(name, "has the unknown section '" + printable(key) + "' among its dependencies",
             "only 'pip:' may stand there");
      read_pip(value);
    });
  }

  void read_pip(const YAML::Node& list) {
    if (list.IsNull()) return;
    if (!list.IsSequence())
      fail(list, "'pip' is not a list", "write each requirement on a line of its own, after '- '");
    for (const auto& item : list) {
      count(item);
      if (item.IsNull()) continue;  // a '-' with nothing after it
      if (!item.IsScalar())
        fail(item, "has a requirement that is not text",
             "write it after '- ', in quotes where it has a colon and a blank");
      pip_.read(item.Scalar(), place(item));
    }
  }

  void read_variables(const YAML::Node& map) {
    if (map.IsNull()) return;
    if (!map.IsMap()) fail(map, "'variables' is not a list of names and values", "write lines of 'NAME: value'");
    for_each_key(map, [&](const std::string& name, const YAML::Node& key, const YAML::Node& value) {
      if (!is_name(name))
        fail(key, "'" + printable(name) + "' cannot be a variable's name", "use letters, digits and '_'");
      if (name == "PATH") fail(key, "sets PATH, on which the environment's programs are found", "name it otherwise");
      if (!value.IsScalar() && !value.IsNull())
        fail(value, "the variable " + name + " is not text", "put its value in quotes");
      const auto text = value.IsNull() ? "" : value.Scalar();
      if (text.size() > kLongestValue || text.find('\0') != std::string::npos)
        fail(value, "the variable " + name + " is longer than 32768 bytes, or has a NUL in it", "put it into a file");
      spec_.variables[name] = text;
    });
  }

  void count(const YAML::Node& node) {
    if (++entries_ > kMostEntries)
      fail(node, "has more than 10000 entries", "name fewer packages; the solver finds what they need");
  }

  const Conda& conda_;
  RequirementsReader pip_;
  CondaSpec spec_;
  std::size_t entries_ = 0;
};

}  // namespace

CondaSpec parse_conda(const Conda& conda) { return Reader(conda).read(); }

}  // namespace berth::environment::conda
