#include <doctest/doctest.h>
#include <unistd.h>

#include "runtime/base/error.hpp"
#include "runtime/logs/index.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::logs;

namespace {

Instant at(std::int64_t seconds) { return from_unix_micros(seconds * 1'000'000); }

}  // namespace

TEST_CASE("the bytes of an index are those of version 1.0") {
  const os::TempDir scratch;
  IndexWriter writer(scratch / "index");
  writer.mark({0x010203, from_unix_micros(0x0405)});
  writer.hole({4096, 8192});
  writer.limit_not_kept(ByteSize(7));
  using namespace std::string_literals;
  CHECK(os::read_file(scratch / "index") == "BERTHLOG\1\0\0\0\0\0\0\0"s + "\3\2\1\0\0\0\0\1\5\4\0\0\0\0\0\0"s +
                                                "\0\x10\0\0\0\0\0\2\0\x20\0\0\0\0\0\0"s +
                                                "\7\0\0\0\0\0\0\3\0\0\0\0\0\0\0\0"s);
}

TEST_CASE("times and offsets lead to each other") {
  const os::TempDir scratch;
  IndexWriter writer(scratch / "index");
  for (int i = 1; i <= 5000; ++i) writer.mark({static_cast<std::uint64_t>(i) * 10, at(i)});
  IndexReader reader(scratch / "index");
  CHECK(reader.time_at(0) == at(1));
  CHECK(reader.time_at(9) == at(1));
  CHECK(reader.time_at(10) == at(2));
  CHECK(reader.time_at(49'999) == at(5000));
  CHECK_FALSE(reader.time_at(50'000));
  CHECK(reader.offset_at(at(0)) == 0);
  CHECK(reader.offset_at(at(1)) == 0);
  CHECK(reader.offset_at(at(2)) == 10);
  CHECK(reader.offset_at(at(9999)) == 50'000);
}

TEST_CASE("marks never go back, whatever the clock does") {
  const os::TempDir scratch;
  IndexWriter writer(scratch / "index");
  writer.mark({10, at(100)});
  writer.mark({20, at(50)});
  CHECK(IndexReader(scratch / "index").time_at(15) == at(100));
}

TEST_CASE("a reader sees what is appended, and waits for an index that is not there yet") {
  const os::TempDir scratch;
  IndexReader reader(scratch / "index");
  CHECK(reader.holes().empty());
  CHECK_FALSE(reader.time_at(0));
  CHECK(reader.offset_at(at(1)) == 0);
  IndexWriter writer(scratch / "index");
  writer.mark({10, at(1)});
  writer.hole({4096, 8192});
  reader.refresh();
  CHECK(reader.time_at(0) == at(1));
  CHECK(reader.holes() == std::vector<Hole>{{4096, 8192}});
  writer.hole({4096, 65536});
  writer.hole({131072, 135168});
  reader.refresh();
  CHECK(reader.holes() == std::vector<Hole>{{4096, 65536}, {131072, 135168}});
  writer.limit_not_kept(9_MiB);
  reader.refresh();
  CHECK(reader.limit_not_kept() == 9_MiB);
}

TEST_CASE("a torn last record is not read, and is written over") {
  const os::TempDir scratch;
  const auto path = scratch / "index";
  {
    IndexWriter writer(path);
    writer.mark({10, at(1)});
    writer.mark({20, at(2)});
  }
  REQUIRE(::truncate(path.c_str(), 16 + 16 + 5) == 0);
  CHECK_FALSE(IndexReader(path).time_at(10));
  IndexWriter writer(path);
  CHECK(writer.records() == 1);
  CHECK(writer.last_mark() == Mark{10, at(1)});
  writer.mark({30, at(3)});
  CHECK(IndexReader(path).time_at(10) == at(3));
}

TEST_CASE("records of unknown kinds are skipped") {
  const os::TempDir scratch;
  const auto path = scratch / "index";
  using namespace std::string_literals;
  os::write_file(
      path,
      "BERTHLOG\1\0\7\0\0\0\0\0"s + "\1\0\0\0\0\0\0\x63\5\0\0\0\0\0\0\0"s + "\x0a\0\0\0\0\0\0\1\x40\x42\x0f\0\0\0\0\0"s,
      0600, os::Durable::no);
  CHECK(IndexReader(path).time_at(0) == at(1));
}

TEST_CASE("what is not an index is refused, and a newer format too") {
  const os::TempDir scratch;
  const auto path = scratch / "index";
  os::write_file(path, "something else altogether", 0600, os::Durable::no);
  CHECK_THROWS_AS(IndexReader{path}, Error);
  CHECK_THROWS_AS(IndexWriter{path}, Error);
  using namespace std::string_literals;
  os::write_file(path, "BERTHLOG\2\0\0\0\0\0\0\0"s, 0600, os::Durable::no);
  CHECK_THROWS_AS(IndexReader{path}, Error);
}
