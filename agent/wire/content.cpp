#include "agent/wire/content.hpp"

namespace berth::wire {

void describe(Fields& fields, Snapshot& snapshot) {
  fields.answered("Snapshot", "A snapshot that the caller has sent.");
  fields.field("digest", snapshot.digest, "Its name, for a job request.", {.required = true});
  fields.field("files", snapshot.files, "How many it has.");
  fields.field("bytes", snapshot.bytes, "Of all files.");
}

void describe(Fields& fields, Diff& diff) {
  fields.answered("Diff", "A diff that was stored.");
  fields.field("digest", diff.digest, "Its name, for a job request.", {.required = true});
}

void describe(Fields& fields, LogIndex& index) {
  fields.answered("LogIndex", "When which byte of a log was written.");
  fields.field("entries", index.entries,
               "Pairs of a size and a time in unix microseconds: at that time the log had so many bytes.",
               {.required = true});
}

}  // namespace berth::wire
