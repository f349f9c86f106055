#pragma once

// Jobs' names and numbers, as tests write them: "brave-heron-7k2m"_job, 3_job; and as failed checks tell them.

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

#include "agent/model/ids.hpp"

namespace berth {

inline model::JobId operator""_job(const char* text, std::size_t size) {
  return model::JobId(std::string_view(text, size));
}
constexpr model::Sequence operator""_job(unsigned long long number) {
  return model::Sequence(static_cast<std::int64_t>(number));
}

}  // namespace berth

template <berth::IsStrong T>
struct doctest::StringMaker<T> {
  static String convert(const T& strong) { return toString(strong.value()); }
};
