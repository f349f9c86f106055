#include "runtime/environment/turns.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

using berth::environment::Turns;

TEST_CASE("who has waited longest goes first, while there is a place") {
  Turns turns(2);
  const Turns::Ticket first(turns, 1);
  const Turns::Ticket second(turns, 1);
  CHECK(first.may_begin());
  CHECK(!second.may_begin());
}

TEST_CASE("builds of one user that do not end keep no other user out") {
  for (const std::size_t places : {1U, 2U, 3U}) {
    CAPTURE(places);
    Turns turns(places);
    for (std::size_t running = 0; running < places; ++running) turns.begin(1);
    const Turns::Ticket more(turns, 1);
    CHECK(!more.may_begin());
    const Turns::Ticket other(turns, 2);
    CHECK(other.may_begin());
    CHECK(!more.may_begin());
  }
}

TEST_CASE("a user with many that wait gets one in turn with another's") {
  Turns turns(2);
  std::vector<std::unique_ptr<Turns::Ticket>> many;
  for (int at = 0; at < 5; ++at) many.push_back(std::make_unique<Turns::Ticket>(turns, 1));
  many.front()->leave();
  turns.begin(1);
  Turns::Ticket late(turns, 2);
  CHECK(late.may_begin());  // though four were there before
  late.leave();
  turns.begin(2);
  turns.end(2);
  CHECK(many[1]->may_begin());
}

TEST_CASE("users get turns by when they had their last one") {
  Turns turns(1);
  turns.begin(1);
  turns.end(1);
  const Turns::Ticket waits(turns, 1);
  const Turns::Ticket other(turns, 2);
  CHECK(other.may_begin());
  CHECK(!waits.may_begin());
}

TEST_CASE("the users who get a place beyond those for all are as many as there are places") {
  Turns turns(2);
  turns.begin(1);
  turns.begin(2);
  const Turns::Ticket third(turns, 3);
  CHECK(!third.may_begin());
}

TEST_CASE("of fifty users one has a hundred builds that hang: each of the others has his turn in the round") {
  Turns turns(2);
  std::vector<std::unique_ptr<Turns::Ticket>> hanging;
  for (int at = 0; at < 100; ++at) hanging.push_back(std::make_unique<Turns::Ticket>(turns, 0));
  hanging[0]->leave();
  turns.begin(0);  // and it never ends
  std::vector<std::unique_ptr<Turns::Ticket>> others;
  for (uid_t user = 1; user < 50; ++user) others.push_back(std::make_unique<Turns::Ticket>(turns, user));
  for (uid_t user = 1; user < 50; ++user) {
    CAPTURE(user);
    auto& ticket = *others[user - 1];
    REQUIRE(ticket.may_begin());
    ticket.leave();
    turns.begin(user);
    turns.end(user);
  }
}

TEST_CASE("what several wait for has the best turn of any of them, at whose cost it begins") {
  Turns turns(2);
  turns.begin(1);
  turns.begin(1);
  Turns::Ticket common(turns, 1);
  CHECK(!common.may_begin());
  common.wanted_by({1, 2});
  CHECK(common.whose_turn() == Turns::User(2));
  turns.begin(2);
  CHECK(!common.may_begin());
  common.wanted_by({1, 2, 3});
  CHECK(!common.may_begin());  // two users have some
  turns.end(1);
  turns.end(1);
  CHECK(common.whose_turn() == Turns::User(3));  // who had none yet
}

TEST_CASE("however users come and go, no more run than it says") {
  for (const std::size_t places : {1U, 2U, 3U, 5U}) {
    CAPTURE(places);
    Turns turns(places);
    for (std::size_t running = 0; running < places; ++running) turns.begin(0);
    std::size_t running = places;
    for (uid_t round = 0; round < 40; ++round) {
      Turns::Ticket ticket(turns, round % 8);
      if (!ticket.may_begin()) continue;
      ticket.leave();
      turns.begin(round % 8);
      ++running;
    }
    CHECK(running == turns.most());
  }
}

TEST_CASE("ten thousand that wait cost no more than the users who wait") {
  Turns turns(2);
  turns.begin(0);
  turns.begin(0);
  std::vector<std::unique_ptr<Turns::Ticket>> waiting;
  for (int at = 0; at < 10'000; ++at) {
    waiting.push_back(std::make_unique<Turns::Ticket>(turns, 0));
    CHECK(!turns.next());
  }
  Turns::Ticket other(turns, 1);
  CHECK(other.may_begin());
  other.leave();
  turns.end(0);
  for (auto& ticket : waiting) {
    REQUIRE(ticket->may_begin());
    ticket->leave();
  }
}
