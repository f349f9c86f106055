#include "runtime/objects/store.hpp"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <tuple>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/objects/container.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/objects/workers.hpp"

namespace berth::objects {
namespace {

constexpr std::string_view kSuffix = ".objects";
constexpr std::string_view kTemporary = ".tmp";

std::vector<std::string> names_in(const std::string& directory) {
  DIR* raw = ::opendir(directory.c_str());
  if (raw == nullptr) throw_errno("list", printable(directory));
  const std::unique_ptr<DIR, int (*)(DIR*)> handle(raw, &::closedir);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(raw)) names.emplace_back(entry->d_name);
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::uint64_t> id_of(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  std::uint64_t id = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), id, 16);
  if (failure != std::errc() || end != name.data() + name.size() || name.size() != 16) return std::nullopt;
  return id;
}

os::FileLock lock_of(const std::string& directory) {
  os::make_directories(directory, 0700);
  auto lock = os::FileLock::try_acquire(os::join(directory, "lock"));
  if (!lock) throw Error(Code::conflict, "the object store " + printable(directory) + " is in use by another process");
  return std::move(*lock);
}

[[noreturn]] void missing(const Digest& digest) {
  throw Error(Code::not_found, "object " + digest.brief() + " is not in the store");
}

void verify(const Digest& digest, std::string_view bytes, const Container& container) {
  if (sha256(bytes) == digest) return;
  throw Error(Code::corrupt, "object " + digest.brief() + " in " + printable(container.path()) + " is damaged",
              "the disk may be failing; submit the snapshot again after removing that file");
}

}  // namespace

struct Store::Found {
  std::shared_ptr<const Container> container;
  Place place;
  const FrameRecord& frame() const { return container->frames()[place.frame]; }
};

struct Store::CachedFrame {
  std::shared_ptr<const Container> container;
  std::uint32_t number = 0;
  Buffer raw;
};

Store::Store(std::string directory)
    : directory_(std::move(directory)), lock_(lock_of(directory_)), containers_(std::make_shared<Containers>()) {
  load();
}

Store::~Store() = default;

void Store::load() {
  Containers found;
  for (const auto& name : names_in(directory_)) {
    const auto path = os::join(directory_, name);
    if (name.ends_with(kTemporary)) os::remove_file(path);
    const auto id = id_of(name);
    if (!id) continue;
    next_id_ = std::max(next_id_, *id + 1);
    try {
      found.push_back(Container::open(path, *id));
    } catch (const Error& error) {
      if (error.code() != Code::corrupt) throw;
      damaged_.push_back(path + ".damaged");
      if (::rename(path.c_str(), damaged_.back().c_str()) < 0) throw_errno("set aside", printable(path));
    }
  }
  replace_containers(std::move(found));
}

std::string Store::container_path(std::uint64_t id) const {
  char name[17];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(id));
  return os::join(directory_, std::string(name).append(kSuffix));
}

std::string Store::temporary_path() {
  const std::lock_guard lock(mutex_);
  return os::join(directory_, std::to_string(temporaries_++).append(kTemporary));
}

std::shared_ptr<const Store::Containers> Store::containers() const {
  const std::lock_guard lock(mutex_);
  return containers_;
}

// The fullest first: most look-ups end there.
void Store::replace_containers(Containers containers) {
  std::stable_sort(containers.begin(), containers.end(),
                   [](const auto& a, const auto& b) { return a->digests().size() > b->digests().size(); });
  auto list = std::make_shared<const Containers>(std::move(containers));
  const std::lock_guard lock(mutex_);
  containers_ = std::move(list);
  cached_.reset();
}

std::optional<Store::Found> Store::find(const Digest& digest) const {
  const auto list = containers();
  for (const auto& container : *list)
    if (const auto place = container->find(digest)) return Found{container, *place};
  return std::nullopt;
}

bool Store::has(const Digest& digest) const { return find(digest).has_value(); }

std::optional<std::uint64_t> Store::size_of(const Digest& digest) const {
  const auto found = find(digest);
  if (!found) return std::nullopt;
  return found->place.size;
}

std::shared_ptr<const Store::CachedFrame> Store::frame_of(const Found& found) const {
  {
    const std::lock_guard lock(mutex_);
    if (cached_ && cached_->container == found.container && cached_->number == found.place.frame) return cached_;
  }
  auto loaded = std::make_shared<CachedFrame>();
  loaded->container = found.container;
  loaded->number = found.place.frame;
  loaded->raw.resize(found.frame().raw);
  Buffer stored;
  Decompressor decompressor;
  found.container->read_stored(found.frame(), stored);
  decode_frame(decompressor, static_cast<Encoding>(found.frame().encoding), stored.view(), loaded->raw.span());
  const std::lock_guard lock(mutex_);
  return cached_ = loaded;
}

std::string Store::read(const Digest& digest) const {
  const auto found = find(digest);
  if (!found) missing(digest);
  std::string bytes;
  if (found->frame().encoding == static_cast<std::uint32_t>(Encoding::raw)) {
    bytes.resize(found->place.size);
    found->container->read_raw(found->frame(), found->place.offset, bytes);
  } else {
    const auto frame = frame_of(*found);
    bytes = frame->raw.view().substr(found->place.offset, found->place.size);
  }
  verify(digest, bytes, *found->container);
  return bytes;
}

namespace {

struct Wanted {
  std::size_t container;
  Place place;
  std::size_t index;
};

// Reads frames for one thread.
class FrameReader {
 public:
  std::string_view read(const Container& container, std::span<const Wanted> wanted) {
    const auto& frame = container.frames()[wanted.front().place.frame];
    const auto encoding = static_cast<Encoding>(frame.encoding);
    if (encoding == Encoding::raw) return read_raw(container, frame, wanted);
    raw_.resize(frame.raw);
    container.read_stored(frame, stored_);
    decode_frame(decompressor_, encoding, stored_.view(), raw_.span());
    from_ = 0;
    return raw_.view();
  }
  // Where in the frame the bytes returned begin.
  std::uint32_t from() const { return from_; }

 private:
  std::string_view read_raw(const Container& container, const FrameRecord& frame, std::span<const Wanted> wanted) {
    std::uint32_t to = 0;
    from_ = wanted.front().place.offset;
    for (const auto& item : wanted) to = std::max(to, item.place.offset + item.place.size);
    raw_.resize(to - from_);
    container.read_raw(frame, from_, raw_.span());
    return raw_.view();
  }

  Decompressor decompressor_;
  Buffer stored_;
  Buffer raw_;
  std::uint32_t from_ = 0;
};

std::vector<std::size_t> frame_starts(const std::vector<Wanted>& wanted) {
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (i == 0 || wanted[i].container != wanted[i - 1].container || wanted[i].place.frame != wanted[i - 1].place.frame)
      starts.push_back(i);
  starts.push_back(wanted.size());
  return starts;
}

}  // namespace

void Store::read_each(std::span<const Digest> digests, unsigned workers, const Visit& visit) const {
  const auto list = containers();
  std::vector<Wanted> wanted;
  wanted.reserve(digests.size());
  for (std::size_t i = 0; i < digests.size(); ++i) {
    const auto before = wanted.size();
    for (std::size_t c = 0; c < list->size() && wanted.size() == before; ++c)
      if (const auto place = (*list)[c]->find(digests[i])) wanted.push_back({c, *place, i});
    if (wanted.size() == before) missing(digests[i]);
  }
  const auto key = [](const Wanted& w) { return std::tuple(w.container, w.place.frame, w.place.offset); };
  std::sort(wanted.begin(), wanted.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });

  const auto starts = frame_starts(wanted);
  std::vector<FrameReader> readers(std::max(1U, workers));
  parallel_for(workers, starts.size() - 1, [&](std::size_t group, unsigned worker) {
    const auto items = std::span(wanted).subspan(starts[group], starts[group + 1] - starts[group]);
    const auto& container = *(*list)[items.front().container];
    const auto bytes = readers[worker].read(container, items);
    std::vector<Piece> pieces;
    pieces.reserve(items.size());
    for (const auto& item : items) {
      pieces.push_back({item.index, bytes.substr(item.place.offset - readers[worker].from(), item.place.size)});
      verify(digests[item.index], pieces.back().bytes, container);
    }
    visit(pieces, worker);
  });
}

Usage Store::usage() const {
  Usage usage;
  const auto list = containers();
  for (const auto& container : *list) {
    ++usage.containers;
    usage.objects += container->digests().size();
    usage.stored_bytes += container->file_size();
  }
  return usage;
}

bool Store::known_complete(const Digest& digest) const {
  const std::lock_guard lock(mutex_);
  return complete_.contains(digest);
}

void Store::note_complete(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  complete_.insert(digest);
}

Batch::Batch(Store& store) : store_(&store) {}
Batch::Batch(Batch&&) noexcept = default;

Batch::~Batch() {
  if (writer_) ::unlink(writer_->path().c_str());
}

ContainerWriter& Batch::writer() {
  if (!writer_) writer_ = std::make_unique<ContainerWriter>(store_->temporary_path());
  return *writer_;
}

void Batch::add(const Digest& digest, std::string_view bytes) {
  if (!store_->has(digest)) append(digest, bytes);
}

void Batch::append(const Digest& digest, std::string_view bytes) {
  if (bytes.size() > kLargestObject)
    throw Error(Code::too_large, "an object of " + std::to_string(bytes.size()) + " bytes is too large to store");
  if (has(digest)) return;
  if (!pending_.empty() && pending_bytes_.size() + bytes.size() > kFrameTarget) flush();
  added_.insert(digest);
  pending_.push_back({digest, static_cast<std::uint32_t>(bytes.size())});
  pending_bytes_.append(bytes);
}

void Batch::flush() {
  if (pending_.empty()) return;
  if (!compressor_) compressor_ = std::make_unique<Compressor>();
  Buffer stored;
  const auto encoding = encode_frame(*compressor_, pending_bytes_.view(), stored);
  const auto items = std::exchange(pending_, {});
  add_frame(items, encoding, stored.view());
  pending_bytes_.clear();
}

void Batch::add_frame(std::span<const Item> items, Encoding encoding, std::string_view stored) {
  std::uint64_t raw_size = 0;
  for (const auto& item : items) raw_size += item.size;
  if (raw_size > kLargestObject) throw Error(Code::too_large, "a frame of objects is too large to store");
  const auto frame = writer().add_frame(encoding, raw_size, stored);
  std::uint32_t offset = 0;
  for (const auto& item : items) {
    added_.insert(item.digest);
    writer_->add_object(item.digest, {frame, offset, item.size});
    offset += item.size;
  }
}

void Batch::commit(os::Durable durable) {
  flush();
  if (!writer_) return;
  store_->publish(*writer_, durable);
  writer_.reset();
}

void Store::publish(ContainerWriter& writer, os::Durable durable) {
  const std::lock_guard lock(writing_);
  drop({}, {adopt(writer, durable)});
  merge_small(durable);
}

// Finishes the file and gives it its name; from then on it survives a crash.
std::shared_ptr<const Container> Store::adopt(ContainerWriter& writer, os::Durable durable) {
  writer.finish(durable);
  const auto id = next_id_++;
  const auto path = container_path(id);
  if (::rename(writer.path().c_str(), path.c_str()) < 0) throw_errno("publish", printable(path));
  if (durable == os::Durable::yes) os::sync_directory(directory_);
  return Container::open(path, id);
}

// Readers that hold the old list go on with the files removed here.
void Store::drop(const Containers& gone, Containers added) {
  const auto list = containers();
  for (const auto& container : *list)
    if (std::find(gone.begin(), gone.end(), container) == gone.end()) added.push_back(container);
  replace_containers(std::move(added));
  for (const auto& container : gone) os::remove_file(container->path());
}

}  // namespace berth::objects
