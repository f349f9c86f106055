#include "runtime/http/response.hpp"

#include <algorithm>
#include <utility>

#include "runtime/http/error_json.hpp"

namespace berth::http {

Response Response::with_type(std::string content_type, std::string body, int status) {
  Response response(status);
  response.content_type_ = std::move(content_type);
  response.body_ = std::move(body);
  return response;
}

Response Response::json(std::string body, int status) { return with_type("application/json", std::move(body), status); }

Response Response::text(std::string body, int status) {
  return with_type("text/plain; charset=utf-8", std::move(body), status);
}

Response Response::empty(int status) { return Response(status); }

Response Response::stream(std::string content_type, Writer writer, int status) {
  Response response(status);
  response.content_type_ = std::move(content_type);
  response.writer_ = std::move(writer);
  return response;
}

Response Response::failure(const Error& error) { return json(to_json(error), http_status(error.code())); }

Response& Response::leave_slow_readers() {
  leaves_slow_readers_ = true;
  return *this;
}

Response& Response::set(std::string name, std::string value) {
  auto breaks_line = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
  if (std::ranges::any_of(name, breaks_line) || std::ranges::any_of(value, breaks_line))
    throw Error(Code::internal, "a header field with a line break");
  headers_.set(name, std::move(value));
  return *this;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

}  // namespace berth::http
