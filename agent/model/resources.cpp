#include "agent/model/resources.hpp"

#include <algorithm>
#include <limits>

namespace berth::model {
namespace {

template <class T>
T sum(T a, T b) {
  return a > std::numeric_limits<T>::max() - b ? std::numeric_limits<T>::max() : static_cast<T>(a + b);
}

template <class T>
T rest(T a, T b) {
  return a > b ? static_cast<T>(a - b) : T{0};
}

std::string cpus_in_words(std::uint32_t milli) {
  auto text = std::to_string(milli / 1000);
  if (const auto fraction = milli % 1000; fraction != 0) {
    auto digits = std::to_string(1000 + fraction).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    text += "." + digits;
  }
  return text + (milli == 1000 ? " CPU" : " CPUs");
}

void append(std::string& text, const std::string& part) {
  if (!text.empty()) text += ", ";
  text += part;
}

std::string counted(unsigned number, const char* unit) {
  return std::to_string(number) + " " + unit + (number == 1 ? "" : "s");
}

std::string gpus_in_words(const Resources& resources) {
  const auto gpus = counted(resources.gpus, "GPU");
  if (resources.gpu_memory.bytes() == 0) return gpus;
  return to_text(resources.gpu_memory) + (resources.gpus == 1 ? " of " : " each of ") + gpus;
}

}  // namespace

bool fits(const Resources& wanted, const Resources& available) {
  return wanted.cpu_milli <= available.cpu_milli && wanted.memory <= available.memory &&
         wanted.gpus <= available.gpus && wanted.slots <= available.slots;
}

Resources operator+(const Resources& a, const Resources& b) {
  return {sum(a.cpu_milli, b.cpu_milli), ByteSize(sum(a.memory.bytes(), b.memory.bytes())), sum(a.gpus, b.gpus),
          sum(a.slots, b.slots)};
}

Resources operator-(const Resources& a, const Resources& b) {
  return {rest(a.cpu_milli, b.cpu_milli), ByteSize(rest(a.memory.bytes(), b.memory.bytes())), rest(a.gpus, b.gpus),
          rest(a.slots, b.slots)};
}

std::string to_words(const Resources& resources) {
  std::string text;
  if (resources.cpu_milli > 0) append(text, cpus_in_words(resources.cpu_milli));
  if (resources.memory.bytes() > 0) append(text, to_text(resources.memory) + " of memory");
  if (resources.gpus > 0) append(text, gpus_in_words(resources));
  if (resources.slots > 0) append(text, counted(resources.slots, "slot"));
  return text.empty() ? "nothing" : text;
}

}  // namespace berth::model
