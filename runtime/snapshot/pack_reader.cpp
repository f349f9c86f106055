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

[[noreturn]] void malformed(const std::string& why) { throw Error(Code::corrupt, "the pack is malformed: " + why); }

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
  Receiver(objects::Store& store, const OwnersView& view, ByteSource& source, const ReceiveLimits& limits)
      : store_(store), view_(view), input_(source), limits_(limits), batch_(store.begin()) {}

  Received receive() {
    read_header();
    find_missing();
    read_records();
    if (!missing_.empty()) {
      const auto& [digest, wanted] = *missing_.begin();
      throw Error(Code::corrupt, "the pack is incomplete: it lacks object " + digest.brief() + ", a part of " +
                                     printable(target_.path(wanted.entry)));
    }
    // His own again is not stored twice; that others have it makes no difference.
    if (view_.may_use(target_.id()) && is_complete(store_, target_.id())) return received();
    // Mostly digests, which do not shrink.
    const objects::Item item{target_.id(), static_cast<std::uint32_t>(target_.bytes().size())};
    batch_.add_frame({&item, 1}, objects::Encoding::raw, target_.bytes());
    batch_.commit(os::Durable::yes);
    store_.note_complete(target_.id());  // only now is it here for good
    return received();
  }

 private:
  Received received() { return {target_, objects_, raw_bytes_, std::move(pin_)}; }

  struct Wanted {
    std::uint32_t entry;
    std::uint64_t size;  // of the object
    bool is_recipe;
  };
  struct Named {
    std::uint32_t entry;  // the first of its files
    bool here;            // a base names it
    bool same;            // and for a file of the same size
  };

  void read_header() {
    std::array<char, 8> magic;
    input_.take(magic);
    if (std::string_view(magic.data(), magic.size()) != kPackMagic) malformed("it is no pack of a version known here");
    const auto target = input_.digest();
    const auto count = input_.number_up_to(kMostBases, "the number of base snapshots");
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto base = input_.digest();
      pins_of_bases_.push_back(store_.pin({base, true}));
      // One that lost objects is no base either: the whole snapshot, sent again, mends it.
      if (!view_.may_use(base) || !is_complete(store_, base))
        throw Error(Code::not_found, "base snapshot " + base.brief() + " is not here", "send the whole snapshot");
      bases_.push_back(load_manifest(store_, base));
    }
    target_ = read_manifest();
    if (target_.id() != target) malformed("the manifest is not the one announced");
    pin_ = store_.pin({target, true});
    if (target_.totals().bytes > limits_.most_bytes || target_.entries().size() > limits_.most_entries)
      throw Error(Code::too_large, "the snapshot has " + std::to_string(target_.entries().size()) + " entries and " +
                                       std::to_string(target_.totals().bytes) + " bytes, more than is taken here");
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

  // What the bases have is not looked at again; of the rest only what they name elsewhere is here.
  void find_missing() {
    if (bases_.empty()) {
      for (std::uint32_t i = 0; i < target_.entries().size(); ++i) name_object(i);
    } else {
      compare(bases_[0], target_, [&](std::uint32_t, std::uint32_t after) {
        if (after == kNone) return;
        for (auto i = after; i < target_[after].subtree_end; ++i) name_object(i);
      });
    }
    note_what_bases_name();
    for (const auto& [digest, object] : named_) look_for(digest, object);
  }

  void name_object(std::uint32_t index) {
    const auto& entry = target_[index];
    if (!entry.is_file()) return;
    if (entry.is_chunked()) largest_recipe_ = std::max(largest_recipe_, most_recipe_bytes(entry.size));
    const auto [place, fresh] = named_.try_emplace(entry.digest, Named{index, false, false});
    if (!fresh && target_[place->second.entry].size != entry.size)
      malformed("two files have one digest and different sizes");
  }

  // Going through the bases with the few that are named is cheaper than a set of all they hold.
  void note_what_bases_name() {
    for (const auto& base : bases_) {
      if (named_.empty()) return;
      for (const auto& entry : base.entries()) {
        if (!entry.is_file()) continue;
        const auto found = named_.find(entry.digest);
        if (found == named_.end()) continue;
        found->second.here = true;
        found->second.same = found->second.same || entry.size == target_[found->second.entry].size;
      }
    }
  }

  void look_for(const Digest& digest, const Named& object) {
    const auto& entry = target_[object.entry];
    if (!object.here) {
      missing_.emplace(digest, Wanted{object.entry, entry.size, entry.is_chunked()});
    } else if (object.same) {
      return;  // the same file, complete as its base is
    } else if (entry.is_chunked()) {
      look_for_chunks(object.entry, store_.read(digest));
    } else if (store_.size_of(digest) != entry.size) {
      malformed("a file's size is not that of its content");
    }
  }

  static std::uint64_t most_recipe_bytes(std::uint64_t file_size) {
    return 8 + 36 * (file_size / objects::chunk_sizes_for(file_size).least + 2);
  }

  void look_for_chunks(std::uint32_t index, std::string_view recipe_bytes) {
    const auto recipe = Recipe::parse(recipe_bytes, target_[index].size);
    for (const auto& chunk : recipe.chunks()) {
      const auto received = received_.find(chunk.digest);
      const auto here = received != received_.end() ? std::optional(received->second) : size_in_bases(chunk.digest);
      if (here && *here != chunk.size) malformed("a chunk's size is not that of its content");
      if (here) continue;
      const auto [place, fresh] = missing_.emplace(chunk.digest, Wanted{index, chunk.size, false});
      if (!fresh && (place->second.is_recipe || place->second.size != chunk.size))
        malformed("a chunk's size is not that of its content");
    }
  }

  std::optional<std::uint64_t> size_in_bases(const Digest& chunk) {
    if (!chunks_of_bases_) {
      chunks_of_bases_.emplace();
      for (const auto& base : bases_)
        for (const auto& entry : base.entries())
          if (entry.is_chunked()) note_chunks(entry);
    }
    const auto found = chunks_of_bases_->find(chunk);
    if (found == chunks_of_bases_->end()) return std::nullopt;
    return found->second;
  }

  void note_chunks(const Entry& file) {
    if (!recipes_read_.insert(file.digest).second) return;
    const auto recipe = Recipe::parse(store_.read(file.digest), file.size);
    for (const auto& chunk : recipe.chunks()) chunks_of_bases_->emplace(chunk.digest, chunk.size);
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
      record.sizes.push_back(static_cast<std::uint32_t>(input_.number_up_to(most - record.raw_size, "a frame")));
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
    if (limits_.allow) limits_.allow(raw_bytes_);
    if (record.is_delta)
      batch_.append(record.items.front().digest, view);
    else
      batch_.add_frame(record.items, record.encoding, record.stored.view());
  }

  void accept(const objects::Item& item, std::string_view bytes) {
    if (!received_.emplace(item.digest, item.size).second)
      malformed("object " + item.digest.brief() + " is in it twice");
    const auto found = missing_.find(item.digest);
    if (found == missing_.end()) {
      // The sender does not always know what its bases have.
      if (named_.contains(item.digest) || (chunks_of_bases_ && chunks_of_bases_->contains(item.digest))) return;
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
  const OwnersView& view_;
  Input input_;
  const ReceiveLimits& limits_;
  objects::Batch batch_;
  std::vector<objects::Store::Pin> pins_of_bases_;
  std::vector<Manifest> bases_;
  objects::Store::Pin pin_;  // of the target
  Manifest target_;
  std::unordered_map<Digest, Named> named_;  // by files that the first base does not have at their place
  std::unordered_map<Digest, Wanted> missing_;
  std::unordered_map<Digest, std::uint64_t> received_;  // and their sizes
  // Read once a recipe comes.
  std::optional<std::unordered_map<Digest, std::uint64_t>> chunks_of_bases_;
  objects::DigestSet recipes_read_;
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

Received receive_pack(objects::Store& store, const OwnersView& view, ByteSource& source, const ReceiveLimits& limits) {
  return Receiver(store, view, source, limits).receive();
}

}  // namespace berth::snapshot
