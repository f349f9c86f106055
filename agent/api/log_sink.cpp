#include "agent/api/log_sink.hpp"

#include <string_view>
#include <utility>

namespace berth::api {
namespace {

class Sending : public LogSink {
 public:
  Sending(http::Stream& out, LogForm form) : out_(out), form_(form) {}

  async::Task<> open() override {
    constexpr std::string_view kNothing;
    co_await out_.write(kNothing);  // the header
  }

  async::Task<> take(model::LogFrame frame) override {
    if (form_ == LogForm::frames) {
      const auto bytes = model::encode(frame);
      co_await out_.write(bytes);
    } else {
      co_await out_.write(frame.text);
    }
  }

  async::Task<> finish() override { co_return; }

 private:
  http::Stream& out_;
  LogForm form_;
};

async::Task<> send(http::Stream& out, LogForm form, LogWriter writer) {
  Sending sending(out, form);
  co_await writer(sending);
}

std::string content_type(LogForm form) {
  return form == LogForm::frames ? std::string(model::kLogFrames) : "text/plain; charset=utf-8";
}

}  // namespace

LogForm log_form(const http::Request& request) {
  return request.accepts(model::kLogFrames) ? LogForm::frames : LogForm::text;
}

http::Response log_response(LogForm form, LogWriter writer) {
  auto send_all = [form, writer = std::move(writer)](http::Stream& out) { return send(out, form, writer); };
  return http::Response::stream(content_type(form), std::move(send_all));
}

http::Response no_log_response(LogForm form) { return http::Response::with_type(content_type(form), ""); }

}  // namespace berth::api
