#include "agent/api/access.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;

namespace {

http::Peer user(uid_t uid) {
  http::Peer peer;
  peer.uid = uid;
  return peer;
}

model::Job job_of(uid_t uid) {
  model::Job job;
  job.id = "brave-heron-7k2m";
  job.uid = uid;
  job.user = "ada";
  return job;
}

template <class F>
bool denied(F call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.code() == Code::denied);
    CHECK_FALSE(error.hint().empty());
    return true;
  }
  return false;
}

}  // namespace

TEST_CASE("on a machine's agent everybody submits as himself, and only owner and root change a job") {
  const api::Access access(0, true, false);
  const auto job = job_of(1000);
  CHECK(access.submitter(user(1000)) == 1000);
  CHECK_FALSE(denied([&] { access.require_control(user(1000), job); }));
  CHECK_FALSE(denied([&] { access.require_control(user(0), job); }));
  CHECK(denied([&] { access.require_control(user(1001), job); }));
  CHECK(denied([&] { access.require_content(user(1001), job); }));
  CHECK(denied([&] { access.require_node(user(1000)); }));
  CHECK_FALSE(denied([&] { access.require_node(user(0)); }));
}

TEST_CASE("what is one user's alone is there for him and for root, even where others may read") {
  for (const bool others_may_read : {false, true}) {
    const api::Access access(0, true, others_may_read);
    CHECK(access.may_see(user(1000), 1000));
    CHECK(access.may_see(user(0), 1000));
    CHECK_FALSE(access.may_see(user(1001), 1000));
    CHECK_FALSE(access.may_see(user(1001), 0));
    CHECK(access.may_see(user(1001), std::nullopt));
  }
}

TEST_CASE("logs can be opened for all by configuration, but never control") {
  const api::Access access(0, true, true);
  CHECK_FALSE(denied([&] { access.require_content(user(1001), job_of(1000)); }));
  CHECK(denied([&] { access.require_control(user(1001), job_of(1000)); }));
}

TEST_CASE("a user's agent serves that user and root, and all its jobs are his") {
  const api::Access access(1000, false, false);
  CHECK(access.submitter(user(1000)) == 1000);
  CHECK(access.submitter(user(0)) == 1000);
  CHECK(denied([&] { access.submitter(user(1001)); }));
  CHECK_FALSE(denied([&] { access.require_node(user(1000)); }));
}
