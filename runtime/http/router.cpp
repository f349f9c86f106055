#include "runtime/http/router.hpp"

#include <algorithm>
#include <utility>

#include "runtime/base/error.hpp"

namespace berth::http {
namespace {

[[noreturn]] void defect(const std::string& pattern, std::string_view why) {
  throw Error(Code::internal, "route " + pattern + ": " + std::string(why));
}

}  // namespace

Router::Shape Router::parse(const std::string& pattern) {
  if (!pattern.starts_with('/')) defect(pattern, "it must begin with /");
  Shape shape;
  std::string_view rest = std::string_view(pattern).substr(1);
  while (!rest.empty()) {
    const auto end = rest.find('/');
    auto part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    auto kind = Segment::Kind::literal;
    if (part.starts_with('{') && part.ends_with('}')) {
      part = part.substr(1, part.size() - 2);
      kind = Segment::Kind::parameter;
      if (part.ends_with("...")) {
        part.remove_suffix(3);
        kind = Segment::Kind::rest;
        if (!rest.empty()) defect(pattern, "{name...} must be the last segment");
      }
    }
    if (part.empty()) defect(pattern, "an empty segment");
    shape.push_back(Segment{kind, std::string(part)});
  }
  return shape;
}

bool Router::same_shape(const Shape& a, const Shape& b) {
  return std::ranges::equal(a, b, [](const Segment& x, const Segment& y) {
    return x.kind == y.kind && (x.kind != Segment::Kind::literal || x.text == y.text);
  });
}

void Router::add(std::string method, std::string pattern, Handler handler) {
  auto shape = parse(pattern);
  for (std::size_t i = 0; i < routes_.size(); ++i)
    if (routes_[i].method == method && same_shape(shapes_[i], shape)) defect(pattern, "it is there already");
  routes_.push_back(Route{std::move(method), std::move(pattern), std::move(handler)});
  shapes_.push_back(std::move(shape));
}

bool Router::matches(const Shape& shape, const std::vector<std::string>& segments) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i >= segments.size()) return false;
    if (shape[i].kind == Segment::Kind::rest) return true;
    if (shape[i].kind == Segment::Kind::literal && shape[i].text != segments[i]) return false;
  }
  return shape.size() == segments.size();
}

// Both match the same path; the first difference in kind decides.
bool Router::more_literal(const Shape& a, const Shape& b) {
  return std::ranges::lexicographical_compare(a, b, {}, &Segment::kind, &Segment::kind);
}

Query Router::parameters_of(const Shape& shape, const std::vector<std::string>& segments) {
  Query parameters;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].kind == Segment::Kind::literal) continue;
    auto& value = parameters[shape[i].text];
    value = segments[i];
    if (shape[i].kind != Segment::Kind::rest) continue;
    for (std::size_t j = i + 1; j < segments.size(); ++j) (value += '/') += segments[j];
  }
  return parameters;
}

Router::Match Router::find(std::string_view method, const std::vector<std::string>& segments) const {
  const auto wanted = method == "HEAD" ? std::string_view("GET") : method;
  std::optional<std::size_t> best;
  Match match;
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    if (!matches(shapes_[i], segments)) continue;
    if (match.allow.find(routes_[i].method) == std::string::npos) {
      if (!match.allow.empty()) match.allow += ", ";
      match.allow += routes_[i].method;
    }
    if (routes_[i].method == wanted && (!best || more_literal(shapes_[i], shapes_[*best]))) best = i;
  }
  if (!best) return match;
  match.handler = &routes_[*best].handler;
  match.parameters = parameters_of(shapes_[*best], segments);
  match.allow.clear();
  return match;
}

}  // namespace berth::http
