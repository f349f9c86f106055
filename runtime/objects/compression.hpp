#pragma once

// Compression of single blocks, alone or against a base both sides have. The only place that knows zstd. A
// context is costly to make and serves one thread at a time.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/objects/buffer.hpp"

namespace berth::objects {

class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  void compress(std::string_view raw, int level, Buffer& out);
  // `raw` in terms of `base`, in as few bytes as possible: nothing in it tells sizes or that it is a delta.
  std::string delta(std::string_view raw, std::string_view base);
  // Room for its user, kept with it.
  Buffer& scratch() { return scratch_; }

 private:
  struct Context;
  std::unique_ptr<Context> context_;
  Buffer scratch_;
};

class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  // True where `stored` yields exactly raw.size() bytes; never writes outside of `raw`, however hostile
  // `stored` is.
  bool decompress(std::string_view stored, std::span<char> raw);
  bool apply(std::string_view delta, std::string_view base, std::span<char> raw);
  Buffer& scratch() { return scratch_; }

 private:
  struct Context;
  std::unique_ptr<Context> context_;
  Buffer scratch_;
};

}  // namespace berth::objects
