#pragma once

// A SQLite database of one file: connection, cached statements, transactions. The only place that sees
// sqlite3.h is connection.cpp. A connection belongs to one thread at a time; writers wait for each other,
// readers for nobody (write-ahead log).
//
// Failures are Errors that name the file: Code::corrupt for what is not a database or is damaged,
// Code::no_space for a full disk, Code::conflict for a violated constraint, Code::unavailable when another
// process keeps it locked.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "runtime/base/strong.hpp"
#include "runtime/os/file.hpp"

struct sqlite3_stmt;

namespace berth::db {

using os::Durable;
using Bytes = std::span<const std::uint8_t>;

enum class Access { read_only, read_write };

struct OpenOptions {
  Access access = Access::read_write;  // read_write makes a missing file, mode 0600
  std::chrono::milliseconds busy_timeout{5000};
  int cache_kib = 512;
};

class Connection;

// A prepared statement on loan from its connection's cache: use it and let it go before the connection.
// Parameters count from 1, columns from 0. Views of columns are valid until the next step().
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Copies what it is given.
  void bind(int parameter, std::int64_t value);
  void bind(int parameter, std::string_view value);
  void bind(int parameter, Bytes value);
  void bind_null(int parameter);
  template <std::integral T>
  void bind(int parameter, T value) {
    bind(parameter, static_cast<std::int64_t>(value));
  }
  template <IsStrong T>
  void bind(int parameter, const T& strong) {
    bind(parameter, strong.value());
  }
  void bind(int parameter, const char* value) { bind(parameter, std::string_view(value)); }
  void bind(int parameter, const std::string& value) { bind(parameter, std::string_view(value)); }
  void bind(int parameter, std::nullopt_t) { bind_null(parameter); }
  template <class T>
  void bind(int parameter, const std::optional<T>& value) {
    if (value) {
      bind(parameter, *value);
    } else {
      bind_null(parameter);
    }
  }
  // The parameters from 1 on.
  template <class... T>
  Statement& with(const T&... values) {
    int parameter = 0;
    (bind(++parameter, values), ...);
    return *this;
  }

  // True while there is a row.
  bool step();
  // To the end, ready for the next binding.
  void run();
  void reset();

  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  std::string_view text(int column) const;
  Bytes blob(int column) const;
  std::optional<std::int64_t> optional_integer(int column) const;

 private:
  friend class Connection;
  struct Cached;
  Statement(Connection& connection, Cached* cached) : connection_(&connection), cached_(cached) {}
  Connection* connection_;
  Cached* cached_;
};

class Connection {
 public:
  static Connection open(const std::string& path, const OpenOptions& options = {});
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  const std::string& path() const;

  // Prepared once per text, which must not contain values.
  Statement prepare(std::string_view sql);
  template <class... T>
  Statement query(std::string_view sql, const T&... values) {
    auto statement = prepare(sql);
    statement.with(values...);
    return statement;
  }
  template <class... T>
  void run(std::string_view sql, const T&... values) {
    query(sql, values...).run();
  }
  // Several statements without parameters.
  void execute(const std::string& script);

  std::int64_t last_insert_id() const;
  std::int64_t changes() const;  // rows, of the last statement
  bool in_transaction() const;

  // Whether a commit from now on waits until it is on disk (synchronous=FULL) or may be lost, but never torn,
  // by a power failure (NORMAL). Only between transactions. Everything committed before a durable commit is
  // durable too.
  void set_durable(Durable durable);
  // All that was committed before is on disk when it returns, within a transaction too.
  void sync();
  // Code::unavailable, with the remedy, where the database or its log is not the file any more that was opened, or
  // has lost a part: SQLite itself goes on writing into what nobody finds again. A few microseconds.
  void check_files() const;
  // Nothing when the file is sound, else what is wrong. Reads all of it.
  std::optional<std::string> damage();

 private:
  friend class Statement;
  struct Impl;
  explicit Connection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// BEGIN IMMEDIATE; rolled back unless committed.
class Transaction {
 public:
  explicit Transaction(Connection& connection);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();

 private:
  Connection* connection_;
  bool open_ = true;
};

// A part of a transaction, rolled back unless kept.
class Savepoint {
 public:
  explicit Savepoint(Connection& connection);
  Savepoint(const Savepoint&) = delete;
  Savepoint& operator=(const Savepoint&) = delete;
  ~Savepoint();
  void keep();

 private:
  Connection* connection_;
  bool open_ = true;
};

}  // namespace berth::db
