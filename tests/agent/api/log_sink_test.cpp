// A log on its way through the API: read, masked, sent in either form.

#include "agent/api/log_sink.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "agent/api/log_stream.hpp"
#include "agent/api/masked_log.hpp"
#include "runtime/async/run.hpp"
#include "runtime/logs/index.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::api;
using Kind = model::LogFrame::Kind;

namespace {

const std::string kSecret = "s3cr3t-value";

class Body : public http::Stream {
 public:
  async::Task<> write(std::string_view bytes) override {
    text += bytes;
    co_return;
  }
  std::string text;
};

// A frame with a text of its own.
struct Frame {
  explicit Frame(const model::LogFrame& frame)
      : kind(frame.kind), attempt(frame.attempt), begin(frame.begin), end(frame.end), text(frame.text) {}
  Frame(Kind what, std::uint64_t from, std::uint64_t to, std::string words)
      : kind(what), begin(from), end(to), text(std::move(words)) {}
  Kind kind;
  int attempt = 3;
  std::uint64_t begin;
  std::uint64_t end;
  std::string text;
  friend bool operator==(const Frame&, const Frame&) = default;
};
using Frames = std::vector<Frame>;

Frames in_order(std::string_view body) {
  Frames frames;
  model::LogFrameDecoder decoder;
  decoder.feed(body, [&](const model::LogFrame& frame) {
    frames.emplace_back(frame);
    return true;
  });
  decoder.finish();
  return frames;
}

// A log with this text and these holes, which are in the index alone.
struct StoredLog {
  explicit StoredLog(const std::string& text, const std::vector<logs::Hole>& holes = {}) {
    os::write_file(path, text, 0600, os::Durable::no);
    logs::IndexWriter writer(index);
    for (const auto& hole : holes) writer.hole(hole);
  }
  LogWriter from(std::uint64_t offset) const {
    return [this, offset](LogSink& out) { return send_log(out, path, index, 3, offset); };
  }
  LogWriter masked_from(std::uint64_t offset, const std::vector<std::string>& secrets) {
    auto mask = std::make_shared<const logs::Mask>(secrets);
    auto before = log_before(path, offset, *mask);
    return masked(from(offset), std::move(mask), std::move(before), MaskingLane{lanes, 1000});
  }

  os::TempDir scratch;
  std::string path = scratch / "log";
  std::string index = scratch / "index";
  async::Lanes lanes{{1, 1}};
};

std::string body_of(LogForm form, LogWriter writer) {
  const auto response = log_response(form, std::move(writer));
  Body body;
  const auto write = [&]() -> async::Task<> { co_await response.writer()(body); };
  async::run(write());
  return body.text;
}

http::Request asking(http::Body& body, const std::string& accept) {
  http::Request request(body);
  request.headers.add("accept", accept);
  return request;
}

}  // namespace

TEST_CASE("frames are for who asks for them by name") {
  http::MemoryBody body("");
  CHECK(log_form(http::Request(body)) == LogForm::text);
  for (const char* accept : {"*/*", "text/plain", "application/*", "application/x-berth-log2", "", ",", ";", " , "})
    CHECK(log_form(asking(body, accept)) == LogForm::text);
  for (const char* accept :
       {"application/x-berth-log", "text/plain, Application/X-Berth-Log;q=0.5", " application/x-berth-log ,*/*"})
    CHECK(log_form(asking(body, accept)) == LogForm::frames);
  CHECK(log_response(LogForm::frames, {}).content_type() == "application/x-berth-log");
  CHECK(log_response(LogForm::text, {}).content_type() == "text/plain; charset=utf-8");
  CHECK(no_log_response(LogForm::frames).content_type() == "application/x-berth-log");
}

TEST_CASE("the text alone is the text of the frames") {
  const StoredLog log("head" + std::string(96, '\0') + "tail\n", {{4, 100}});
  const std::string hole = "\n[… 96 B left out (bytes 4–100) …]\n";
  CHECK(body_of(LogForm::text, log.from(0)) == "head" + hole + "tail\n");
  CHECK(in_order(body_of(LogForm::frames, log.from(0))) ==
        Frames{{Kind::text, 0, 4, "head"}, {Kind::left_out, 4, 100, hole}, {Kind::text, 100, 105, "tail\n"}});
  CHECK(in_order(body_of(LogForm::frames, log.from(102))) == Frames{{Kind::text, 102, 105, "il\n"}});
  CHECK(in_order(body_of(LogForm::frames, log.from(500))).empty());
}

TEST_CASE("a long log comes in frames that follow each other") {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += "line " + std::to_string(i) + "\n";
  StoredLog log(text);
  for (const auto& secrets : {std::vector<std::string>{}, std::vector<std::string>{"line 2222", "line 49999"}}) {
    const auto frames = in_order(body_of(LogForm::frames, log.masked_from(7, secrets)));
    std::uint64_t next = 7;
    std::string seen;
    for (const auto& frame : frames) {
      CHECK(frame.begin == next);
      next = frame.end;
      seen += frame.text;
    }
    CHECK(next == text.size());
    CHECK(seen.size() == text.size() - 7);
  }
}

TEST_CASE("what a mask holds back is in no frame before it is shown, so that nothing is skipped by going on") {
  const std::string text = "a " + kSecret + " b " + kSecret.substr(0, 8) + ".";
  const std::string shown = "a " + std::string(kSecret.size(), '*') + " b " + kSecret.substr(0, 8) + ".";
  for (std::size_t size = 0; size <= text.size(); ++size) {
    CAPTURE(size);
    // A launch that runs on: what there is of its log is sent, but the log is not over.
    StoredLog log(text.substr(0, size));
    const auto send_all_but_end = [&](LogSink& out) -> async::Task<> {
      model::LogFrame frame;
      frame.attempt = 3;
      frame.end = size;
      const auto there = text.substr(0, size);
      frame.text = there;
      if (size > 0) co_await out.take(frame);
    };
    const auto mask = std::make_shared<const logs::Mask>(std::vector{kSecret});
    const auto first =
        in_order(body_of(LogForm::frames, masked(send_all_but_end, mask, "", MaskingLane{log.lanes, 1000})));
    const auto next = first.empty() ? 0 : first.back().end;
    CHECK(next <= size);
    // Another agent is asked for the rest.
    StoredLog grown(text);
    std::string seen;
    for (const auto& frame : first) seen += frame.text;
    CHECK(seen.size() == next);
    CHECK(seen + body_of(LogForm::text, grown.masked_from(next, {kSecret})) == shown);
  }
}

TEST_CASE("nothing that a mask holds back goes beyond a hole, and of what the hole has cut neither half is shown") {
  StoredLog log("a s3cr3t" + std::string(92, '\0') + "-value b s3cr", {{8, 100}});
  const std::string hole = "\n[… 92 B left out (bytes 8–100) …]\n";
  CHECK(in_order(body_of(LogForm::frames, log.masked_from(0, {kSecret}))) == Frames{{Kind::text, 0, 2, "a "},
                                                                                    {Kind::text, 2, 8, "******"},
                                                                                    {Kind::left_out, 8, 100, hole},
                                                                                    {Kind::text, 100, 109, "****** b "},
                                                                                    {Kind::text, 109, 113, "s3cr"}});
  CHECK(body_of(LogForm::text, log.masked_from(0, {kSecret, "left out"})) == "a ******" + hole + "****** b s3cr");
}

TEST_CASE("a mask begins anew with another log") {
  StoredLog log("");
  const auto two_logs = [](LogSink& out) -> async::Task<> {
    model::LogFrame frame;
    frame.end = 4;
    for (const char* text : {"s3cr", "3t-v"}) {
      ++frame.attempt;
      frame.text = text;
      co_await out.take(frame);
      co_await out.finish();
    }
  };
  const auto mask = std::make_shared<const logs::Mask>(std::vector{kSecret});
  const auto frames = in_order(body_of(LogForm::frames, masked(two_logs, mask, "", MaskingLane{log.lanes, 1000})));
  REQUIRE(frames.size() == 2);
  CHECK((frames[0].attempt == 1 && frames[0].begin == 0 && frames[0].text == "s3cr"));
  CHECK((frames[1].attempt == 2 && frames[1].begin == 0 && frames[1].text == "3t-v"));
}
