#include "runtime/base/log.hpp"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdio>

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth {
namespace {

constexpr std::size_t kLargestFile = 4U << 20;

LogFormat g_format = LogFormat::logfmt;
Log::Sink g_sink;

spdlog::logger& sink() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = spdlog::stderr_logger_mt("berth");
    made->set_pattern("%v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *logger;
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      break;
  }
  return spdlog::level::err;
}

std::string_view level_name(LogLevel level) {
  static constexpr std::array<std::string_view, 4> kNames{"debug", "info", "warn", "error"};
  return kNames[static_cast<std::size_t>(level)];
}

void append_escaped(std::string& out, std::string_view text) {
  if (!is_utf8(text)) return append_escaped(out, printable(text));  // JSON is UTF-8
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += code.data();
    } else {
      out += c;
    }
  }
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

bool bare_word(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == '\\') return false;
  return true;
}

}  // namespace

Field kv(std::string_view key, std::string_view value) { return {std::string(key), std::string(value), true}; }
Field kv(std::string_view key, bool value) { return {std::string(key), value ? "true" : "false", false}; }
Field kv(std::string_view key, std::int64_t value) { return {std::string(key), std::to_string(value), false}; }
Field kv(std::string_view key, std::uint64_t value) { return {std::string(key), std::to_string(value), false}; }

Log Log::with(Fields fields) const {
  Log child = *this;
  child.fields_.insert(child.fields_.end(), fields.begin(), fields.end());
  return child;
}

void Log::configure(LogLevel least, LogFormat format) {
  g_format = format;
  sink().set_level(spdlog_level(least));
}

void Log::configure(LogLevel least, Sink sink_of_caller) {
  g_sink = std::move(sink_of_caller);
  sink().set_level(spdlog_level(least));
}

void Log::configure(LogLevel least, const std::string& file) {
  try {
    const auto rotating = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file, kLargestFile, 1);
    sink().sinks() = {rotating};
  } catch (const spdlog::spdlog_ex& failure) {
    throw Error(Code::io, "cannot write the log " + printable(file) + ": " + failure.what());
  }
  sink().set_pattern("%v");
  sink().set_error_handler(
      [](const std::string&) {});  // a full disk: jobs matter more, and standard error is a terminal
  configure(least, LogFormat::json);
}

void Log::set_level(LogLevel least) { sink().set_level(spdlog_level(least)); }

void Log::write(LogLevel level, std::string_view event, std::vector<Field> fields) const {
  if (!sink().should_log(spdlog_level(level))) return;
  fields.insert(fields.begin(), fields_.begin(), fields_.end());
  if (g_sink) return g_sink(level, event, fields);
  const auto line = format_line(g_format, level, to_rfc3339(system_clock().now()), event, fields);
  sink().log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

std::string format_line(LogFormat format, LogLevel level, std::string_view time, std::string_view event,
                        const std::vector<Field>& fields) {
  std::string line;
  if (format == LogFormat::json) {
    ((line += "{\"time\":\"") += time) += "\",\"level\":\"";
    (line += level_name(level)) += "\",\"event\":";
    append_quoted(line, event);
    for (const auto& field : fields) {
      line += ',';
      append_quoted(line, field.key);
      line += ':';
      field.quoted ? append_quoted(line, field.value) : void(line += field.value);
    }
    return line += '}';
  }
  ((line += time) += ' ') += level_name(level);
  return (line += ' ') += format_event(event, fields);
}

std::string format_event(std::string_view event, const std::vector<Field>& fields) {
  std::string text(event);
  for (const auto& field : fields) {
    ((text += ' ') += field.key) += '=';
    bare_word(field.value) ? void(text += field.value) : append_quoted(text, field.value);
  }
  return text;
}

}  // namespace berth
