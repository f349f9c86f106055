#include "agent/jobs/jobs.hpp"

#include <doctest/doctest.h>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "runtime/async/attempt.hpp"
#include "runtime/async/cleanup.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/os/file.hpp"
#include "tests/fakes/gpu_machine.hpp"
#include "tests/fakes/node.hpp"

using namespace berth;
using namespace std::chrono_literals;

namespace {

async::Task<> until(const std::function<bool()>& condition) {
  while (!condition()) co_await async::sleep_for(2ms);
}

// A node, and its jobs as tests ask for them.
class Site : public fakes::Node {
 public:
  // With another agent each time.
  void run(const std::function<async::Task<>(jobs::Jobs&)>& body) {
    Node::run([this, &body](Agent& agent) {
      store = &agent.store;
      devices = &agent.gpus;
      return body(agent.jobs);
    });
  }

  // What it asks for besides.
  template <class Ask>
  async::Task<store::Sequence> submit(jobs::Jobs& jobs, Ask ask) {
    store::NewJob job;
    job.uid = ::geteuid();
    job.user = "ann";
    auto digits = std::to_string(++submitted_);
    job.request.submission_id = std::string(32 - digits.size(), '0') + digits;
    job.request.command = {"train", digits};
    job.request.working_directory = "/";
    ask(job.request);
    std::vector<store::NewJob> all;
    all.push_back(std::move(job));
    const auto made = co_await jobs.submit(std::move(all));
    co_return made.front().job.sequence;
  }
  async::Task<store::Sequence> submit(jobs::Jobs& jobs) {
    const auto nothing = [](model::JobRequest&) {};
    co_return co_await submit(jobs, nothing);
  }

  // From the next agent on.
  void use(const fakes::GpuMachine&) {
    gpus.managed = true;
    gpus.library = std::string(BERTH_TEST_LIB) + "/nvml.so";
  }

  model::Job job(store::Sequence sequence) const { return store->columns(sequence).value(); }
  model::Ending ending(store::Sequence sequence) const { return job(sequence).ending.value(); }

  store::Store* store = nullptr;  // of the agent that runs
  gpus::Gpus* devices = nullptr;

 private:
  int submitted_ = 0;
};

}  // namespace

TEST_CASE("a job is started with its command, and its ending is recorded as its files tell it") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    const auto job = co_await site.submit(jobs);
    co_await until([&] { return site.driver->launched.size() == 1; });
    auto& launch = site.driver->last();
    CHECK(launch.plan.command == std::vector<std::string>{"train", "1"});
    CHECK(launch.id.job == site.job(job).id);
    CHECK(launch.id.number == 1);
    CHECK(!jobs.is_final(job));
    site.driver->end(launch, 3);
    co_await jobs.wait_until_final(job);
    CHECK(site.job(job).state == model::State::failed);
    CHECK(site.ending(job) == model::Ending(model::Exited{3}));
    co_await until([&] { return site.driver->cleaned.size() == 1; });
    CHECK(site.driver->settled == 1);
  });
}

TEST_CASE("a job that starts at once is on record as started when its submission is answered, and runs once") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    const auto first = co_await site.submit(jobs);
    CHECK(site.job(first).state == model::State::running);
    REQUIRE(site.job(first).attempts.size() == 1);
    store::EventQuery from_the_first;
    from_the_first.after = 0;
    const auto events = co_await site.store->events(from_the_first);
    REQUIRE(events.events.size() == 2);
    CHECK(events.events[0].what == model::Event::What::submitted);
    CHECK(events.events[1].what == model::Event::What::started);
    const auto second = co_await site.submit(jobs);
    const auto third = co_await site.submit(jobs);  // both places are taken
    CHECK(site.job(second).state == model::State::running);
    CHECK(site.job(third).state == model::State::queued);
    CHECK(jobs.queue().running() == 2);
    co_await until([&] { return site.driver->launched.size() == 2; });
    while (!site.driver->launched.empty() && !jobs.idle()) {
      for (auto& launch : site.driver->launched)
        if (launch.claim) site.driver->end(launch, 0);
      co_await until([&] {
        return jobs.idle() ||
               std::ranges::any_of(site.driver->launched, [](auto& one) { return one.claim.has_value(); });
      });
    }
    CHECK(site.driver->launched.size() == 3);
    CHECK(jobs.queue().used().slots == 0);
  });
}

TEST_CASE("a submission that is refused gives its place back") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    for (int i = 0; i < 3; ++i) {
      store::NewJob job;
      job.uid = ::geteuid();
      job.user = "ann";
      job.request.submission_id = std::string(32, 'a');
      job.request.command = {"train", std::to_string(i)};  // another request by the same id
      job.request.working_directory = "/";
      std::vector<store::NewJob> all;
      all.push_back(std::move(job));
      const auto made = co_await async::attempt(jobs.submit(std::move(all)));
      CHECK(made.has_value() == (i == 0));
    }
    CHECK(jobs.queue().running() == 1);
    CHECK(jobs.queue().used().slots == 1);
    co_await until([&] { return site.driver->launched.size() == 1; });
    site.driver->end(site.driver->last(), 0);
    co_await until([&] { return jobs.idle(); });
  });
}

TEST_CASE("who did not fit beside a submission that came to nothing starts when that is known") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    const auto running = co_await site.submit(jobs);
    co_await jobs.set_drained(true);
    const auto held = co_await site.submit(jobs);
    co_await jobs.set_held(held, true, "ann");
    co_await jobs.set_drained(false);
    const auto again = [&]() -> async::Task<> {  // by an id that has been given to another request
      store::NewJob job;
      job.uid = ::geteuid();
      job.user = "ann";
      job.request.submission_id = std::string(31, '0') + "1";
      job.request.command = {"something else"};
      job.request.working_directory = "/";
      std::vector<store::NewJob> all;
      all.push_back(std::move(job));
      const auto refused = co_await async::attempt(jobs.submit(std::move(all)));
      CHECK_FALSE(refused.has_value());
    };
    async::Nursery both(co_await async::this_coro::executor, [](std::exception_ptr) { CHECK(false); });
    both.spawn(jobs.set_held(held, false, "ann"));
    both.spawn(again());
    co_await both.join();
    co_await until([&] { return site.driver->launched.size() == 2; });
    CHECK(site.driver->of(site.job(held).id).plan.command.front() == "train");
    for (auto& launch : site.driver->launched) site.driver->end(launch, 0);
    co_await jobs.wait_until_final(running);
    co_await jobs.wait_until_final(held);
  });
}

TEST_CASE("a job that is canceled at any turn of its start ends as canceled") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    const auto executor = co_await async::this_coro::executor;
    for (int turns = 0; turns < 12; ++turns) {
      const auto job = co_await site.submit(jobs);
      for (int turn = 0; turn < turns; ++turn) co_await boost::asio::post(executor, boost::asio::use_awaitable);
      co_await jobs.cancel(job, "grace");
      co_await until([&] {
        for (auto& launch : site.driver->launched)
          if (launch.claim && fakes::Driver::asked_to_stop(launch))
            site.driver->end(launch, os::Exit{.signalled = true, .status = 15}, shim::kStoppedCanceled);
        return jobs.is_final(job);
      });
      CHECK(site.ending(job) == model::Ending(model::Canceled{"grace"}));
    }
    CHECK(jobs.queue().used().slots == 0);
  });
}

TEST_CASE("jobs beyond the slots wait, and start in their order when one ends") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    std::vector<store::Sequence> all;
    for (int i = 0; i < 4; ++i) all.push_back(co_await site.submit(jobs));
    co_await until([&] { return site.driver->launched.size() == 2; });
    CHECK(jobs.counts().queued == 2);
    CHECK(jobs.why_waiting(all[2]).has_value());
    site.driver->end(site.driver->launched.front(), 0);
    co_await until([&] { return site.driver->launched.size() == 3; });
    CHECK(site.driver->last().id.job == site.job(all[2]).id);
    for (auto launch = std::next(site.driver->launched.begin()); launch != site.driver->launched.end(); ++launch) {
      site.driver->end(*launch, 0);
      co_await until([&] { return site.driver->launched.size() == 4; });
    }
    for (const auto job : all) co_await jobs.wait_until_final(job);
    CHECK(jobs.counts().completed == 4);
    CHECK(jobs.idle());
  });
}

TEST_CASE("a running job that is canceled is asked to stop, and has been canceled by who asked") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    const auto job = co_await site.submit(jobs);
    co_await until([&] { return site.driver->launched.size() == 1; });
    co_await until([&] { return site.job(job).state == model::State::running; });
    co_await jobs.cancel(job, "grace");
    co_await until([&] { return fakes::Driver::asked_to_stop(site.driver->last()); });
    CHECK(!jobs.is_final(job));
    site.driver->end(site.driver->last(), os::Exit{.signalled = true, .status = 15}, shim::kStoppedCanceled);
    co_await jobs.wait_until_final(job);
    CHECK(site.ending(job) == model::Ending(model::Canceled{"grace"}));
  });
}

TEST_CASE("a waiting job that is canceled never starts") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    co_await jobs.set_drained(true);
    const auto job = co_await site.submit(jobs);
    co_await jobs.cancel(job, "grace");
    co_await jobs.wait_until_final(job);
    CHECK(site.ending(job) == model::Ending(model::Canceled{"grace"}));
    co_await jobs.set_drained(false);
    CHECK(site.driver->launched.empty());
  });
}

TEST_CASE("what the node lacks for a moment makes a job wait for it, and is no failure of the job") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    site.driver->away = Lack::engine;
    site.driver->prepare_failures.push_back(Error(Code::unavailable, "nobody answers").for_lack_of(Lack::engine));
    const auto job = co_await site.submit(jobs);
    co_await until([&] { return jobs.why_waiting(job).value_or("").starts_with("waits for the container engine"); });
    CHECK(site.driver->launched.empty());
    site.driver->away = Lack::nothing;
    site.driver->came_back.notify_all();
    co_await until([&] { return site.driver->launched.size() == 1; });
    site.driver->end(site.driver->last(), 0);
    co_await jobs.wait_until_final(job);
    CHECK(site.job(job).attempts.size() == 1);
    CHECK(site.ending(job) == model::Ending(model::Exited{0}));
  });
}

TEST_CASE("a start that failed for good ends the job, or its attempt, and says why") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    site.driver->refusals.push_back(Error(Code::invalid, "no such device"));
    const auto job = co_await site.submit(jobs);
    co_await jobs.wait_until_final(job);
    const auto ending = site.ending(job);
    REQUIRE(std::holds_alternative<model::StartFailed>(ending));
    CHECK(std::get<model::StartFailed>(ending).reason == "no such device");
  });
}

TEST_CASE("a start that failed after it had its effect is no failure: the supervisor's files decide") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    site.driver->late_failures.push_back(Error(Code::timeout, "no answer in time"));
    const auto job = co_await site.submit(jobs);
    co_await until([&] { return site.driver->launched.size() == 1; });
    co_await async::sleep_for(100ms);
    CHECK(!jobs.is_final(job));
    site.driver->end(site.driver->last(), 0);
    co_await jobs.wait_until_final(job);
    CHECK(site.ending(job) == model::Ending(model::Exited{0}));
    CHECK(site.driver->launched.size() == 1);
  });
}

TEST_CASE(
    "of a supervisor that ends without a word the driver tells why, and a retry follows where one was asked for") {
  Site site;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    site.driver->cause = model::Lost::Cause::engine_stopped;
    const auto once_more = [](model::JobRequest& request) { request.retries = {{"lost", 1}}; };
    const auto job = co_await site.submit(jobs, once_more);
    for (std::size_t launch = 1; launch <= 2; ++launch) {
      co_await until([&] { return site.driver->launched.size() == launch; });
      site.driver->vanish(site.driver->last());
    }
    co_await jobs.wait_until_final(job);
    CHECK(site.ending(job) == model::Ending(model::Lost{model::Lost::Cause::engine_stopped}));
    CHECK(site.job(job).attempts.size() == 2);
    CHECK(site.driver->launched.back().id.number == 2);
  });
}

TEST_CASE("another agent takes up what runs, once, and what ended meanwhile") {
  Site site;
  store::Sequence runs;
  store::Sequence ends;
  std::pair<model::JobId, model::JobId> ids;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    runs = co_await site.submit(jobs);
    ends = co_await site.submit(jobs);
    co_await until([&] { return site.driver->launched.size() == 2; });
    ids = {site.job(runs).id, site.job(ends).id};
  });
  site.driver->end(site.driver->of(ids.second), 7);
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    co_await jobs.wait_until_final(ends);
    CHECK(site.ending(ends) == model::Ending(model::Exited{7}));
    CHECK(!jobs.is_final(runs));
    site.driver->end(site.driver->of(ids.first), 0);
    co_await jobs.wait_until_final(runs);
    CHECK(site.ending(runs) == model::Ending(model::Exited{0}));
    CHECK(site.driver->launched.size() == 2);
  });
}

TEST_CASE(
    "a job that asks for more than is left of the node waits and says so, over a restart too, and keeps no other") {
  Site site;
  store::Sequence large;
  store::Sequence ended;
  const auto two_cpus = [](model::JobRequest& request) { request.resources.cpu_milli = 2000; };
  const auto words = "asks for 2 CPUs, this node has 1 CPU";
  auto less = site.settings();
  less.capacity.cpu_milli = 1000;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    ended = co_await site.submit(jobs, two_cpus);
    large = co_await site.submit(jobs, two_cpus);
    const auto small = co_await site.submit(jobs);
    CHECK(jobs.why_waiting(large) != words);
    co_await until([&] { return site.driver->launched.size() == 1; });
    jobs.reconfigure(less);
    CHECK(site.job(ended).state == model::State::running);
    CHECK(jobs.why_waiting(large) == words);
    site.driver->end(site.driver->last(), 1);
    co_await until([&] { return site.driver->launched.size() == 2; });
    CHECK(site.driver->last().id.job == site.job(small).id);
    site.driver->end(site.driver->last(), 0);
    co_await jobs.wait_until_final(small);
    CHECK(site.job(large).state == model::State::queued);

    // Nothing more of that kind is taken.
    const auto refused = co_await async::attempt(site.submit(jobs, two_cpus));
    REQUIRE(!refused);
    CHECK(refused.error().code() == Code::invalid);
    const auto not_again = co_await async::attempt(jobs.retry(ended, "ann"));
    REQUIRE(!not_again);
    CHECK(not_again.error().describe().find(words) != std::string::npos);
    CHECK(site.job(ended).state == model::State::failed);
  });
  site.capacity = less.capacity;
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    CHECK(jobs.why_waiting(large) == words);
    auto as_before = less;
    as_before.capacity.cpu_milli = 2000;
    jobs.reconfigure(as_before);
    co_await until([&] { return site.driver->launched.size() == 3; });
    CHECK(site.driver->last().id.job == site.job(large).id);
    site.driver->end(site.driver->last(), 0);
    co_await jobs.wait_until_final(large);
    co_await jobs.retry(ended, "ann");
    co_await until([&] { return site.driver->launched.size() == 4; });
    site.driver->end(site.driver->last(), 0);
    co_await jobs.wait_until_final(ended);
  });
}

TEST_CASE("jobs have particular GPUs: they wait for one that is held or drained, and are refused what is not there") {
  fakes::GpuMachine machine(fakes::GpuMachine::h100s(1));
  Site site;
  site.use(machine);
  const auto with = [](std::uint16_t count) {
    return [count](model::JobRequest& request) { request.resources.gpus = count; };
  };
  const auto one = with(1);
  const auto two = with(2);
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    const auto refused = co_await async::attempt(site.submit(jobs, two));
    REQUIRE(!refused);
    CHECK(refused.error().describe().find("asks for 2 GPUs, this node has 1 GPU") != std::string::npos);

    const auto first = co_await site.submit(jobs, one);
    const auto second = co_await site.submit(jobs, one);
    co_await until([&] { return site.driver->launched.size() == 1; });
    const auto& environment = site.driver->last().plan.environment;
    CHECK(std::ranges::find(environment, "CUDA_VISIBLE_DEVICES=GPU-0") != environment.end());
    CHECK(jobs.why_waiting(second).value_or("").starts_with("waits for 1 GPU: 1 of 1 are in use by "));
    const gpus::Record::Drained said{"ann", "its fan is loud"};
    co_await site.devices->drain("0", said);
    site.driver->end(site.driver->last(), 0);
    co_await jobs.wait_until_final(first);
    CHECK(jobs.why_waiting(second).value_or("").find("its fan is loud") != std::string::npos);
    CHECK(site.driver->launched.size() == 1);
    co_await site.devices->resume("0");
    co_await until([&] { return site.driver->launched.size() == 2; });
    site.driver->end(site.driver->last(), 0);
    co_await jobs.wait_until_final(second);
    CHECK(site.ending(second) == model::Ending(model::Exited{0}));
  });
}

TEST_CASE("a GPU that vanishes ends its job as that, where the job did not do well all the same; a retry has another") {
  fakes::GpuMachine machine(fakes::GpuMachine::h100s(2));
  Site site;
  site.use(machine);
  const auto once_more = [](model::JobRequest& request) {
    request.resources.gpus = 1;
    request.retries = {{"gpu_error", 1}};
  };
  site.run([&](jobs::Jobs& jobs) -> async::Task<> {
    const auto job = co_await site.submit(jobs, once_more);
    co_await until([&] { return site.driver->launched.size() == 1; });
    machine.change([](nlohmann::json& all) { all["gpus"][0]["gone"] = true; });
    co_await site.devices->look();
    site.driver->end(site.driver->last(), 1);
    co_await until([&] { return site.driver->launched.size() == 2; });
    const auto& environment = site.driver->last().plan.environment;
    CHECK(std::ranges::find(environment, "CUDA_VISIBLE_DEVICES=GPU-1") != environment.end());
    machine.change([](nlohmann::json& all) { all["gpus"][1]["gone"] = true; });
    co_await site.devices->look();
    site.driver->end(site.driver->last(), 0);
    co_await jobs.wait_until_final(job);
    const auto first = site.job(job).attempts.front().ending.value();
    REQUIRE(std::holds_alternative<model::GpuError>(first));
    CHECK(std::get<model::GpuError>(first).uuid == "GPU-0");
    CHECK(site.ending(job) == model::Ending(model::Exited{0}));
  });
}
