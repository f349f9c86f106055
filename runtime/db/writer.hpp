#pragma once

// The one thread that writes to a database. Whatever waits when it is free goes into one transaction (group
// commit), so many durable writes share one sync. Each piece of work runs in a savepoint of its own: one that
// throws is undone and spoils no other. An idle writer never wakes up.

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/db/connection.hpp"

namespace berth::db {

class Writer {
 public:
  using Work = std::function<void(Connection&)>;
  // Gets null when the work is committed (and, if asked for, on disk), else why it is not. Must not throw or
  // block.
  using Done = std::function<void(std::exception_ptr)>;

  explicit Writer(Connection connection);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  // Writes what waits, then ends.
  ~Writer();

  // Work runs in the order given; `work` and `done` are called on the writer's thread and destroyed there.
  // After stop() `done` gets Code::unavailable, here.
  void write(Durable durable, Work work, Done done);
  // The connection is made anew with `open` before the next work. For one that keeps failing: SQLite remembers locks
  // that it could not give back for as long as any connection of the process to this file is open, so all others are to
  // be closed before; it returns when this one is closed, or is too busy for that.
  void renew(std::function<Connection()> open);
  // Blocks until all that was given before is committed; write() accepts nothing more.
  void stop();

 private:
  struct Item {
    Durable durable;
    Work work;
    Done done;
    std::exception_ptr failure;
  };
  void serve();
  void commit(std::vector<Item>& batch);
  void run_all(std::vector<Item>& batch);
  void run_one(Item& item);

  std::optional<Connection> connection_;
  std::function<Connection()> open_;  // the last renewal's
  const std::string path_;
  std::mutex mutex_;
  std::condition_variable available_;
  std::condition_variable closed_;
  std::vector<Item> waiting_;
  std::function<Connection()> renewal_;  // asked for; guarded by mutex_
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace berth::db
