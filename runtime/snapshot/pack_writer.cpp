#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/objects/compression.hpp"
#include "runtime/objects/frame.hpp"
#include "runtime/objects/workers.hpp"
#include "runtime/snapshot/diff.hpp"
#include "runtime/snapshot/pack.hpp"
#include "runtime/snapshot/pack_format.hpp"
#include "runtime/snapshot/recipe.hpp"
#include "runtime/snapshot/wire.hpp"

namespace berth::snapshot {
namespace {

constexpr auto kNone = Manifest::kRoot;
constexpr int kManifestLevel = 3;

// A file whose content or recipe the receiver may lack.
struct Candidate {
  std::uint32_t entry;
  std::uint32_t before;  // the file at the same path in the first base, or kNone
};

// Consecutive chunks of one file.
struct Run {
  std::uint32_t entry;
  std::vector<Chunk> chunks;
};

// What becomes one record.
struct SmallFiles {
  std::vector<std::uint32_t> entries;
};
struct RecipeOf {
  Candidate candidate;
  std::string bytes;
};
using Job = std::variant<Candidate, SmallFiles, RecipeOf, std::vector<Run>>;

struct Record {
  std::string head;
  objects::Buffer stored;
  std::vector<objects::Item> items;
  objects::Encoding encoding = objects::Encoding::raw;
  std::uint64_t raw_bytes = 0;
  std::string delta_of;  // the whole content where the record is a delta
  bool is_delta = false;
  bool keep = false;
};

class Plan {
 public:
  Plan(const Manifest& target, std::span<const Manifest> bases, Content& content)
      : target_(target), bases_(bases), content_(content) {
    collect();
    remove_known();
    for (const auto& candidate : candidates_)
      if (target_[candidate.entry].is_chunked())
        plan_recipe(candidate);
      else
        plan_small(candidate);
    if (!small_.entries.empty()) jobs_.emplace_back(std::exchange(small_, {}));
    if (!large_.empty()) plan_chunks();
  }

  std::vector<Job>& jobs() { return jobs_; }
  std::uint64_t raw_bytes() const { return raw_bytes_; }

 private:
  void collect() {
    if (bases_.empty()) return collect_range(0, static_cast<std::uint32_t>(target_.entries().size()));
    compare(bases_[0], target_, [&](std::uint32_t before, std::uint32_t after) {
      if (after == kNone) return;
      if (target_[after].is_directory())
        collect_range(after, target_[after].subtree_end);
      else
        collect_one(after, before);
    });
  }

  void collect_range(std::uint32_t from, std::uint32_t to) {
    for (auto i = from; i < to; ++i) collect_one(i, kNone);
  }

  void collect_one(std::uint32_t entry, std::uint32_t before) {
    if (!target_[entry].is_file()) return;
    const auto [place, fresh] = wanted_.emplace(target_[entry].digest, candidates_.size());
    if (fresh) candidates_.push_back({entry, before});
  }

  // Going through the bases with the few candidates is cheaper than a set of all they hold.
  void remove_known() {
    for (const auto& base : bases_) {
      if (wanted_.empty()) break;
      for (const auto& entry : base.entries())
        if (entry.is_file()) wanted_.erase(entry.digest);
    }
    std::erase_if(candidates_, [&](const Candidate& c) { return !wanted_.contains(target_[c.entry].digest); });
  }

  bool has_delta_base(const Candidate& candidate) const {
    if (candidate.before == kNone) return false;
    const auto& before = bases_[0][candidate.before];
    return before.is_file() && before.is_chunked() == target_[candidate.entry].is_chunked() && before.size > 0;
  }

  void plan_small(const Candidate& candidate) {
    const auto size = target_[candidate.entry].size;
    raw_bytes_ += size;
    if (has_delta_base(candidate)) {
      jobs_.emplace_back(candidate);
      return;
    }
    if (!small_.entries.empty() && small_bytes_ + size > objects::kFrameTarget) {
      jobs_.emplace_back(std::exchange(small_, {}));
      small_bytes_ = 0;
    }
    small_.entries.push_back(candidate.entry);
    small_bytes_ += size;
  }

  void plan_recipe(const Candidate& candidate) {
    auto bytes = content_.recipe(target_, candidate.entry);
    raw_bytes_ += bytes.size();
    const auto recipe = Recipe::parse(bytes, target_[candidate.entry].size);
    large_.push_back({candidate.entry, recipe.chunks()});
    jobs_.emplace_back(RecipeOf{candidate, std::move(bytes)});
  }

  void plan_chunks() {
    objects::DigestSet known;
    for (const auto& base : bases_)
      for (const auto& entry : base.entries()) {
        if (!entry.is_chunked()) continue;
        const auto bytes = content_.earlier(entry.digest);
        if (!bytes) continue;
        const auto recipe = Recipe::parse(*bytes, entry.size);
        for (const auto& chunk : recipe.chunks()) known.insert(chunk.digest);
      }
    std::vector<Run> group;
    std::uint64_t group_bytes = 0;
    for (const auto& file : large_) {
      for (const auto& chunk : file.chunks) {
        if (!known.insert(chunk.digest).second) continue;
        if (group_bytes > 0 && group_bytes + chunk.size > objects::kFrameTarget) {
          jobs_.emplace_back(std::exchange(group, {}));
          group_bytes = 0;
        }
        const bool follows = !group.empty() && group.back().entry == file.entry &&
                             group.back().chunks.back().offset + group.back().chunks.back().size == chunk.offset;
        if (follows)
          group.back().chunks.push_back(chunk);
        else
          group.push_back({file.entry, {chunk}});
        group_bytes += chunk.size;
        raw_bytes_ += chunk.size;
      }
    }
    if (!group.empty()) jobs_.emplace_back(std::move(group));
    large_.clear();
  }

  const Manifest& target_;
  std::span<const Manifest> bases_;
  Content& content_;
  std::vector<Candidate> candidates_;
  std::unordered_map<Digest, std::size_t> wanted_;
  std::vector<Job> jobs_;
  SmallFiles small_;
  std::uint64_t small_bytes_ = 0;
  std::vector<Run> large_;
  std::uint64_t raw_bytes_ = 0;
};

// Makes records for one thread.
class Maker {
 public:
  Maker(const Manifest& target, std::span<const Manifest> bases, Content& content)
      : target_(target), bases_(bases), content_(content) {}

  Record make(const Job& job) {
    raw_.clear();
    return std::visit([this](const auto& one) { return record(one); }, job);
  }

 private:
  Record record(const Candidate& candidate) {
    content_.small_file(target_, candidate.entry, raw_);
    return changed(candidate, raw_.view());
  }

  Record record(const RecipeOf& recipe) {
    const auto before = recipe.candidate.before;
    const bool was_large = before != kNone && bases_[0][before].is_chunked();
    auto record = was_large ? changed(recipe.candidate, recipe.bytes) : whole(recipe.candidate.entry, recipe.bytes);
    record.keep = false;
    return record;
  }

  Record record(const SmallFiles& files) {
    Record record;
    for (const auto entry : files.entries) {
      content_.small_file(target_, entry, raw_);
      record.items.push_back({target_[entry].digest, static_cast<std::uint32_t>(target_[entry].size)});
    }
    record.keep = true;
    return frame(std::move(record), raw_.view());
  }

  Record record(const std::vector<Run>& runs) {
    Record record;
    for (const auto& run : runs) {
      content_.chunks(target_, run.entry, run.chunks, raw_);
      for (const auto& chunk : run.chunks) record.items.push_back({chunk.digest, chunk.size});
    }
    return frame(std::move(record), raw_.view());
  }

  // A delta against the content at the same path, where that is at hand and pays.
  Record changed(const Candidate& candidate, std::string_view bytes) {
    const auto before = content_.earlier(bases_[0][candidate.before].digest);
    if (!before) return whole(candidate.entry, bytes);
    const auto delta = compressor_.delta(bytes, *before);
    if (delta.size() * 4 > bytes.size()) return whole(candidate.entry, bytes);
    Record record;
    record.is_delta = record.keep = true;
    record.items.push_back({target_[candidate.entry].digest, static_cast<std::uint32_t>(bytes.size())});
    record.raw_bytes = bytes.size();
    record.delta_of = bytes;
    record.head += kDeltaRecord;
    put_number(record.head, 0);
    put_number(record.head, candidate.before);
    put_number(record.head, bytes.size());
    put_number(record.head, delta.size());
    record.stored.append(delta);
    return record;
  }

  Record whole(std::uint32_t entry, std::string_view bytes) {
    Record record;
    record.keep = true;
    record.items.push_back({target_[entry].digest, static_cast<std::uint32_t>(bytes.size())});
    return frame(std::move(record), bytes);
  }

  Record frame(Record record, std::string_view raw) {
    record.raw_bytes = raw.size();
    record.encoding = objects::encode_frame(compressor_, raw, record.stored);
    record.head += kFrameRecord;
    put_number(record.head, record.items.size());
    for (const auto& item : record.items) put_number(record.head, item.size);
    record.head += static_cast<char>(record.encoding);
    put_number(record.head, record.stored.size());
    return record;
  }

  const Manifest& target_;
  std::span<const Manifest> bases_;
  Content& content_;
  objects::Compressor compressor_;
  objects::Buffer raw_;
};

std::string header(const Manifest& target, std::span<const Manifest> bases) {
  std::string head(kPackMagic);
  put_digest(head, target.id());
  put_number(head, bases.size());
  for (const auto& base : bases) put_digest(head, base.id());
  objects::Compressor compressor;
  const auto put = [&](ManifestEncoding encoding, std::string_view stored) {
    head += static_cast<char>(encoding);
    if (encoding == ManifestEncoding::delta) put_number(head, 0);
    put_number(head, target.bytes().size());
    put_number(head, stored.size());
    head += stored;
  };
  if (!bases.empty()) {
    put(ManifestEncoding::delta, compressor.delta(target.bytes(), bases[0].bytes()));
    return head;
  }
  objects::Buffer stored;
  compressor.compress(target.bytes(), kManifestLevel, stored);
  if (stored.size() < target.bytes().size())
    put(ManifestEncoding::zstd, stored.view());
  else
    put(ManifestEncoding::raw, target.bytes());
  return head;
}

void keep(objects::Batch& batch, const Record& record) {
  if (!record.keep) return;
  if (record.is_delta)
    batch.add(record.items.front().digest, record.delta_of);
  else
    batch.add_frame(record.items, record.encoding, record.stored.view());
}

}  // namespace

PackReport write_pack(const Manifest& target, std::span<const Manifest> bases, Content& content, const Sink& sink,
                      const PackOptions& options) {
  bases = bases.first(std::min(bases.size(), kMostBases));
  PackReport report;
  const auto send = [&](std::string_view bytes) {
    report.pack_bytes += bytes.size();
    sink(bytes);
  };
  Plan plan(target, bases, content);
  auto head = header(target, bases);

  const auto workers = objects::workers_for(plan.raw_bytes());
  std::vector<Maker> makers;
  for (unsigned i = 0; i < workers; ++i) makers.emplace_back(target, bases, content);
  std::size_t following = 0;
  objects::Pipeline<const Job*, Record> pipeline;
  pipeline.next = [&]() -> std::optional<const Job*> {
    if (following == plan.jobs().size()) return std::nullopt;
    return &plan.jobs()[following++];
  };
  pipeline.work = [&](const Job* job, unsigned worker) { return makers[worker].make(*job); };
  pipeline.consume = [&](Record record) {
    head += record.head;  // small records travel together
    head += record.stored.view();
    if (head.size() > (64U << 10)) {
      send(head);
      head.clear();
    }
    report.objects += record.items.size();
    report.deltas += record.is_delta ? 1 : 0;
    report.raw_bytes += record.raw_bytes;
    if (options.keep != nullptr) keep(*options.keep, record);
    if (options.progress) options.progress(report.raw_bytes, plan.raw_bytes());
  };
  pipeline.run(workers);

  head += kEndRecord;
  put_number(head, report.objects);
  send(head);
  return report;
}

}  // namespace berth::snapshot
