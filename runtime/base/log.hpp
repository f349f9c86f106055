#pragma once

// The agent's own log: a fixed lower-case event phrase and fields. logfmt on a terminal, JSON lines elsewhere,
// always on standard error. error = the operator must act; warn = degraded; info = state changes; debug = the rest.
// Secrets never get in: nothing here formats one.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/strong.hpp"

namespace berth {

struct Field {
  std::string key;
  std::string value;
  bool quoted = true;  // false for numbers and booleans, which JSON writes bare
};

Field kv(std::string_view key, std::string_view value);
inline Field kv(std::string_view key, const char* value) { return kv(key, std::string_view(value)); }
inline Field kv(std::string_view key, const std::string& value) { return kv(key, std::string_view(value)); }
Field kv(std::string_view key, bool value);
Field kv(std::string_view key, std::int64_t value);
Field kv(std::string_view key, std::uint64_t value);
inline Field kv(std::string_view key, int value) { return kv(key, static_cast<std::int64_t>(value)); }
template <IsStrong T>
Field kv(std::string_view key, const T& strong) {
  return kv(key, strong.value());
}

enum class LogLevel { debug, info, warn, error };
enum class LogFormat { logfmt, json };

// Cheap to copy; with() makes a child that carries more fields.
class Log {
 public:
  using Fields = std::initializer_list<Field>;

  Log with(Fields fields) const;

  template <class... F>
  void debug(std::string_view event, F... fields) const {
    write(LogLevel::debug, event, {std::move(fields)...});
  }
  template <class... F>
  void info(std::string_view event, F... fields) const {
    write(LogLevel::info, event, {std::move(fields)...});
  }
  template <class... F>
  void warn(std::string_view event, F... fields) const {
    write(LogLevel::warn, event, {std::move(fields)...});
  }
  template <class... F>
  void error(std::string_view event, F... fields) const {
    write(LogLevel::error, event, {std::move(fields)...});
  }

  // Process-wide: what is written and how. Call once, before threads start.
  static void configure(LogLevel least, LogFormat format);
  // The same, to elsewhere than standard error. The sink may be called by several threads at once.
  using Sink = std::function<void(LogLevel, std::string_view event, const std::vector<Field>&)>;
  static void configure(LogLevel least, Sink sink);
  // JSON lines in a file of at most 4 MiB; what was in it before is in FILE.1. Error where it cannot be written.
  static void configure(LogLevel least, const std::string& file);
  // Of the process, once it is configured; not while other threads may configure.
  static void set_level(LogLevel least);

 private:
  void write(LogLevel level, std::string_view event, std::vector<Field> fields) const;
  std::vector<Field> fields_;
};

// The event and its fields as logfmt: what a line says after time and level.
std::string format_event(std::string_view event, const std::vector<Field>& fields);
// One line without its line end, as it would be written; apart so that tests can hold it.
std::string format_line(LogFormat format, LogLevel level, std::string_view time, std::string_view event,
                        const std::vector<Field>& fields);

}  // namespace berth
