#pragma once

// The Error that an action must throw.

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

namespace berth::docker::test {

template <class Action>
Error failure_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  FAIL("must throw");
  return Error(Code::internal, "");
}

template <class Action>
Code code_of(Action action) {
  return failure_of(action).code();
}

}  // namespace berth::docker::test
