#pragma once

// The routes as a table. A pattern's "{name}" matches one segment of the path, "{name...}" at its end the
// rest (at least one segment). Literal segments win over parameters. A GET route also answers HEAD.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/http/request.hpp"
#include "runtime/http/response.hpp"

namespace berth::http {

// Throws Error for a failure. The request lives until the response, stream included, is sent.
using Handler = std::function<async::Task<Response>(Request&)>;

struct Route {
  std::string method;   // "GET"
  std::string pattern;  // "/v1/jobs/{id}/log"
  Handler handler;
};

class Router {
 public:
  // A malformed pattern, or a second route of the same method and shape, is a defect: Error(Code::internal).
  void add(std::string method, std::string pattern, Handler handler);

  struct Match {
    const Handler* handler = nullptr;
    Query parameters;
    std::string allow;  // where the path exists under other methods only: "GET, POST"
  };
  Match find(std::string_view method, const std::vector<std::string>& segments) const;

  // In the order of add().
  const std::vector<Route>& routes() const { return routes_; }

 private:
  struct Segment {
    enum class Kind { literal, parameter, rest } kind;
    std::string text;
  };
  using Shape = std::vector<Segment>;

  static Shape parse(const std::string& pattern);
  static bool same_shape(const Shape& a, const Shape& b);
  static bool matches(const Shape& shape, const std::vector<std::string>& segments);
  static bool more_literal(const Shape& a, const Shape& b);
  static Query parameters_of(const Shape& shape, const std::vector<std::string>& segments);

  std::vector<Route> routes_;
  std::vector<Shape> shapes_;
};

}  // namespace berth::http
