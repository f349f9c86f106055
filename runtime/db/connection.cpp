#include "runtime/db/connection.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>

#include <unordered_map>
#include <utility>

#include "runtime/base/error.hpp"

namespace berth::db {

struct Statement::Cached {
  sqlite3_stmt* handle = nullptr;
  bool lent = false;
  bool kept = true;  // false for a second one of the same text, which is not kept
};

namespace {

// One of the files, as it was last seen. It only grows: nothing vacuums, and what is kept of the log is longer than
// what counts of it.
struct SeenFile {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;

  // What is wrong with it; nothing where it is as it was, or was not there before.
  std::optional<std::string> look(off_t least) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
      if (inode == 0) return std::nullopt;
      return path + (errno == ENOENT ? " was deleted" : " cannot be found");
    }
    if (inode == 0) {
      device = info.st_dev;
      inode = info.st_ino;
    } else if (info.st_ino != inode || info.st_dev != device) {
      return path + " was replaced by another file";
    }
    if (info.st_size < least) return path + " was cut to " + std::to_string(info.st_size) + " bytes";
    size = info.st_size;
    return std::nullopt;
  }
};

constexpr off_t kLogHeader = 32;
constexpr off_t kFrameHeader = 24;
constexpr int kPagesBeforeCheckpoint = 1000;  // SQLite's own default

}  // namespace

struct Connection::Impl {
  std::string path;
  bool writes = false;
  SeenFile file{};
  SeenFile log{};
  int log_pages = 0;  // that count, after the last commit
  off_t page = 4096;
  sqlite3* handle = nullptr;
  std::unordered_map<std::string, std::unique_ptr<Statement::Cached>> cache;

  // In place of SQLite's own hook, which it does as well.
  static int committed(void* context, sqlite3* handle, const char* name, int pages) {
    static_cast<Impl*>(context)->log_pages = pages;
    if (pages >= kPagesBeforeCheckpoint)
      sqlite3_wal_checkpoint_v2(handle, name, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    return SQLITE_OK;
  }

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    for (auto& [sql, cached] : cache) sqlite3_finalize(cached->handle);
    sqlite3_close_v2(handle);
  }

  Error failure(std::string_view action) const;
  void check(int result, std::string_view action) const {
    if (result != SQLITE_OK) throw failure(action);
  }
  sqlite3_stmt* compile(std::string_view sql, bool for_cache) const;
};

namespace {

Code code_of(int result) {
  switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Code::corrupt;
    case SQLITE_FULL:
      return Code::no_space;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::unavailable;
    case SQLITE_CONSTRAINT:
      return Code::conflict;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Code::denied;
    case SQLITE_TOOBIG:
      return Code::too_large;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return Code::io;
    default:
      return Code::internal;
  }
}

}  // namespace

Error Connection::Impl::failure(std::string_view action) const {
  const int result = sqlite3_extended_errcode(handle);
  const int system_error = sqlite3_system_errno(handle);
  const auto object = "the database " + path;
  auto code = code_of(result);
  if (code == Code::io && system_error != 0) {
    auto error = errno_error(system_error, action, object);
    if (error.code() != Code::io) return error;
  }
  auto message = "cannot " + std::string(action) + " " + object + ": " + sqlite3_errmsg(handle);
  switch (code) {
    case Code::corrupt:
      return Error(code, std::move(message),
                   "move " + path + ", " + path + "-wal and " + path + "-shm away to start with an empty one");
    case Code::no_space:
      return Error(code, std::move(message), "free some space; `berth gc --dry-run` shows what Berth could give back");
    case Code::unavailable:
      return Error(code, std::move(message), "another process keeps it locked");
    default:
      return Error(code, std::move(message));
  }
}

sqlite3_stmt* Connection::Impl::compile(std::string_view sql, bool for_cache) const {
  sqlite3_stmt* statement = nullptr;
  check(sqlite3_prepare_v3(handle, sql.data(), static_cast<int>(sql.size()), for_cache ? SQLITE_PREPARE_PERSISTENT : 0,
                           &statement, nullptr),
        "ask");
  return statement;
}

// --- Statement

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_), cached_(std::exchange(other.cached_, nullptr)) {}

Statement::~Statement() {
  if (cached_ == nullptr) return;
  if (cached_->kept) {
    sqlite3_reset(cached_->handle);
    sqlite3_clear_bindings(cached_->handle);
    cached_->lent = false;
  } else {
    sqlite3_finalize(cached_->handle);
    delete cached_;
  }
}

void Statement::bind(int parameter, std::int64_t value) {
  connection_->impl_->check(sqlite3_bind_int64(cached_->handle, parameter, value), "ask");
}

void Statement::bind(int parameter, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();  // a null pointer would bind NULL
  connection_->impl_->check(
      sqlite3_bind_text64(cached_->handle, parameter, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8), "ask");
}

void Statement::bind(int parameter, Bytes value) {
  const void* data = value.data() == nullptr ? static_cast<const void*>("") : value.data();
  connection_->impl_->check(sqlite3_bind_blob64(cached_->handle, parameter, data, value.size(), SQLITE_TRANSIENT),
                            "ask");
}

void Statement::bind_null(int parameter) {
  connection_->impl_->check(sqlite3_bind_null(cached_->handle, parameter), "ask");
}

bool Statement::step() {
  const int result = sqlite3_step(cached_->handle);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  auto error = connection_->impl_->failure(sqlite3_stmt_readonly(cached_->handle) != 0 ? "read" : "write to");
  sqlite3_reset(cached_->handle);
  throw error;
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

void Statement::reset() { sqlite3_reset(cached_->handle); }

bool Statement::is_null(int column) const { return sqlite3_column_type(cached_->handle, column) == SQLITE_NULL; }

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(cached_->handle, column); }

std::string_view Statement::text(int column) const {
  const auto* data = sqlite3_column_text(cached_->handle, column);
  if (data == nullptr) return {};
  return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(cached_->handle, column))};
}

Bytes Statement::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(cached_->handle, column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(cached_->handle, column))};
}

std::optional<std::int64_t> Statement::optional_integer(int column) const {
  if (is_null(column)) return std::nullopt;
  return integer(column);
}

// --- Connection

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Connection Connection::open(const std::string& path, const OpenOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  const bool writes = options.access == Access::read_write;
  // SQLite would make it 0644. An existing one must not be opened here: closing it would drop SQLite's locks.
  if (writes && !os::exists(path)) os::open(path, O_RDWR | O_CREAT, 0600);
  const int flags = (writes ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX;
  impl->check(sqlite3_open_v2(path.c_str(), &impl->handle, flags, nullptr), "open");
  sqlite3_extended_result_codes(impl->handle, 1);
  sqlite3_busy_timeout(impl->handle, static_cast<int>(options.busy_timeout.count()));
  // A file from elsewhere can bring its own schema: it gets no say in what runs.
  sqlite3_db_config(impl->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(impl->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  impl->writes = writes;
  impl->file.path = path;
  impl->log.path = path + "-wal";
  auto& opened = *impl;
  Connection connection(std::move(impl));
  connection.execute("PRAGMA cache_size = -" + std::to_string(options.cache_kib));
  connection.execute("PRAGMA foreign_keys = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;");
  if (writes) {
    // The log is cut back to 4 MiB after a large transaction has been moved into the database.
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 4194304;");
    connection.set_durable(Durable::no);
    auto size = connection.query("PRAGMA page_size");
    if (size.step()) opened.page = static_cast<off_t>(size.integer(0));
    sqlite3_wal_hook(opened.handle, Impl::committed, &opened);
  } else {
    connection.execute("PRAGMA query_only = ON; SELECT count(*) FROM sqlite_schema;");
  }
  (void)opened.file.look(0);
  (void)opened.log.look(0);
  return connection;
}

const std::string& Connection::path() const { return impl_->path; }

Statement Connection::prepare(std::string_view sql) {
  auto& cached = impl_->cache[std::string(sql)];
  if (!cached) {
    auto fresh = std::make_unique<Statement::Cached>();
    fresh->handle = impl_->compile(sql, true);
    cached = std::move(fresh);
  }
  if (cached->lent) {
    auto second = std::make_unique<Statement::Cached>();
    second->handle = impl_->compile(sql, false);
    second->kept = false;
    return Statement(*this, second.release());
  }
  cached->lent = true;
  return Statement(*this, cached.get());
}

void Connection::execute(const std::string& script) {
  impl_->check(sqlite3_exec(impl_->handle, script.c_str(), nullptr, nullptr, nullptr), "set up");
}

std::int64_t Connection::last_insert_id() const { return sqlite3_last_insert_rowid(impl_->handle); }
std::int64_t Connection::changes() const { return sqlite3_changes64(impl_->handle); }
bool Connection::in_transaction() const { return sqlite3_get_autocommit(impl_->handle) == 0; }

void Connection::set_durable(Durable durable) {
  execute(durable == Durable::yes ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
}

void Connection::sync() {
  sqlite3_file* log = nullptr;
  if (sqlite3_file_control(impl_->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK || log == nullptr ||
      log->pMethods == nullptr)
    return;  // nothing was written yet
  if (log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) != SQLITE_OK)
    throw Error(Code::io, "the log of the database " + impl_->path + " cannot be brought to disk");
}

void Connection::check_files() const {
  auto wrong = impl_->file.look(impl_->file.size);
  const auto counts = impl_->log_pages > 0 ? kLogHeader + impl_->log_pages * (kFrameHeader + impl_->page) : 0;
  if (!wrong) wrong = impl_->log.look(counts);
  if (!wrong) return;
  throw Error(
      Code::unavailable, "the database cannot be written: " + *wrong + " while it was in use",
      "put it back, or restart the agent, which then goes on with what is there; jobs that run go on meanwhile");
}

std::optional<std::string> Connection::damage() {
  auto check = query("PRAGMA quick_check(1)");
  check.step();
  const std::string verdict(check.text(0));
  if (verdict == "ok") return std::nullopt;
  return verdict;
}

// --- Transaction, Savepoint

Transaction::Transaction(Connection& connection) : connection_(&connection) { connection.run("BEGIN IMMEDIATE"); }

Transaction::~Transaction() {
  if (!open_ || !connection_->in_transaction()) return;  // SQLite may have rolled back itself
  try {
    connection_->run("ROLLBACK");
  } catch (const Error&) {
    // The connection then refuses the next BEGIN, and that is told.
  }
}

void Transaction::commit() {
  connection_->run("COMMIT");
  open_ = false;
}

Savepoint::Savepoint(Connection& connection) : connection_(&connection) { connection.run("SAVEPOINT part"); }

Savepoint::~Savepoint() {
  if (!open_ || !connection_->in_transaction()) return;
  try {
    connection_->run("ROLLBACK TO part");
    connection_->run("RELEASE part");
  } catch (const Error&) {
    // The transaction around it fails in its turn.
  }
}

void Savepoint::keep() {
  connection_->run("RELEASE part");
  open_ = false;
}

}  // namespace berth::db
