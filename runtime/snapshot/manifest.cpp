#include "runtime/snapshot/manifest.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/wire.hpp"

namespace berth::snapshot {
namespace {

constexpr std::string_view kMagic = "BRTHSNP1";
constexpr char kEnd = '\0';

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

bool is_valid_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestName || name == "." || name == "..") return false;
  for (const char c : name)
    if (c == '/' || c == '\n' || c == '\0') return false;
  return is_ascii(name) || is_utf8(name);
}

class ManifestParser {
 public:
  explicit ManifestParser(std::string bytes)
      : data_(std::make_shared<Manifest::Data>()), parser_(adopt(std::move(bytes)), "the snapshot's manifest") {}

  Manifest parse() {
    if (parser_.left() < kMagic.size() || parser_.take(kMagic.size()) != kMagic)
      parser_.fail("it is no manifest of a version known here");
    data_->entries.reserve(data_->bytes.size() / 48);
    open_.push_back({Manifest::kRoot, {}});
    while (!open_.empty()) entry();
    if (!parser_.at_end()) parser_.fail("bytes follow its end");
    data_->id = objects::sha256(data_->bytes);
    return Manifest(std::move(data_));
  }

 private:
  struct Open {
    std::uint32_t index;
    std::string_view last_name;
  };

  std::string_view adopt(std::string bytes) {
    if (bytes.size() > kLargestManifest)
      throw Error(Code::too_large, "the snapshot's manifest is larger than 256 MiB",
                  "split the tree or ignore parts of it");
    data_->bytes = std::move(bytes);
    return data_->bytes;
  }

  std::uint32_t count() const { return static_cast<std::uint32_t>(data_->entries.size()); }

  void entry() {
    const auto begin = static_cast<std::uint32_t>(parser_.position());
    const auto kind = parser_.byte();
    if (kind == 0) return close();
    if (kind > static_cast<std::uint8_t>(Kind::symlink)) parser_.fail("an entry is of no known kind");
    Entry entry;
    entry.kind = static_cast<Kind>(kind);
    entry.bytes_begin = begin;
    entry.parent = open_.back().index;
    entry.name = name();
    if (entry.is_file()) file(entry);
    if (entry.kind == Kind::symlink) symlink(entry);
    entry.bytes_end = static_cast<std::uint32_t>(parser_.position());
    entry.subtree_end = count() + 1;
    data_->entries.push_back(entry);
    if (entry.is_directory()) directory();
  }

  std::string_view name() {
    const auto name = parser_.take(parser_.number());
    if (!is_valid_name(name)) parser_.fail("a name is not allowed: \"" + printable(name.substr(0, 300)) + "\"");
    auto& last = open_.back().last_name;
    if (!last.empty() && !(last < name)) parser_.fail("names are out of order at " + printable(name));
    return last = name;
  }

  void file(Entry& entry) {
    entry.size = parser_.number();
    if (entry.size > kLargestFile) parser_.fail("a file is larger than 1 TiB");
    entry.digest = parser_.digest();
    ++data_->totals.files;
    data_->totals.bytes += entry.size;
    if (data_->totals.bytes > (1ULL << 60)) parser_.fail("its files are too large");
  }

  void symlink(Entry& entry) {
    entry.target = parser_.take(parser_.number());
    if (entry.target.empty() || entry.target.size() > kLongestTarget ||
        entry.target.find('\0') != std::string_view::npos)
      parser_.fail("the target of a symbolic link is not allowed");
    ++data_->totals.symlinks;
  }

  void directory() {
    ++data_->totals.directories;
    if (open_.size() >= kDeepest) parser_.fail("directories are nested too deep");
    open_.push_back({count() - 1, {}});
  }

  void close() {
    const auto index = open_.back().index;
    open_.pop_back();
    if (index == Manifest::kRoot) return;
    data_->entries[index].subtree_end = count();
    data_->entries[index].bytes_end = static_cast<std::uint32_t>(parser_.position());
  }

  std::shared_ptr<Manifest::Data> data_;
  Parser parser_;
  std::vector<Open> open_;
};

Manifest::Manifest() : Manifest(ManifestBuilder().finish()) {}

Manifest Manifest::parse(std::string bytes) { return ManifestParser(std::move(bytes)).parse(); }

std::string Manifest::path(std::size_t index) const {
  std::vector<std::string_view> names;
  for (auto i = static_cast<std::uint32_t>(index); i != kRoot; i = (*this)[i].parent) names.push_back((*this)[i].name);
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!path.empty()) path += '/';
    path += *name;
  }
  return path;
}

std::vector<std::uint32_t> Manifest::children(std::uint32_t directory) const {
  std::vector<std::uint32_t> children;
  std::uint32_t i = directory == kRoot ? 0 : directory + 1;
  const auto end = directory == kRoot ? static_cast<std::uint32_t>(entries().size()) : (*this)[directory].subtree_end;
  for (; i < end; i = (*this)[i].subtree_end) children.push_back(i);
  return children;
}

std::optional<std::uint32_t> Manifest::find(std::string_view path) const {
  std::uint32_t i = 0;
  auto end = static_cast<std::uint32_t>(entries().size());
  while (true) {
    const auto slash = path.find('/');
    const auto name = path.substr(0, slash);
    while (i < end && (*this)[i].name < name) i = (*this)[i].subtree_end;
    if (i >= end || (*this)[i].name != name) return std::nullopt;
    if (slash == std::string_view::npos) return i;
    path.remove_prefix(slash + 1);
    end = (*this)[i].subtree_end;
    ++i;
  }
}

ManifestBuilder::ManifestBuilder() : bytes_(kMagic), last_names_(1) {}

void ManifestBuilder::entry(Kind kind, std::string_view name) {
  if (last_names_.empty() || !is_valid_name(name) || (!last_names_.back().empty() && !(last_names_.back() < name)))
    throw Error(Code::internal, "the manifest's entry " + printable(name) + " is out of order");
  last_names_.back() = name;
  bytes_ += static_cast<char>(kind);
  put_number(bytes_, name.size());
  bytes_ += name;
}

void ManifestBuilder::begin_directory(std::string_view name) {
  entry(Kind::directory, name);
  last_names_.emplace_back();
}

void ManifestBuilder::end_directory() {
  bytes_ += kEnd;
  last_names_.pop_back();
}

void ManifestBuilder::file(std::string_view name, bool executable, std::uint64_t size, const Digest& digest) {
  entry(executable ? Kind::executable : Kind::file, name);
  put_number(bytes_, size);
  put_digest(bytes_, digest);
}

void ManifestBuilder::symlink(std::string_view name, std::string_view target) {
  entry(Kind::symlink, name);
  put_number(bytes_, target.size());
  bytes_ += target;
}

Manifest ManifestBuilder::finish() {
  if (last_names_.size() != 1) throw Error(Code::internal, "a directory of the manifest was not closed");
  end_directory();
  return Manifest::parse(std::move(bytes_));
}

}  // namespace berth::snapshot
