#pragma once

// Which objects a snapshot needs: its manifest, its small files, the recipes and chunks of its large ones.

#include <functional>
#include <vector>

#include "runtime/base/digest.hpp"
#include "runtime/objects/store.hpp"
#include "runtime/snapshot/manifest.hpp"

namespace berth::snapshot {

// The manifest of a snapshot in the store; Code::not_found, Code::corrupt.
Manifest load_manifest(const objects::Store& store, const Digest& id);

// Whether the snapshot could be restored from the store.
bool is_complete(objects::Store& store, const Digest& id);

// What visits have looked into. An object may be several things at once: a small file that happens to be, byte for
// byte, somebody's manifest or recipe must not keep that one from being looked into.
struct Looked {
  objects::DigestSet manifests;
  objects::DigestSet recipes;
};
// Hands over what one root needs, as far as it is in the store and was not looked into before: each object at least
// once.
void visit_closure(const objects::Store& store, const Digest& root, Looked& looked,
                   const std::function<void(const Digest&)>& visit);
// Everything the roots need.
objects::DigestSet closure(const objects::Store& store, const std::vector<Digest>& roots);

// Adds what is pinned in the store, with what that needs; after the roots on record. A pinned one may be anything:
// whoever sends a snapshot says what it is.
void add_pinned(const objects::Store& store, objects::DigestSet& live);

// Removes what no root, nor anything pinned, needs.
objects::SweepReport sweep(objects::Store& store, const std::function<std::vector<Digest>()>& roots,
                           objects::DryRun dry_run);

}  // namespace berth::snapshot
