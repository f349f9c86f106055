#include "runtime/http/request_parser.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/none.hpp>

#include "runtime/base/error.hpp"

namespace berth::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;
using Outcome = beast::http::error;

[[noreturn]] void refuse(const error_code& failure) {
  if (failure == Outcome::header_limit) throw Error(Code::too_large, "the request's header is too large");
  throw Error(Code::invalid, "malformed request: " + failure.message());
}

}  // namespace

class RequestParser::Machine : public beast::http::basic_parser<true> {
 public:
  Machine(std::size_t header, std::size_t fields) : most_fields_(fields) {
    header_limit(static_cast<std::uint32_t>(header));
    body_limit(boost::none);
  }

  RequestHead head;
  std::span<char> out;  // where the body goes
  std::size_t produced = 0;

 private:
  using Text = beast::string_view;

  void on_request_impl(beast::http::verb /*verb*/, Text method, Text target, int version, error_code&) override {
    head.method.assign(method.data(), method.size());
    head.target.assign(target.data(), target.size());
    head.http_1_0 = version == 10;
  }

  void on_response_impl(int, Text, int, error_code&) override {}

  void on_field_impl(beast::http::field id, Text name, Text value, error_code& failure) override {
    if (is_header_done()) return;  // a trailer
    if (head.headers.size() >= most_fields_) {
      failure = Outcome::header_limit;
      return;
    }
    if (id == beast::http::field::transfer_encoding && !same_name({value.data(), value.size()}, "chunked"))
      throw Error(Code::unsupported, "the only transfer coding understood is chunked");
    if (id == beast::http::field::expect && same_name({value.data(), value.size()}, "100-continue"))
      head.expects_continue = true;
    head.headers.add(std::string(name), std::string(value));
  }

  void on_header_impl(error_code&) override {
    head.chunked = chunked();
    head.keep_alive = keep_alive();
    if (const auto length = content_length(); length) head.length = *length;
    if (!head.length && !head.chunked) head.length = 0;
    if (head.http_1_0) head.expects_continue = false;
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(Text, error_code&) override { return 0; }  // read by its length, not parsed
  void on_chunk_header_impl(std::uint64_t, Text, error_code&) override {}

  std::size_t on_chunk_body_impl(std::uint64_t, Text body, error_code&) override {
    const auto n = std::min(body.size(), out.size() - produced);
    std::copy_n(body.data(), n, out.data() + produced);
    produced += n;
    return n;
  }

  void on_finish_impl(error_code&) override {}

  std::size_t most_fields_;
};

RequestParser::RequestParser(ByteSize header, std::size_t fields) : header_(header), fields_(fields) { reset(); }
RequestParser::~RequestParser() = default;

void RequestParser::reset() {
  machine_ = std::make_unique<Machine>(header_.bytes(), fields_);
  taken_ = 0;
}

bool RequestParser::head_done() const { return machine_->is_header_done(); }
bool RequestParser::begun() const { return machine_->got_some(); }
RequestHead& RequestParser::head() { return machine_->head; }
bool RequestParser::body_done() const { return machine_->is_done(); }

std::size_t RequestParser::feed_head(std::string_view bytes) {
  error_code failure;
  const auto n = machine_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), failure);
  if (failure && failure != Outcome::need_more) refuse(failure);
  // Beast bounds only what it has not taken yet.
  taken_ += n;
  const auto pending = head_done() ? 0 : bytes.size() - n;
  if (taken_ + pending > header_.bytes()) refuse(Outcome::header_limit);
  return n;
}

RequestParser::Progress RequestParser::feed_chunked(std::string_view bytes, std::span<char> out) {
  machine_->out = out;
  machine_->produced = 0;
  std::size_t taken = 0;
  while (!body_done() && machine_->produced < out.size() && taken < bytes.size()) {
    error_code failure;
    const auto rest = bytes.substr(taken);
    taken += machine_->put(boost::asio::const_buffer(rest.data(), rest.size()), failure);
    if (failure == Outcome::need_more) break;
    if (failure) refuse(failure);
  }
  Progress progress;
  progress.taken = taken;
  progress.produced = machine_->produced;
  return progress;
}

}  // namespace berth::http
