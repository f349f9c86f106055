#pragma once

// The one error type of Berth. Thrown where nobody nearby will handle the failure; rendered once, at a border
// (HTTP handler, job runner, nursery, main). Cancellation is not an error: see Cancelled.

#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth {

// What kind of failure, as far as a caller or client may branch on it. Maps one-to-one to an HTTP status and to
// an exit code of the command line (see http_status and exit_code).
enum class Code {
  invalid,       // the request or file is malformed; repeating it cannot help
  not_found,     // the object named does not exist
  conflict,      // the object's state does not allow this now
  denied,        // the caller may not do this
  unavailable,   // the service is not there or does not take work now; try again later
  timeout,       // it took longer than allowed
  too_large,     // over a limit that is told in the message
  no_space,      // the disk or the quota is full
  corrupt,       // stored or sent data does not have the digest or shape it must have
  unsupported,   // valid, but not something this version or machine can do
  io,            // the operating system refused
  internal,      // a defect in Berth itself
};

std::string_view name(Code code);
int http_status(Code code);
// 2 for what the user must change, 125 where Berth itself failed.
int exit_code(Code code);
// The inverse of name(); Code::internal for an unknown name (sent by a newer program).
Code code_from_name(std::string_view name);

// What the node lacked for a moment, where a failure is only that: the same will succeed when it is back. Told where
// the failure is met, by who knows what was asked; nobody reads it out of the words.
enum class Lack { nothing, disk, processes, engine, registry, index, driver, names };

// What failed, on which object, why, and what to do. `message` is one sentence without a trailing full stop;
// `hint` tells the remedy; contexts collect on the way up ("while restoring snapshot 3f2a…"), innermost first.
class Error : public std::exception {
 public:
  Error(Code code, std::string message, std::string hint = {})
      : code_(code),
        lack_(code == Code::no_space ? Lack::disk : Lack::nothing),
        message_(std::move(message)),
        hint_(std::move(hint)) {}

  Code code() const { return code_; }
  Lack lack() const { return lack_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  const std::vector<std::string>& context() const { return context_; }

  Error& add_context(std::string context);
  // To be said where it is thrown: throw Error(…).for_lack_of(Lack::registry).
  Error& for_lack_of(Lack lack);
  // message, contexts in order, and the hint, on one line.
  std::string describe() const;
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Code code_;
  Lack lack_;
  std::string message_;
  std::string hint_;
  std::vector<std::string> context_;
};

// The work was asked to stop. Not derived from Error, so that no handler of failures swallows it.
class Cancelled : public std::exception {
 public:
  const char* what() const noexcept override { return "cancelled"; }
};

// An Error for a failed system call: "cannot <action> <object>: <strerror>". ENOENT, EACCES, ENOSPC and the like
// become the Code a caller expects, and carry a hint where there is one.
Error errno_error(int error_number, std::string_view action, std::string_view object);

[[noreturn]] void throw_errno(std::string_view action, std::string_view object);

// Turns whatever is in flight into an Error; for borders only.
Error error_from(std::exception_ptr failure);

}  // namespace berth
