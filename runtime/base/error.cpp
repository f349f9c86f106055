#include "runtime/base/error.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <new>

namespace berth {
namespace {

struct CodeRow {
  Code code;
  std::string_view name;
  int http_status;
  int exit_code;
};

constexpr std::array<CodeRow, 12> kCodes{{
    {Code::invalid, "invalid", 400, 2},
    {Code::not_found, "not_found", 404, 2},
    {Code::conflict, "conflict", 409, 2},
    {Code::denied, "denied", 403, 2},
    {Code::unavailable, "unavailable", 503, 125},
    {Code::timeout, "timeout", 504, 125},
    {Code::too_large, "too_large", 413, 2},
    {Code::no_space, "no_space", 507, 125},
    {Code::corrupt, "corrupt", 422, 125},
    {Code::unsupported, "unsupported", 501, 2},
    {Code::io, "io", 502, 125},
    {Code::internal, "internal", 500, 125},
}};

const CodeRow& row(Code code) {
  for (const auto& candidate : kCodes)
    if (candidate.code == code) return candidate;
  return kCodes.back();
}

Code code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return Code::not_found;
    case EACCES:
    case EPERM:
      return Code::denied;
    case ENOSPC:
    case EDQUOT:
      return Code::no_space;
    case ETIMEDOUT:
      return Code::timeout;
    case EEXIST:
    case EBUSY:
      return Code::conflict;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
      return Code::unavailable;
    case ENAMETOOLONG:
    case ELOOP:
      return Code::invalid;
    default:
      return Code::io;
  }
}

std::string hint_of_errno(int error_number) {
  switch (error_number) {
    case ENOSPC:
      return "free some space; `berth gc --dry-run` shows what Berth could give back";
    case EDQUOT:
      return "the disk quota is used up; remove files or ask for more";
    case EMFILE:
    case ENFILE:
      return "too many open files; raise the limit (ulimit -n)";
    default:
      return {};
  }
}

}  // namespace

std::string_view name(Code code) { return row(code).name; }
int http_status(Code code) { return row(code).http_status; }
int exit_code(Code code) { return row(code).exit_code; }

Code code_from_name(std::string_view name) {
  for (const auto& candidate : kCodes)
    if (candidate.name == name) return candidate.code;
  return Code::internal;
}

Error& Error::add_context(std::string context) {
  context_.push_back(std::move(context));
  return *this;
}

Error& Error::for_lack_of(Lack lack) {
  lack_ = lack;
  return *this;
}

std::string Error::describe() const {
  std::string text = message_;
  for (const auto& context : context_) text += ", " + context;
  if (!hint_.empty()) text += "; " + hint_;
  return text;
}

Error errno_error(int error_number, std::string_view action, std::string_view object) {
  std::string message = "cannot ";
  message += action;
  if (!object.empty()) (message += ' ') += object;
  (message += ": ") += std::strerror(error_number);
  return Error(code_of_errno(error_number), std::move(message), hint_of_errno(error_number));
}

void throw_errno(std::string_view action, std::string_view object) { throw errno_error(errno, action, object); }

Error error_from(std::exception_ptr failure) {
  try {
    std::rethrow_exception(std::move(failure));
  } catch (const Error& error) {
    return error;
  } catch (const Cancelled&) {
    return Error(Code::unavailable, "stopped before it was done");
  } catch (const std::bad_alloc&) {
    return Error(Code::internal, "out of memory");
  } catch (const std::exception& error) {
    return Error(Code::internal, error.what());
  } catch (...) {
    return Error(Code::internal, "unknown failure");
  }
}

}  // namespace berth
