#pragma once

// The coroutine type. One loop on one thread owns all state of a program, so nothing here locks; work that
// blocks goes through offload(). Every Task is awaited or spawned in a Nursery.
//
// g++ 12 miscompiles a braced aggregate, a conditional that makes a temporary, and `[x]() -> Task<> {…}()`
// inside a co_await expression: name the value first and move it in, and hand lambdas themselves to spawn().

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <string_view>

namespace berth::async {

template <class T = void>
using Task = boost::asio::awaitable<T>;
using Executor = boost::asio::any_io_executor;

namespace this_coro = boost::asio::this_coro;

// Whether the failure says that the work was asked to stop (Cancelled, or Asio's operation_aborted).
bool is_cancellation(const std::exception_ptr& failure);

// Throws Cancelled for an aborted operation and Error "cannot <action> <object>: …" for every other failure.
void check(const boost::system::error_code& failure, std::string_view action, std::string_view object);

}  // namespace berth::async
