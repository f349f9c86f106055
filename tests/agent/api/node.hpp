#pragma once

// The services of a node, for routes: all of them real but what starts processes, in a directory of its own.

#include <functional>
#include <string>

#include "agent/api/services.hpp"
#include "runtime/os/file.hpp"
#include "tests/fakes/node.hpp"

namespace berth::api::test {

// Who owns this test owns the agent.
inline http::LocalPeer own_peer() { return {::getpid(), ::geteuid(), ::getegid()}; }

class Node {
 public:
  Node() { os::make_directories(node_.directory / "incoming"); }

  using Body = std::function<async::Task<>(Services&, const http::Router&)>;
  void run(const Body& body) {
    node_.run([&](fakes::Node::Agent& agent) { return serve(node_, agent, body); });
  }

 private:
  static async::Task<> serve(fakes::Node& node, fakes::Node::Agent& agent, const Body& body) {
    api::Node facts;
    facts.name = "node";
    facts.state_dir = node.directory.path();
    Services services{agent.jobs,
                      node.directories,
                      agent.disk,
                      agent.quota,
                      agent.environments,
                      agent.store,
                      node.objects,
                      agent.watcher,
                      node.pool,
                      system_clock(),
                      Access(::geteuid(), false, false),
                      facts,
                      node.directory / "incoming",
                      1_GiB};
    const auto router = make_router(services);
    co_await body(services, router);
  }

  fakes::Node node_;
};

// What the route of this path answers, as the server would ask it.
inline async::Task<http::Response> answer_of(const http::Router& router, std::string method, std::string path,
                                             http::Peer peer, std::string content = {}) {
  http::MemoryBody body(std::move(content));
  http::Request request(body);
  request.method = method;
  const auto target = http::parse_target(path);
  request.path = target.path;
  request.query = target.query;
  request.peer = std::move(peer);
  auto match = router.find(method, target.segments);
  if (match.handler == nullptr) throw Error(Code::not_found, "no route for " + method + " " + path);
  request.parameters = std::move(match.parameters);
  co_return co_await (*match.handler)(request);
}

}  // namespace berth::api::test
