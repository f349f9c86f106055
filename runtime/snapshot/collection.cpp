#include "runtime/snapshot/collection.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <memory>
#include <system_error>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/snapshot/content.hpp"
#include "runtime/snapshot/scan.hpp"
#include "runtime/snapshot/tree.hpp"
#include "runtime/snapshot/wire.hpp"

namespace berth::snapshot {
namespace {

using Components = std::vector<std::string>;

constexpr std::string_view kRequestMagic = "BRTHCRQ1";
constexpr std::string_view kAnswerMagic = "BRTHCOL1";
constexpr std::uint32_t kLongestReport = 4U << 20;
constexpr std::size_t kLongestText = 4096;
constexpr int kMostLinks = 40;

void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size());
  out += text;
}

std::string take_text(Parser& parser) { return std::string(parser.take(parser.number())); }

// "a//b/./c" → {a, b, c}, nothing where it would leave the directory that it is relative to.
std::optional<Components> split(std::string_view path) {
  Components components;
  while (!path.empty()) {
    const auto name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(name.size() + 1, path.size()));
    if (name.empty() || name == ".") continue;
    if (name == ".." || name.size() > kLongestName || name.find('\0') != std::string_view::npos) return std::nullopt;
    components.emplace_back(name);
  }
  return components;
}

std::string joined(const Components& components, const char* end = "") {
  std::string path;
  for (const auto& name : components) (path += path.empty() ? "" : "/") += name;
  return components.empty() ? path : path + end;
}

// In order; what lies within another one of the list is that one's.
std::vector<Components> topmost(std::vector<Components> all) {
  std::sort(all.begin(), all.end());
  std::vector<Components> kept;
  for (auto& components : all) {
    const bool within = !kept.empty() && kept.back().size() <= components.size() &&
                        std::equal(kept.back().begin(), kept.back().end(), components.begin());
    if (!within) kept.push_back(std::move(components));
  }
  return kept;
}

// Where a path leads, links included, and never out of the root.
class Resolver {
 public:
  Resolver(const os::Fd& root, const std::string& known_as) : root_(root) {
    if (known_as.starts_with('/')) known_as_ = split(known_as);
  }

  struct Place {
    os::Fd directory;
    std::string why;  // there is none; "" where there is nothing at all
  };

  Place find(const Components& path) {
    std::deque<std::string> pending(path.begin(), path.end());
    Components here;
    std::string link;
    for (int links = 0; !pending.empty();) {
      const auto name = std::move(pending.front());
      pending.pop_front();
      if (name == "..") {
        if (here.empty()) return out(link);
        here.pop_back();
        continue;
      }
      here.push_back(name);
      struct stat info {};
      const auto found = os::try_open_beneath(root_, joined(here), O_PATH);
      if (!found && (errno == ENOENT || errno == ENOTDIR)) return absent(link);
      if (!found || ::fstat(found.get(), &info) < 0) return refused("cannot be reached");
      if (!S_ISLNK(info.st_mode)) continue;
      if (++links > kMostLinks) return refused_as("is a symbolic link that leads in a circle");
      const auto target = target_of(found);
      link = target;
      here.pop_back();
      if (!follow(target, here, pending)) return out(link);
    }
    Place place;
    place.directory =
        os::try_open_beneath(root_, here.empty() ? "." : joined(here), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (!place.directory && errno == ENOTDIR) return refused_as("is no directory");
    if (!place.directory) return refused("cannot be read");
    return place;
  }

 private:
  static Place refused_as(std::string why) { return {os::Fd(), std::move(why)}; }
  static Place refused(const char* what) {
    return refused_as(std::string(what) + ": " + std::generic_category().message(errno));
  }
  static Place out(const std::string& link) {
    return refused_as("is a symbolic link to " + printable(link) + ", out of the job's tree");
  }
  static Place absent(const std::string& link) {
    if (link.empty()) return {};
    return refused_as("is a symbolic link to " + printable(link) + ", where the job left nothing");
  }

  static std::string target_of(const os::Fd& link) {
    std::string target(kLongestTarget + 1, '\0');
    const auto length = ::readlinkat(link.get(), "", target.data(), target.size());
    target.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return target;
  }

  // False where it leads out.
  bool follow(const std::string& target, Components& here, std::deque<std::string>& pending) const {
    Components steps;
    std::string_view rest = target;
    while (!rest.empty()) {
      const auto name = rest.substr(0, rest.find('/'));
      rest.remove_prefix(std::min(name.size() + 1, rest.size()));
      if (!name.empty() && name != ".") steps.emplace_back(name);
    }
    if (target.empty()) return false;
    if (target.starts_with('/')) {
      if (!known_as_ || known_as_->size() > steps.size() ||
          !std::equal(known_as_->begin(), known_as_->end(), steps.begin()))
        return false;
      steps.erase(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(known_as_->size()));
      here.clear();
    }
    pending.insert(pending.begin(), steps.begin(), steps.end());
    return true;
  }

  const os::Fd& root_;
  std::optional<Components> known_as_;
};

// What lies there are views of the kernel, not files that a job left.
bool is_kernels_own(const os::Fd& directory) {
  struct statfs info {};
  if (::fstatfs(directory.get(), &info) < 0) return false;
  constexpr std::array<long, 9> kKernels{PROC_SUPER_MAGIC,    SYSFS_MAGIC,      DEBUGFS_MAGIC,
                                         TRACEFS_MAGIC,       SECURITYFS_MAGIC, CGROUP_SUPER_MAGIC,
                                         CGROUP2_SUPER_MAGIC, BPF_FS_MAGIC,     DEVPTS_SUPER_MAGIC};
  return std::find(kKernels.begin(), kKernels.end(), static_cast<long>(info.f_type)) != kKernels.end();
}

// Which entries of a directory were made or changed; a directory goes with what is kept below it.
std::vector<bool> wanted_entries(const Manifest& manifest, const std::optional<Manifest>& code,
                                 const std::string& prefix) {
  std::vector<bool> wanted(manifest.entries().size(), true);
  if (!code) return wanted;
  for (auto i = static_cast<std::uint32_t>(wanted.size()); i-- > 0;) {
    const auto& entry = manifest[i];
    const auto old = code->find(prefix + manifest.path(i));
    wanted[i] = !old || (*code)[*old].kind != entry.kind || (*code)[*old].digest != entry.digest ||
                (*code)[*old].target != entry.target;
    for (auto child = i + 1; entry.is_directory() && !wanted[i] && child < entry.subtree_end; ++child)
      wanted[i] = wanted[child];
  }
  return wanted;
}

// One directory as it was scanned.
struct Part {
  os::Fd directory;
  Scan scan;
  std::optional<TreeContent> content;
};

// The snapshot of several parts, each entry read from where it came from.
class Parts : public Content {
 public:
  void append(std::unique_ptr<Part> part, const Components& under, const std::vector<bool>& wanted) {
    const auto common = static_cast<std::size_t>(
        std::mismatch(open_.begin(), open_.end(), under.begin(), under.end()).first - open_.begin());
    close_to(common);
    for (; open_.size() < under.size(); open_.push_back(under[open_.size()])) {
      builder_.begin_directory(under[open_.size()]);
      sources_.push_back({nullptr, 0});
    }
    append_entries(*part, wanted);
    parts_.push_back(std::move(part));
  }
  bool empty() const { return parts_.empty(); }
  Manifest finish() {
    close_to(0);
    return builder_.finish();
  }

  void small_file(const Manifest&, std::uint32_t entry, objects::Buffer& out) override {
    const auto& [part, index] = sources_[entry];
    part->content->small_file(part->scan.manifest, index, out);
  }
  void chunks(const Manifest&, std::uint32_t entry, std::span<const Chunk> run, objects::Buffer& out) override {
    const auto& [part, index] = sources_[entry];
    part->content->chunks(part->scan.manifest, index, run, out);
  }
  std::string recipe(const Manifest&, std::uint32_t entry) override {
    const auto& [part, index] = sources_[entry];
    return part->content->recipe(part->scan.manifest, index);
  }
  std::optional<std::string> earlier(const Digest&) override { return std::nullopt; }

 private:
  struct Source {
    Part* part;
    std::uint32_t entry;
  };

  void close_to(std::size_t depth) {
    for (; open_.size() > depth; open_.pop_back()) builder_.end_directory();
  }

  void append_entries(Part& part, const std::vector<bool>& wanted) {
    const auto& manifest = part.scan.manifest;
    std::vector<std::uint32_t> ends;
    for (std::uint32_t i = 0; i < manifest.entries().size(); ++i) {
      for (; !ends.empty() && i >= ends.back(); ends.pop_back()) builder_.end_directory();
      if (!wanted[i]) continue;
      const auto& entry = manifest[i];
      sources_.push_back({&part, i});
      if (entry.is_directory()) {
        builder_.begin_directory(entry.name);
        ends.push_back(entry.subtree_end);
      } else if (entry.kind == Kind::symlink) {
        builder_.symlink(entry.name, entry.target);
      } else {
        builder_.file(entry.name, entry.kind == Kind::executable, entry.size, entry.digest);
      }
    }
    for (; !ends.empty(); ends.pop_back()) builder_.end_directory();
  }

  ManifestBuilder builder_;
  Components open_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::vector<Source> sources_;  // of the entries of the snapshot, in order
};

std::string report(const LeftOuts& left_out) {
  std::string list;
  std::uint64_t listed = 0;
  for (const auto& each : left_out.named()) {
    if (list.size() > kLongestReport / 2) break;
    put_text(list, std::string_view(each.path).substr(0, kLongestText));
    put_text(list, std::string_view(each.why).substr(0, kLongestText));
    ++listed;
  }
  std::string bytes;
  put_number(bytes, left_out.count());
  put_number(bytes, listed);
  bytes += list;
  std::string head(kAnswerMagic);
  for (unsigned shift = 0; shift < 32; shift += 8) head += static_cast<char>(bytes.size() >> shift);
  return head + bytes;
}

// Everything that a request names, and how each is called in messages.
class Gatherer {
 public:
  Gatherer(const os::Fd& root, const CollectionRequest& request)
      : request_(request), resolver_(root, request.known_as), base_(split(request.base)) {
    if (!base_) throw Error(Code::invalid, "the directory '" + printable(request.base) + "' is out of the tree");
  }

  void run(const Sink& answer) {
    std::vector<Components> all;
    for (const auto& directory : request_.directories) {
      auto components = split(directory);
      if (!components)
        left_out_.add(printable(directory), "leads out of the job's tree");
      else if (!components->empty())
        all.push_back(std::move(*components));
    }
    for (const auto& directory : topmost(std::move(all))) gather(directory);
    answer(report(left_out_));
    if (parts_.empty()) return;
    const auto manifest = parts_.finish();
    write_pack(manifest, {}, parts_, answer);
  }

 private:
  void gather(const Components& directory) {
    auto path = *base_;
    path.insert(path.end(), directory.begin(), directory.end());
    auto place = resolver_.find(path);
    const auto shown = printable(joined(directory));
    if (!place.why.empty()) return left_out_.add(shown, place.why);
    if (!place.directory) return;
    if (is_kernels_own(place.directory)) return left_out_.add(shown, "is the kernel's, not files that a job left");
    for (const auto& name : directory)
      if (!is_valid_name(name)) return left_out_.add(shown, "has a name that is not UTF-8");
    auto part = std::make_unique<Part>();
    part->directory = std::move(place.directory);
    auto options = collecting();
    options.most_bytes = request_.most_bytes - std::min(bytes_, request_.most_bytes);
    options.most_entries = request_.most_entries - std::min(entries_, request_.most_entries);
    options.deepest = kDeepest - std::min(directory.size(), kDeepest - 1);
    part->scan = scan(part->directory, options);
    part->content.emplace(part->directory, part->scan, nullptr);
    left_out_.add(part->scan.left_out, joined(directory, "/"));
    const auto wanted = wanted_entries(part->scan.manifest, request_.code, joined(path, "/"));
    if (std::find(wanted.begin(), wanted.end(), true) == wanted.end()) return;
    bytes_ += part->scan.manifest.totals().bytes;
    entries_ += part->scan.manifest.entries().size();
    parts_.append(std::move(part), directory, wanted);
  }

  const CollectionRequest& request_;
  Resolver resolver_;
  std::optional<Components> base_;
  LeftOuts left_out_;
  Parts parts_;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
};

void read_exactly(ByteSource& source, std::span<char> room) {
  while (!room.empty()) {
    const auto length = source.read(room);
    if (length == 0) throw Error(Code::corrupt, "the answer ends early");
    room = room.subspan(length);
  }
}

LeftOuts read_report(ByteSource& source) {
  std::array<char, 12> head;
  read_exactly(source, head);
  if (std::string_view(head.data(), 8) != kAnswerMagic) throw Error(Code::corrupt, "the answer is of no known kind");
  std::uint32_t length = 0;
  for (unsigned i = 0; i < 4; ++i) length |= std::uint32_t{static_cast<unsigned char>(head[8 + i])} << (8 * i);
  if (length > kLongestReport) throw Error(Code::too_large, "the answer tells too much");
  std::string bytes(length, '\0');
  read_exactly(source, bytes);
  Parser parser(bytes, "the answer");
  LeftOuts left_out;
  const auto count = parser.number();
  const auto listed = parser.number();
  if (listed > count || listed > LeftOuts::kNamed) parser.fail("it names too many");
  for (std::uint64_t i = 0; i < listed; ++i) {
    const auto path = take_text(parser);
    const auto why = take_text(parser);
    left_out.add(printable(path), printable(why));
  }
  left_out.count_more(count - listed);
  return left_out;
}

// What comes before the end, given back to whoever reads on.
class Ahead : public ByteSource {
 public:
  explicit Ahead(ByteSource& source) : source_(source) { length_ = source.read(buffer_); }
  bool at_end() const { return length_ == 0; }
  std::size_t read(std::span<char> room) override {
    if (begin_ == length_) return source_.read(room);
    const auto n = std::min(room.size(), length_ - begin_);
    std::copy_n(buffer_.data() + begin_, n, room.data());
    begin_ += n;
    return n;
  }

 private:
  ByteSource& source_;
  std::array<char, 4096> buffer_;
  std::size_t begin_ = 0;
  std::size_t length_ = 0;
};

// The gatherer knows nothing of what is stored.
class WithoutBases : public OwnersView {
 public:
  bool may_use(const Digest&) const override { return false; }
};

}  // namespace

std::string CollectionRequest::to_bytes() const {
  std::string bytes(kRequestMagic);
  put_number(bytes, directories.size());
  for (const auto& directory : directories) put_text(bytes, directory);
  put_text(bytes, base);
  put_text(bytes, known_as);
  put_number(bytes, most_bytes);
  put_number(bytes, most_entries);
  put_text(bytes, code ? code->bytes() : std::string_view());
  return bytes;
}

CollectionRequest CollectionRequest::from_bytes(const std::string& bytes) {
  Parser parser(bytes, "the request");
  if (parser.left() < kRequestMagic.size() || parser.take(kRequestMagic.size()) != kRequestMagic)
    parser.fail("it is of no known kind");
  CollectionRequest request;
  for (auto count = parser.number(); count > 0; --count) request.directories.push_back(take_text(parser));
  request.base = take_text(parser);
  request.known_as = take_text(parser);
  request.most_bytes = parser.number();
  request.most_entries = parser.number();
  if (auto code = take_text(parser); !code.empty()) request.code = Manifest::parse(std::move(code));
  return request;
}

void collect(const os::Fd& root, const CollectionRequest& request, const Sink& answer) {
  Gatherer(root, request).run(answer);
}

bool anything_to_collect(const os::Fd& root, const CollectionRequest& request) {
  const auto base = split(request.base);
  if (!base) return true;
  for (const auto& directory : request.directories) {
    auto path = *base;
    const auto components = split(directory);
    if (!components) return true;
    path.insert(path.end(), components->begin(), components->end());
    // Only that there is nothing is for sure: a link on the way may lead somewhere.
    if (os::try_open_beneath(root, path.empty() ? "." : joined(path), O_PATH) || errno != ENOENT) return true;
  }
  return false;
}

Collection receive_collection(objects::Store& store, ByteSource& answer, const ReceiveLimits& limits) {
  Collection collection;
  collection.left_out = read_report(answer);
  Ahead pack(answer);
  if (pack.at_end()) return collection;
  auto received = receive_pack(store, WithoutBases(), pack, limits);
  collection.snapshot = received.manifest.id();
  collection.bytes = received.manifest.totals().bytes;
  collection.pin = std::move(received.pin);
  return collection;
}

}  // namespace berth::snapshot
