#include "runtime/objects/container.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/objects/checksum.hpp"

namespace berth::objects {
namespace {

static_assert(std::endian::native == std::endian::little, "the stored formats are little-endian");
static_assert(sizeof(Digest) == 32 && sizeof(Place) == 12 && sizeof(FrameRecord) == 24);

constexpr std::string_view kMagic = "BRTHOBJ1";
constexpr std::string_view kEndMagic = "BRTHEND1";

struct IndexHeader {
  std::uint64_t objects;
  std::uint64_t frames;
};

struct Footer {
  std::uint64_t index_position;
  std::uint64_t index_size;
  std::uint64_t checksum;
  char magic[8];
};

std::size_t padding(std::uint64_t size) { return static_cast<std::size_t>(-size & 7U); }

std::uint64_t index_size(const IndexHeader& header) {
  const auto places = header.objects * sizeof(Place);
  return sizeof header + header.objects * sizeof(Digest) + places + padding(places) +
         header.frames * sizeof(FrameRecord);
}

template <class T>
void append_all(std::string& out, const std::vector<T>& values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

[[noreturn]] void damaged(const std::string& path, const char* why) {
  throw Error(Code::corrupt, "the object container " + printable(path) + " is damaged: " + why);
}

std::uint64_t leading_word(const Digest& digest) {
  std::uint64_t word;
  std::memcpy(&word, digest.bytes.data(), sizeof word);
  return __builtin_bswap64(word);
}

}  // namespace

std::shared_ptr<const Container> Container::open(const std::string& path, std::uint64_t id) {
  std::shared_ptr<Container> container(new Container);
  container->path_ = path;
  container->id_ = id;
  container->file_ = os::open(path, O_RDONLY | O_NOFOLLOW);
  struct stat info {};
  if (::fstat(container->file_.get(), &info) < 0) throw_errno("read", printable(path));
  container->file_size_ = static_cast<std::uint64_t>(info.st_size);
  container->map();
  container->check();
  return container;
}

Container::~Container() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_size_);
}

void Container::map() {
  Footer footer{};
  if (file_size_ < kMagic.size() + sizeof(IndexHeader) + sizeof footer) damaged(path_, "too short");
  const auto end = file_size_ - sizeof footer;
  os::read_at(file_, {reinterpret_cast<char*>(&footer), sizeof footer}, end);
  if (std::string_view(footer.magic, 8) != kEndMagic) damaged(path_, "incomplete");
  if (footer.index_position % 8 != 0 || footer.index_position > end ||
      footer.index_size != end - footer.index_position || footer.index_size < sizeof(IndexHeader))
    damaged(path_, "its index is misplaced");
  index_position_ = footer.index_position;

  // Mappings begin at page boundaries.
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto from = index_position_ / page * page;
  mapping_size_ = static_cast<std::size_t>(end - from);
  mapping_ = ::mmap(nullptr, mapping_size_, PROT_READ, MAP_SHARED, file_.get(), static_cast<off_t>(from));
  if (mapping_ == MAP_FAILED) {
    mapping_ = nullptr;
    throw_errno("map", printable(path_));
  }
  const char* index = static_cast<const char*>(mapping_) + (index_position_ - from);
  if (checksum64({index, static_cast<std::size_t>(footer.index_size)}) != footer.checksum)
    damaged(path_, "its index has a wrong checksum");

  IndexHeader header{};
  std::memcpy(&header, index, sizeof header);
  if (header.objects > footer.index_size / sizeof(Digest) || header.frames > footer.index_size / sizeof(FrameRecord) ||
      index_size(header) != footer.index_size)
    damaged(path_, "its index has a wrong size");
  index += sizeof header;
  digests_ = {reinterpret_cast<const Digest*>(index), header.objects};
  index += digests_.size_bytes();
  places_ = {reinterpret_cast<const Place*>(index), header.objects};
  index += places_.size_bytes() + padding(places_.size_bytes());
  frames_ = {reinterpret_cast<const FrameRecord*>(index), header.frames};
}

void Container::check() const {
  for (const auto& frame : frames_)
    if (frame.position > index_position_ || frame.stored > index_position_ - frame.position ||
        frame.raw > kLargestObject)
      damaged(path_, "a frame lies outside");
  for (const auto& place : places_)
    if (place.frame >= frames_.size() || place.offset > frames_[place.frame].raw ||
        place.size > frames_[place.frame].raw - place.offset)
      damaged(path_, "an object lies outside");
}

// Digests are uniformly distributed, so the leading word tells nearly where one stands; widen from there.
std::optional<Place> Container::find(const Digest& digest) const {
  const auto n = digests_.size();
  if (n == 0) return std::nullopt;
  __extension__ using Wide = unsigned __int128;
  const auto guess = static_cast<std::size_t>((static_cast<Wide>(leading_word(digest)) * static_cast<Wide>(n)) >> 64);
  std::size_t low = guess;
  std::size_t high = guess;
  for (std::size_t step = 8; low > 0 && digest < digests_[low]; step *= 2) low -= std::min(step, low);
  for (std::size_t step = 8; high < n && digests_[high] < digest; step *= 2) high += std::min(step, n - high);
  const auto from = digests_.begin() + static_cast<std::ptrdiff_t>(low);
  const auto to = digests_.begin() + static_cast<std::ptrdiff_t>(std::min(high + 1, n));
  const auto found = std::lower_bound(from, to, digest);
  if (found == to || *found != digest) return std::nullopt;
  return places_[static_cast<std::size_t>(found - digests_.begin())];
}

void Container::read_stored(const FrameRecord& frame, Buffer& stored) const {
  stored.resize(frame.stored);
  read_raw(frame, 0, stored.span());
}

void Container::read_raw(const FrameRecord& frame, std::uint32_t offset, std::span<char> bytes) const {
  std::uint64_t position = frame.position + offset;
  while (!bytes.empty()) {
    const auto n = os::read_at(file_, bytes, position);
    if (n == 0) damaged(path_, "it ends early");
    bytes = bytes.subspan(n);
    position += n;
  }
}

ContainerWriter::ContainerWriter(std::string path)
    : path_(std::move(path)), file_(os::open(path_, O_WRONLY | O_CREAT | O_EXCL, 0600)) {
  os::write_all(file_, kMagic);
  position_ = kMagic.size();
}

std::uint32_t ContainerWriter::add_frame(Encoding encoding, std::size_t raw_size, std::string_view stored) {
  os::write_all(file_, stored);
  frames_.push_back({position_, static_cast<std::uint32_t>(stored.size()), static_cast<std::uint32_t>(raw_size),
                     static_cast<std::uint32_t>(encoding), 0});
  position_ += stored.size();
  start_writeback();
  return static_cast<std::uint32_t>(frames_.size() - 1);
}

// The disk works while more arrives, so that the sync at the end has little left to wait for.
void ContainerWriter::start_writeback() {
  constexpr std::uint64_t kStep = 8U << 20;
  if (position_ - written_back_ < kStep) return;
  ::sync_file_range(file_.get(), static_cast<off_t>(written_back_), static_cast<off_t>(position_ - written_back_),
                    SYNC_FILE_RANGE_WRITE);
  written_back_ = position_;
}

void ContainerWriter::finish(os::Durable durable) {
  const auto by_digest = [](const auto& a, const auto& b) { return a.first < b.first; };
  const auto same_digest = [](const auto& a, const auto& b) { return a.first == b.first; };
  std::sort(objects_.begin(), objects_.end(), by_digest);
  objects_.erase(std::unique(objects_.begin(), objects_.end(), same_digest), objects_.end());

  const IndexHeader header{objects_.size(), frames_.size()};
  std::string tail(padding(position_), '\0');
  const auto index_at = tail.size();
  tail.reserve(tail.size() + index_size(header) + sizeof(Footer));
  tail.append(reinterpret_cast<const char*>(&header), sizeof header);
  for (const auto& object : objects_) tail.append(reinterpret_cast<const char*>(&object.first), sizeof(Digest));
  for (const auto& object : objects_) tail.append(reinterpret_cast<const char*>(&object.second), sizeof(Place));
  tail.append(padding(objects_.size() * sizeof(Place)), '\0');
  append_all(tail, frames_);

  const auto index = std::string_view(tail).substr(index_at);
  Footer footer{position_ + index_at, index.size(), checksum64(index), {}};
  std::memcpy(footer.magic, kEndMagic.data(), kEndMagic.size());
  tail.append(reinterpret_cast<const char*>(&footer), sizeof footer);
  os::write_all(file_, tail);
  if (durable == os::Durable::yes) os::sync_data(file_, path_);
  file_.reset();
}

}  // namespace berth::objects
