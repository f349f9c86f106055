#include "agent/api/access.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;

namespace {

http::LocalPeer process_of(uid_t uid) { return {1, uid, uid}; }

model::Job job_of(uid_t uid) {
  model::Job job;
  job.id = "brave-heron-7k2m"_job;
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
  const auto user = [&](uid_t uid) { return access.principal(process_of(uid)); };
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
    const auto user = [&](uid_t uid) { return access.principal(process_of(uid)); };
    CHECK(access.may_see(user(1000), 1000));
    CHECK(access.may_see(user(0), 1000));
    CHECK_FALSE(access.may_see(user(1001), 1000));
    CHECK_FALSE(access.may_see(user(1001), 0));
    CHECK(access.may_see(user(1001), std::nullopt));
  }
}

TEST_CASE("logs can be opened for all by configuration, but never control") {
  const api::Access access(0, true, true);
  const auto other = access.principal(process_of(1001));
  CHECK_FALSE(denied([&] { access.require_content(other, job_of(1000)); }));
  CHECK(denied([&] { access.require_control(other, job_of(1000)); }));
}

TEST_CASE("a user's agent serves that user and root, and all its jobs are his") {
  const api::Access access(1000, false, false);
  const auto user = [&](uid_t uid) { return access.principal(process_of(uid)); };
  CHECK(access.submitter(user(1000)) == 1000);
  CHECK(access.submitter(user(0)) == 1000);
  CHECK(denied([&] { user(1001); }));
  CHECK_FALSE(denied([&] { access.require_node(user(1000)); }));
}

TEST_CASE("a process is who the kernel says, and only root is root") {
  const api::Access machine(0, true, false);
  CHECK(machine.principal(process_of(1000)).uid() == uid_t{1000});
  CHECK_FALSE(machine.principal(process_of(1000)).has(model::Role::administrator));
  CHECK(machine.principal(process_of(0)).has(model::Role::administrator));
  CHECK(machine.principal(process_of(0)).account() == uid_t{0});

  const api::Access own(1000, false, false);
  CHECK(own.principal(process_of(0)).uid() == uid_t{0});
  CHECK(own.principal(process_of(0)).account() == uid_t{1000});
}

TEST_CASE("who is not of this machine is nobody here, whatever certificate he has") {
  http::RemotePeer peer{"192.0.2.7"};
  peer.certificate = http::RemotePeer::Certificate{"root", "00"};
  for (const bool machine : {false, true}) CHECK(denied([&] { api::Access(0, machine, true).principal(peer); }));
}

TEST_CASE("who came with a token has only what its roles allow") {
  using model::Principal;
  using model::Role;
  const api::Access access(0, true, false);
  const auto job = job_of(1000);
  CHECK(access.sight(Principal::person("ada", {Role::submitter}), job) == api::Access::Sight::outline);
  CHECK(access.sight(Principal::person("ada", {Role::reader}), job) == api::Access::Sight::readable);
  CHECK(access.sight(Principal::person("ada", {Role::administrator}), job) == api::Access::Sight::whole);
  CHECK(denied([&] { access.submitter(Principal::person("ada", {Role::submitter})); }));  // he has no account here
  CHECK(denied([&] { access.require_control(Principal::person("ada", {Role::reader}), job); }));
  CHECK(denied([&] { access.require_node(Principal::node("gpu-1")); }));
}
