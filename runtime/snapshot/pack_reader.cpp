#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/objects/chunker.hpp"
#include "runtime/objects/compression.hpp"
#include "runtime/objects/frame.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/objects/workers.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/diff.hpp"
#include "runtime/snapshot/pack.hpp"
#include "runtime/snapshot/pack_format.hpp"
#include "runtime/snapshot/recipe.hpp"

namespace berth::snapshot {
namespace {

constexpr auto kNone = Manifest::kRoot;

[[noreturn]] void malformed(const std::string& why) {
  throw Error(Code::corrupt, "the pack is malformed: " + why);
}

// Buffered reading of the stream.
class Input {
 public:
  explicit Input(ByteSource& source) : source_(source) {}

  char byte() {
    if (begin_ == end_ && !refill()) malformed("it ends early");
    return buffer_[begin_++];
  }

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      const auto next = static_cast<unsigned char>(byte());
      value |= static_cast<std::uint64_t>(next & 0x7F) << shift;
      if (next < 0x80) {
        if (next == 0 && shift > 0) break;
        return value;
      }
    }
    malformed("a number is malformed");
  }

  std::uint64_t number_up_to(std::uint64_t most, const char* what) {
    const auto value = number();
    if (value > most) malformed(std::string(what) + " is too large");
    return value;
  }

  void take(std::span<char> room) {
    while (!room.empty()) {
      if (begin_ < end_) {
        const auto n = std::min(room.size(), end_ - begin_);
        std::memcpy(room.data(), buffer_.data() + begin_, n);
        begin_ += n;
        room = room.subspan(n);
      } else if (room.size() >= buffer_.size()) {
        const auto n = source_.read(room);
        if (n == 0) malformed("it ends early");
        room = room.subspan(n);
      } else if (!refill()) {
        malformed("it ends early");
      }
    }
  }

  Digest digest() {
    Digest digest;
    take({reinterpret_cast<char*>(digest.bytes.data()), digest.bytes.size()});
    return digest;
  }

  // Grows with what arrives: a large size that is only claimed costs nothing.
  objects::Buffer bytes(std::uint64_t size) {
    constexpr std::uint64_t kStep = 4U << 20;
    objects::Buffer bytes;
    while (bytes.size() < size) {
      const auto begin = bytes.size();
      bytes.resize(begin + std::min<std::uint64_t>(kStep, size - begin));
      take(bytes.span().subspan(begin));
    }
    return bytes;
  }

  bool at_end() { return begin_ == end_ && !refill(); }

 private:
  bool refill() {
    begin_ = 0;
    end_ = source_.read(buffer_);
    return end_ > 0;
  }

  ByteSource& source_;
  std::array<char, 65536> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// A record as it came, and what its checking yields.
struct Record {
  bool is_delta = false;
  std::vector<std::uint32_t> sizes;
  objects::Encoding encoding = objects::Encoding::raw;
  std::uint64_t raw_size = 0;
  objects::Buffer stored;
  Digest delta_base;
  objects::Buffer raw;
  std::vector<objects::Item> items;
};

class Receiver {
 public:
  Receiver(objects::Store& store, ByteSource& source, const ReceiveLimits& limits)
      : store_(store), input_(source), limits_(limits), batch_(store.begin()) {}

  Received receive() {
    read_header();
    find_missing();
    read_records();
    if (!missing_.empty()) {
      const auto& [digest, wanted] = *missing_.begin();
      throw Error(Code::corrupt, "the pack is incomplete: it lacks object " + digest.brief() +
                                     ", a part of " + printable(target_.path(wanted.entry)));
    }
    // What is known complete may be in this batch alone, so it is noted only once it is here for good.
    if (!store_.has(target_.id())) {
      // Mostly digests, which do not shrink.
      const objects::Item item{target_.id(), static_cast<std::uint32_t>(target_.bytes().size())};
      batch_.add_frame({&item, 1}, objects::Encoding::raw, target_.bytes());
    }
    batch_.commit(os::Durable::yes);
    for (const auto& recipe : recipes_) store_.note_complete(recipe);
    store_.note_complete(target_.id());
    return {target_, objects_, raw_bytes_};
  }

 private:
  struct Wanted {
    std::uint32_t entry;
    std::uint64_t size;  // of the object
    bool is_recipe;
  };

  void read_header() {
    std::array<char, 8> magic;
    input_.take(magic);
    if (std::string_view(magic.data(), magic.size()) != kPackMagic)
      malformed("it is no pack of a version known here");
    const auto target = input_.digest();
    const auto count = input_.number_up_to(kMostBases, "the number of base snapshots");
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto base = input_.digest();
      if (!store_.has(base))
        throw Error(Code::not_found, "base snapshot " + base.brief() + " is not here",
                    "send the whole snapshot");
      bases_.push_back(load_manifest(store_, base));
    }
    target_ = read_manifest();
    if (target_.id() != target) malformed("the manifest is not the one announced");
    if (target_.totals().bytes > limits_.most_bytes || target_.entries().size() > limits_.most_entries)
      throw Error(Code::too_large, "the snapshot has " + std::to_string(target_.entries().size()) +
                                       " entries and " + std::to_string(target_.totals().bytes) +
                                       " bytes, more than is taken here");
  }

  Manifest read_manifest() {
    const auto encoding = static_cast<ManifestEncoding>(input_.byte());
    if (encoding > ManifestEncoding::delta) malformed("its manifest has an unknown encoding");
    const auto base = encoding == ManifestEncoding::delta ? input_.number() : 0;
    if (encoding == ManifestEncoding::delta && base >= bases_.size()) malformed("a base is out of range");
    const auto size = input_.number_up_to(kLargestManifest, "the manifest");
    const auto stored = input_.bytes(input_.number_up_to(size + 4096, "the manifest"));
    // Nothing shrinks more than about a thousandfold except against a base.
    std::string bytes(size, '\0');
    objects::Decompressor decompressor;
    const bool sound = encoding == ManifestEncoding::delta
                           ? decompressor.apply(stored.view(), bases_[base].bytes(), bytes)
                       : encoding == ManifestEncoding::zstd ? decompressor.decompress(stored.view(), bytes)
                                                            : stored.size() == size;
    if (!sound) malformed("its manifest is damaged");
    if (encoding == ManifestEncoding::raw) bytes = stored.view();
    return Manifest::parse(std::move(bytes));
  }

  // What is complete here already is not looked at again.
  void find_missing() {
    for (const auto& base : bases_) {
      if (!store_.known_complete(base.id())) continue;
      compare(base, target_, [&](std::uint32_t, std::uint32_t after) {
        if (after == kNone) return;
        for (auto i = after; i < target_[after].subtree_end; ++i) look_for(i);
      });
      return;
    }
    for (std::uint32_t i = 0; i < target_.entries().size(); ++i) look_for(i);
  }

  void look_for(std::uint32_t index) {
    const auto& entry = target_[index];
    if (!entry.is_file()) return;
    largest_recipe_ =
        entry.is_chunked() ? std::max(largest_recipe_, most_recipe_bytes(entry.size)) : largest_recipe_;
    const auto [place, fresh] = named_.emplace(entry.digest, entry.size);
    if (!fresh) {
      if (place->second != entry.size) malformed("two files have one digest and different sizes");
      return;
    }
    const auto here = store_.size_of(entry.digest);
    if (!here) {
      missing_.emplace(entry.digest, Wanted{index, entry.size, entry.is_chunked()});
    } else if (entry.is_chunked()) {
      if (!store_.known_complete(entry.digest)) look_for_chunks(index, store_.read(entry.digest));
    } else if (*here != entry.size) {
      malformed("a file's size is not that of its content");
    }
  }

  static std::uint64_t most_recipe_bytes(std::uint64_t file_size) {
    return 8 + 36 * (file_size / objects::chunk_sizes_for(file_size).least + 2);
  }

  void look_for_chunks(std::uint32_t index, std::string_view recipe_bytes) {
    const auto recipe = Recipe::parse(recipe_bytes, target_[index].size);
    for (const auto& chunk : recipe.chunks()) {
      if (received_.contains(chunk.digest)) continue;
      const auto here = store_.size_of(chunk.digest);
      if (here && *here != chunk.size) malformed("a chunk's size is not that of its content");
      if (!here) missing_.emplace(chunk.digest, Wanted{index, chunk.size, false});
    }
    recipes_.push_back(target_[index].digest);
  }

  void read_records() {
    const auto workers =
        objects::workers_for(target_.totals().bytes > 0 && missing_.size() > 8 ? target_.totals().bytes : 0);
    std::vector<objects::Decompressor> decompressors(workers);
    objects::Pipeline<Record, Record> pipeline;
    pipeline.next = [this] { return next_record(); };
    pipeline.work = [&](Record record, unsigned worker) {
      check(record, decompressors[worker]);
      return record;
    };
    pipeline.consume = [this](const Record& record) { take(record); };
    pipeline.run(workers);
    if (announced_ != counted_) malformed("it announces another number of objects");
  }

  std::optional<Record> next_record() {
    const char kind = input_.byte();
    if (kind == kFrameRecord) return frame_record();
    if (kind == kDeltaRecord) return delta_record();
    if (kind != kEndRecord) malformed("a record is of no known kind");
    announced_ = input_.number();
    if (!input_.at_end()) malformed("bytes follow its end");
    return std::nullopt;
  }

  Record frame_record() {
    Record record;
    const auto count = input_.number_up_to(kLargestFrame, "a frame");
    if (count == 0) malformed("a frame is empty");
    const auto most = count == 1 ? std::max(kLargestFrame, largest_recipe_) : kLargestFrame;
    for (std::uint64_t i = 0; i < count; ++i) {
      record.sizes.push_back(
          static_cast<std::uint32_t>(input_.number_up_to(most - record.raw_size, "a frame")));
      record.raw_size += record.sizes.back();
    }
    counted_ += count;
    const auto encoding = input_.byte();
    if (static_cast<unsigned char>(encoding) > static_cast<unsigned char>(objects::Encoding::planes))
      malformed("a frame has an unknown encoding");
    record.encoding = static_cast<objects::Encoding>(encoding);
    record.stored = input_.bytes(input_.number_up_to(record.raw_size, "a frame"));
    return record;
  }

  Record delta_record() {
    Record record;
    record.is_delta = true;
    const auto base = input_.number();
    if (base >= bases_.size()) malformed("a base is out of range");
    const auto entry = input_.number();
    if (entry >= bases_[base].entries().size() || !bases_[base][entry].is_file())
      malformed("the base of a delta is out of range");
    record.delta_base = bases_[base][entry].digest;
    record.raw_size = input_.number_up_to(std::max(kSmallFile, largest_recipe_), "a delta");
    record.sizes.push_back(static_cast<std::uint32_t>(record.raw_size));
    record.stored = input_.bytes(input_.number_up_to(record.raw_size + 4096, "a delta"));
    ++counted_;
    return record;
  }

  // On any thread.
  void check(Record& record, objects::Decompressor& decompressor) const {
    auto view = record.stored.view();
    if (record.is_delta || record.encoding != objects::Encoding::raw) {
      record.raw.resize(record.raw_size);
      if (!record.is_delta)
        objects::decode_frame(decompressor, record.encoding, view, record.raw.span());
      else if (!decompressor.apply(view, store_.read(record.delta_base), record.raw.span()))
        malformed("a delta is damaged");
      view = record.raw.view();
    } else if (view.size() != record.raw_size) {
      malformed("a frame is damaged");
    }
    record.items.reserve(record.sizes.size());
    std::size_t offset = 0;
    for (const auto size : record.sizes) {
      record.items.push_back({objects::sha256(view.substr(offset, size)), size});
      offset += size;
    }
  }

  // In the pack's order.
  void take(const Record& record) {
    const auto view = record.raw.empty() ? record.stored.view() : record.raw.view();
    std::size_t offset = 0;
    for (const auto& item : record.items) {
      accept(item, view.substr(offset, item.size));
      offset += item.size;
    }
    raw_bytes_ += record.raw_size;
    if (record.is_delta)
      batch_.add(record.items.front().digest, view);
    else
      batch_.add_frame(record.items, record.encoding, record.stored.view());
  }

  void accept(const objects::Item& item, std::string_view bytes) {
    if (!received_.insert(item.digest).second) malformed("object " + item.digest.brief() + " is in it twice");
    const auto found = missing_.find(item.digest);
    if (found == missing_.end()) {
      // The sender could not know that it is here.
      if (store_.has(item.digest)) return;
      malformed("object " + item.digest.brief() + " is no part of the snapshot");
    }
    const auto wanted = found->second;
    missing_.erase(found);
    ++objects_;
    if (wanted.is_recipe)
      look_for_chunks(wanted.entry, bytes);
    else if (wanted.size != item.size)
      malformed("a file's size is not that of its content");
  }

  objects::Store& store_;
  Input input_;
  const ReceiveLimits& limits_;
  objects::Batch batch_;
  std::vector<Manifest> bases_;
  Manifest target_;
  std::unordered_map<Digest, std::uint64_t> named_;
  std::unordered_map<Digest, Wanted> missing_;
  objects::DigestSet received_;
  std::vector<Digest> recipes_;
  std::uint64_t largest_recipe_ = 0;
  std::uint64_t announced_ = 0;
  std::uint64_t counted_ = 0;
  std::uint64_t objects_ = 0;
  std::uint64_t raw_bytes_ = 0;
};

}  // namespace

std::size_t MemorySource::read(std::span<char> room) {
  const auto n = std::min(room.size(), bytes_.size());
  std::copy_n(bytes_.data(), n, room.data());
  bytes_.remove_prefix(n);
  return n;
}

Received receive_pack(objects::Store& store, ByteSource& source, const ReceiveLimits& limits) {
  return Receiver(store, source, limits).receive();
}

}  // namespace berth::snapshot
