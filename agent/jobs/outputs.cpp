#include "agent/jobs/outputs.hpp"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/content.hpp"
#include "runtime/snapshot/scan.hpp"

namespace berth::jobs {
namespace {

using snapshot::Entry;
using snapshot::Manifest;
using Components = std::vector<std::string>;

// "a//b/./c" → {a, b, c}. What a job asked for was checked at submission; a stored request is checked again.
Components split(const std::string& path) {
  Components components;
  for (const auto& part : std::filesystem::path(path).lexically_normal()) {
    const auto name = part.string();
    if (name.empty() || name == ".") continue;
    if (!snapshot::is_valid_name(name))
      throw Error(Code::invalid, "output directory '" + printable(path) + "' leads out of the job's tree");
    components.push_back(name);
  }
  return components;
}

// In order; what lies within another one of the list is that one's.
std::vector<Components> topmost(const std::vector<std::string>& outputs) {
  std::vector<Components> all;
  for (const auto& output : outputs)
    if (auto components = split(output); !components.empty()) all.push_back(std::move(components));
  std::sort(all.begin(), all.end());
  std::vector<Components> kept;
  for (auto& components : all) {
    const bool within = !kept.empty() && kept.back().size() <= components.size() &&
                        std::equal(kept.back().begin(), kept.back().end(), components.begin());
    if (!within) kept.push_back(std::move(components));
  }
  return kept;
}

// Nothing where there is no such directory, or a link in its place.
os::Fd open_directory(const os::Fd& root, const Components& components) {
  try {
    auto directory = os::open_at(root, ".", O_RDONLY | O_DIRECTORY);
    for (const auto& name : components) directory = os::open_at(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    return directory;
  } catch (const Error&) {
    return {};
  }
}

// What lost objects is no help.
objects::DigestSet objects_of(objects::Store& store, std::vector<Digest> snapshots) {
  std::erase_if(snapshots, [&](const Digest& snapshot) { return !snapshot::is_complete(store, snapshot); });
  return snapshot::closure(store, snapshots);
}

// Reads as the owner, writes as the agent.
void store_objects(const objects::DigestSet& known, objects::Batch& batch, const os::Fd& root,
                   const os::Identity& owner, const snapshot::Scan& scan) {
  snapshot::TreeContent content(root, scan, nullptr);
  const auto& manifest = scan.manifest;
  objects::Buffer bytes;
  const auto add = [&](const Digest& digest, auto read) {
    if (known.contains(digest) || batch.has(digest)) return;
    bytes.clear();
    {
      const os::ActAs as(owner.uid, owner.gid);
      read();
    }
    batch.append(digest, bytes.view());
  };
  for (std::uint32_t i = 0; i < manifest.entries().size(); ++i) {
    const auto& entry = manifest[i];
    if (!entry.is_file()) continue;
    if (!entry.is_chunked()) {
      add(entry.digest, [&] { content.small_file(manifest, i, bytes); });
      continue;
    }
    const auto recipe = content.recipe(manifest, i);  // at hand since the scan
    if (!known.contains(entry.digest)) batch.append(entry.digest, recipe);
    const auto parsed = snapshot::Recipe::parse(recipe, entry.size);
    for (const auto& chunk : parsed.chunks())
      add(chunk.digest, [&] { content.chunks(manifest, i, std::span(&chunk, 1), bytes); });
  }
}

// Which entries of an output directory the job made or changed; a directory goes with what is kept below it.
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

void append_entries(snapshot::ManifestBuilder& builder, const Manifest& manifest, const std::vector<bool>& wanted) {
  std::vector<std::uint32_t> open;  // where the directories being written end
  for (std::uint32_t i = 0; i < manifest.entries().size(); ++i) {
    for (; !open.empty() && i >= open.back(); open.pop_back()) builder.end_directory();
    if (!wanted[i]) continue;
    const auto& entry = manifest[i];
    switch (entry.kind) {
      case snapshot::Kind::directory:
        builder.begin_directory(entry.name);
        open.push_back(entry.subtree_end);
        break;
      case snapshot::Kind::symlink:
        builder.symlink(entry.name, entry.target);
        break;
      default:
        builder.file(entry.name, entry.kind == snapshot::Kind::executable, entry.size, entry.digest);
    }
  }
  for (; !open.empty(); open.pop_back()) builder.end_directory();
}

std::string text_of(const Components& components) {
  std::string path;
  for (const auto& name : components) path += name + "/";
  return path;
}

}  // namespace

Collected collect_outputs(objects::Store& store, const os::Fd& root, const os::Identity& owner,
                          const std::vector<std::string>& outputs, const std::optional<Manifest>& code,
                          const std::string& base, const std::vector<Digest>& own) {
  Collected collected;
  auto batch = store.begin();
  std::optional<objects::DigestSet> known;
  snapshot::ManifestBuilder builder;
  Components open;
  bool anything = false;
  for (const auto& output : topmost(outputs)) {
    os::Fd directory;
    snapshot::Scan scan;
    {
      const os::ActAs as(owner.uid, owner.gid);
      auto path = split(base);
      path.insert(path.end(), output.begin(), output.end());
      directory = open_directory(root, path);
      if (!directory) continue;
      scan = snapshot::scan(directory, snapshot::collecting());
    }
    for (const auto& warning : scan.warnings) collected.warnings.push_back(text_of(output) + ": " + warning);
    const auto wanted =
        wanted_entries(scan.manifest, code, (base.empty() ? "" : base + "/") + text_of(output));
    if (std::find(wanted.begin(), wanted.end(), true) == wanted.end()) continue;
    if (!known) known = objects_of(store, own);
    store_objects(*known, batch, directory, owner, scan);
    const auto common =
        static_cast<std::size_t>(std::mismatch(open.begin(), open.end(), output.begin(), output.end()).first - open.begin());
    for (; open.size() > common; open.pop_back()) builder.end_directory();
    for (; open.size() < output.size(); open.push_back(output[open.size()])) builder.begin_directory(output[open.size()]);
    append_entries(builder, scan.manifest, wanted);
    anything = true;
  }
  for (; !open.empty(); open.pop_back()) builder.end_directory();
  if (!anything) return collected;
  const auto manifest = builder.finish();
  batch.append(manifest.id(), manifest.bytes());
  batch.commit(os::Durable::yes);
  collected.outputs = manifest.id();
  collected.size = ByteSize(manifest.totals().bytes);
  return collected;
}

}  // namespace berth::jobs
