#include <fcntl.h>

#include <algorithm>
#include <array>
#include <memory>

#include "agent/api/query.hpp"
#include "agent/api/services.hpp"
#include "agent/wire/content.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/pack.hpp"

namespace berth::api {
namespace {

using http::Request;
using http::Response;
using model::Principal;

constexpr ByteSize kLargestDiff = 32_MiB;
constexpr ByteSize kRoomStep = 4_MiB;

// A file without a name: gone with its descriptor, whatever happens.
os::Fd nameless_file(const std::string& directory) { return os::open(directory, O_RDWR | O_TMPFILE, 0600); }

std::string told(const store::Upload& upload) {
  return text_of(wire::Snapshot{upload.digest, upload.files, upload.size});
}

Digest digest_parameter(const Request& request) {
  const auto digest = parse_digest(request.parameter("digest"));
  if (!digest)
    throw Error(Code::invalid, "'" + printable(request.parameter("digest")) + "' is not a snapshot's digest");
  return *digest;
}

// A pack is on the disk twice while it is being stored. What was announced is charged before any of it is read, the
// rest as it comes; and there must be room for each piece, whoever else has sent theirs meanwhile.
async::Task<disk::Transit::Charge> spool_pack(Services& services, Request& request, uid_t uid, const os::Fd& file) {
  auto charge = services.quota.coming(uid);
  const auto announced = std::min(request.body.length().value_or(0), services.max_upload.bytes());
  co_await services.quota.charge(uid, charge, announced);
  co_await services.disk.make_room(ByteSize(2 * announced));
  std::uint64_t room_for = 0;
  const auto make_room = [&](std::uint64_t written) -> async::Task<> {
    if (written > charge.bytes()) co_await services.quota.charge(uid, charge, written);
    if (written <= room_for) co_return;
    room_for = written + kRoomStep.bytes();
    co_await services.disk.make_room(ByteSize(room_for + kRoomStep.bytes()));
  };
  const auto size = co_await request.spool(services.pool, file, services.max_upload, make_room);
  charge.set(size);
  co_return charge;
}

async::Task<Response> take_pack(Services& services, const Principal& who, Request& request) {
  const auto viewer = services.access.viewer(who);
  co_await services.quota.require_storage(viewer.uid, 0);
  auto file = nameless_file(services.incoming);
  auto charge = co_await spool_pack(services, request, viewer.uid, file);
  const auto storage = co_await services.quota.storage(viewer.uid);
  auto receive = [&](const std::stop_token&) {
    os::rewind(file);
    snapshot::FdSource source(file);
    snapshot::ReceiveLimits limits;
    if (storage) limits.allow = [&](std::uint64_t bytes) { storage->require(bytes); };
    auto received = snapshot::receive_pack(services.objects, store::View(services.store, viewer), source, limits);
    file.reset();
    return received;
  };
  const auto received = co_await async::offload(services.transfers, viewer.uid, receive);
  charge.set(0);
  store::Upload upload;
  upload.digest = received.manifest.id();
  upload.uid = viewer.uid;
  upload.size = ByteSize(received.manifest.totals().bytes);
  upload.sent = ByteSize(received.raw_bytes + received.manifest.bytes().size());
  upload.files = received.manifest.totals().files;
  upload.created = services.clock.now();
  co_await services.store.remember(upload);
  co_return Response::json(told(upload), 201);
}

async::Task<Response> show_snapshot(Services& services, const Principal& who, Request& request) {
  const auto digest = digest_parameter(request);
  const auto upload = services.store.find_upload(digest, services.access.submitter(who));
  if (!upload) throw Error(Code::not_found, "snapshot " + digest.brief() + " is not here");
  co_return Response::json(told(*upload));
}

async::Task<> send_file(http::Stream& out, const os::Fd& file) {
  const auto buffer = std::make_unique<std::array<char, 65536>>();
  std::uint64_t offset = 0;
  while (const auto length = os::read_at(file, *buffer, offset)) {
    co_await out.write(std::string_view(buffer->data(), length));
    offset += length;
  }
}

// A pack on its way out: charged to who reads it until it is gone.
struct Outgoing {
  disk::Transit::Charge charge;
  os::Fd file;
};

// At most so much a whole pack of the snapshot is, however well it compresses.
std::uint64_t most_of_pack(const objects::Store& store, const Digest& snapshot) {
  constexpr std::uint64_t kOfRecord = 32;  // what a record has beside its objects
  constexpr std::uint64_t kOfHead = 8192;  // beside the manifest
  objects::DigestSet all;
  snapshot::Looked looked;
  snapshot::visit_closure(store, snapshot, looked, [&](const Digest& digest) { all.insert(digest); });
  std::uint64_t bytes = kOfHead;
  for (const auto& digest : all) bytes += store.size_of(digest).value_or(0) + kOfRecord;
  return bytes;
}

// Charged before it is written; it waits until others of the reader's have gone.
async::Task<> make_pack(Services& services, const Digest digest, const Principal reader, Outgoing& outgoing) {
  auto measure = [&](const std::stop_token&) { return most_of_pack(services.objects, digest); };
  const auto most = co_await async::offload(services.transfers, reader.limit_key(), measure);
  outgoing.charge = co_await services.quota.copy(services.access.submitter(reader), most);
  co_await services.disk.make_room(ByteSize(most));
  std::uint64_t written = 0;
  auto write = [&](const std::stop_token& stop) {
    outgoing.file = nameless_file(services.incoming);
    const auto manifest = snapshot::load_manifest(services.objects, digest);
    snapshot::StoreContent content(services.objects);
    snapshot::write_pack(manifest, {}, content, [&](std::string_view bytes) {
      if (stop.stop_requested()) throw Cancelled();
      written += bytes.size();
      if (written > most) throw Error(Code::internal, "a pack is larger than it can be");
      os::write_all(outgoing.file, bytes);
    });
  };
  co_await async::offload(services.transfers, reader.limit_key(), write);
  outgoing.charge.set(written);
}

async::Task<> stream_pack(http::Stream& out, Services& services, Digest digest, Principal reader) {
  const auto pin = services.objects.pin({digest, true});
  Outgoing outgoing;
  co_await make_pack(services, digest, reader, outgoing);
  co_await send_file(out, outgoing.file);
}

// Nothing of it is made for who has gone, or waits for long.
Response send_pack(Services& services, const Digest digest, const Principal& reader) {
  auto response = Response::stream("application/x-berth-pack", [&services, digest, reader](http::Stream& out) {
    return stream_pack(out, services, digest, reader);
  });
  response.leave_slow_readers();
  return response;
}

const model::Attempt* attempt_of(const model::Job& job, std::optional<std::int64_t> number) {
  for (auto attempt = job.attempts.rbegin(); attempt != job.attempts.rend(); ++attempt)
    if (!number || attempt->number == *number) return &*attempt;
  return nullptr;
}

void refuse_removed(const model::Job& job, const model::Attempt& attempt) {
  if (!job.outputs_removed || !attempt.ended || *attempt.ended > job.outputs_removed->time) return;
  throw Error(Code::not_found, "the outputs of " + job.id + " were removed " + model::to_words(*job.outputs_removed),
              job.log_removed ? "its record is kept: `berth show " + job.id + "`"
                              : "its record and its log are kept: `berth show " + job.id + "`");
}

std::string why_none(const model::Attempt* attempt) {
  if (attempt == nullptr || attempt->outputs_left_out.count == 0)
    return "it wrote nothing into ./outputs or the directories of --output";
  const auto& left_out = attempt->outputs_left_out;
  std::string why = "nothing of them could be collected";
  if (!left_out.first.empty()) why += ": " + left_out.first.front().path + " " + left_out.first.front().why;
  return why;
}

async::Task<Response> send_outputs(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  services.access.require_content(who, job);
  const auto* attempt = attempt_of(job, whole_number(request, "attempt"));
  if (attempt != nullptr && !attempt->outputs) refuse_removed(job, *attempt);
  if (attempt == nullptr || !attempt->outputs)
    throw Error(Code::not_found, job.id + " has no outputs",
                services.jobs.is_final(job.sequence) ? why_none(attempt) : "they are collected when it has ended");
  co_return send_pack(services, *attempt->outputs, who);
}

async::Task<Response> send_code(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  services.access.require_content(who, job);
  if (!job.request.snapshot)
    throw Error(Code::not_found, job.id + " has no code snapshot", "it was submitted with --no-code");
  co_return send_pack(services, *job.request.snapshot, who);
}

async::Task<Response> send_diff(Services& services, const Principal& who, Request& request) {
  const auto job = services.resolve(who, request);
  services.access.require_content(who, job);
  if (!job.request.diff)
    throw Error(Code::not_found, job.id + " has no diff", "its code was not in a git work tree, or had no changes");
  auto read = [&] { return services.objects.read(*job.request.diff); };
  auto diff = co_await async::offload(services.pool, read);
  co_return Response::text(std::move(diff));
}

async::Task<Response> take_diff(Services& services, const Principal& who, Request& request) {
  const auto uid = services.access.submitter(who);
  co_await services.quota.require_storage(uid, request.body.length().value_or(0));
  co_await services.disk.make_room();
  const auto diff = co_await request.read_body(kLargestDiff);
  const auto storage = co_await services.quota.storage(uid);
  if (storage) storage->require(diff.size());
  Digest digest;
  objects::Store::Pin pin;
  auto keep = [&](const std::stop_token&) {
    digest = objects::sha256(diff);
    pin = services.objects.pin({digest});
    auto batch = services.objects.begin();
    batch.append(digest, diff);  // whoever has sent the same: it takes as long
    batch.commit(os::Durable::yes);
  };
  co_await async::offload(services.transfers, uid, keep);
  store::Upload upload;
  upload.kind = store::Upload::Kind::diff;
  upload.digest = digest;
  upload.uid = uid;
  upload.size = ByteSize(diff.size());
  upload.sent = upload.size;
  upload.created = services.clock.now();
  co_await services.store.remember(upload);
  co_return Response::json(text_of(wire::Diff{digest}), 201);
}

}  // namespace

void add_snapshot_routes(http::Router& router, Services& services) {
  add_route(router, services, "POST", "/v1/snapshots", take_pack);
  add_route(router, services, "GET", "/v1/snapshots/{digest}", show_snapshot);
  add_route(router, services, "POST", "/v1/diffs", take_diff);
  add_route(router, services, "GET", "/v1/jobs/{id}/outputs", send_outputs);
  add_route(router, services, "GET", "/v1/jobs/{id}/code", send_code);
  add_route(router, services, "GET", "/v1/jobs/{id}/diff", send_diff);
}

}  // namespace berth::api
