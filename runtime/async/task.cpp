#include "runtime/async/task.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <string>

#include "runtime/async/attempt.hpp"
#include "runtime/base/error.hpp"

namespace berth::async {

bool is_cancellation(const std::exception_ptr& failure) {
  if (!failure) return false;
  try {
    std::rethrow_exception(failure);
  } catch (const Cancelled&) {
    return true;
  } catch (const boost::system::system_error& error) {
    return error.code() == boost::asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

void check(const boost::system::error_code& failure, std::string_view action, std::string_view object) {
  if (!failure) return;
  if (failure == boost::asio::error::operation_aborted) throw Cancelled();
  if (failure.category() == boost::system::system_category()) throw errno_error(failure.value(), action, object);
  std::string message = "cannot ";
  message += action;
  if (!object.empty()) (message += ' ') += object;
  throw Error(Code::io, message + ": " + failure.message());
}

namespace detail {

Error failure_or_rethrow(const std::exception_ptr& failure) {
  if (is_cancellation(failure)) throw Cancelled();
  return error_from(failure);
}

}  // namespace detail
}  // namespace berth::async
