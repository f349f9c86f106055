#include "runtime/http/error_json.hpp"

#include <doctest/doctest.h>

namespace berth::http {

TEST_CASE("an error survives the way through JSON") {
  Error error(Code::no_space, "cannot write \"x\"\n", "free some space");
  error.add_context("while restoring snapshot 3f2a");
  const auto text = to_json(error);
  const auto back = error_from_response(http_status(error.code()), text);
  CHECK(back.code() == Code::no_space);
  CHECK(back.message() == error.message());
  CHECK(back.hint() == error.hint());
  CHECK(back.context() == error.context());
}

TEST_CASE("the shape of an error is fixed") {
  CHECK(to_json(Error(Code::not_found, "no such job: 7")) ==
        R"({"error":{"code":"not_found","context":[],"hint":"","message":"no such job: 7"}})");
}

TEST_CASE("a message that is not UTF-8 still makes JSON") {
  const auto back = error_from_response(400, to_json(Error(Code::invalid, "bad \xff name")));
  CHECK(back.message() == "bad \xEF\xBF\xBD name");
}

TEST_CASE("an answer that is not ours becomes an error too") {
  const auto html = error_from_response(404, "<html>\x1b[31m");
  CHECK(html.code() == Code::not_found);
  CHECK(html.message() == "the server answered 404: <html>\\x1b[31m");
  CHECK(error_from_response(418, "").code() == Code::invalid);
  CHECK(error_from_response(599, "[1]").code() == Code::internal);
  CHECK(error_from_response(500, R"({"error":"text"})").code() == Code::internal);
  CHECK(error_from_response(409, R"({"error":{"code":7,"message":[]}})").code() == Code::conflict);
}

}  // namespace berth::http
