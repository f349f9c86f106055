#include "runtime/snapshot/closure.hpp"

#include <algorithm>

#include "runtime/base/error.hpp"
#include "runtime/snapshot/recipe.hpp"

namespace berth::snapshot {
namespace {

bool has_chunks(objects::Store& store, const Entry& file) {
  if (store.known_complete(file.digest)) return true;
  const auto recipe = Recipe::parse(store.read(file.digest), file.size);
  const auto& chunks = recipe.chunks();
  if (!std::all_of(chunks.begin(), chunks.end(),
                   [&](const Chunk& chunk) { return store.size_of(chunk.digest) == chunk.size; }))
    return false;
  store.note_complete(file.digest);
  return true;
}

bool has_file(objects::Store& store, const Entry& file) {
  const auto size = store.size_of(file.digest);
  if (!size) return false;
  return file.is_chunked() ? has_chunks(store, file) : *size == file.size;
}

}  // namespace

Manifest load_manifest(const objects::Store& store, const Digest& id) { return Manifest::parse(store.read(id)); }

bool is_complete(objects::Store& store, const Digest& id) {
  if (store.known_complete(id)) return true;
  if (!store.has(id)) return false;
  const auto manifest = load_manifest(store, id);
  for (const auto& entry : manifest.entries())
    if (entry.is_file() && !has_file(store, entry)) return false;
  store.note_complete(id);
  return true;
}

void visit_closure(const objects::Store& store, const Digest& root, Looked& looked,
                   const std::function<void(const Digest&)>& visit) {
  if (!store.has(root)) return;
  visit(root);
  if (!looked.manifests.insert(root).second) return;
  const auto manifest = load_manifest(store, root);
  for (const auto& entry : manifest.entries()) {
    if (!entry.is_file()) continue;
    visit(entry.digest);
    if (!entry.is_chunked() || !store.has(entry.digest) || !looked.recipes.insert(entry.digest).second) continue;
    const auto recipe = Recipe::parse(store.read(entry.digest), entry.size);
    for (const auto& chunk : recipe.chunks()) visit(chunk.digest);
  }
}

objects::DigestSet closure(const objects::Store& store, const std::vector<Digest>& roots) {
  objects::DigestSet live;
  Looked looked;
  for (const auto& root : roots) visit_closure(store, root, looked, [&](const Digest& digest) { live.insert(digest); });
  return live;
}

void add_pinned(const objects::Store& store, objects::DigestSet& live) {
  Looked looked;
  for (const auto& root : store.pinned()) {
    live.insert(root.digest);
    if (!root.names_others) continue;
    try {
      visit_closure(store, root.digest, looked, [&](const Digest& digest) { live.insert(digest); });
    } catch (const Error& error) {  // who sends a snapshot may name what is none
      if (error.code() != Code::corrupt) throw;
    }
  }
}

objects::SweepReport sweep(objects::Store& store, const std::function<std::vector<Digest>()>& roots,
                           objects::DryRun dry_run) {
  const auto live = [&] {
    auto needed = closure(store, roots());
    add_pinned(store, needed);
    return needed;
  };
  return store.sweep(live, dry_run);
}

}  // namespace berth::snapshot
