#define ZSTD_STATIC_LINKING_ONLY  // the format without magic number
#include "runtime/objects/compression.hpp"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <new>

#include "runtime/base/error.hpp"

namespace berth::objects {
namespace {

// Deltas of small files: bytes matter more than the microseconds.
constexpr int kDeltaLevel = 3;
constexpr int kThoroughDeltaLevel = 12;
constexpr std::size_t kThoroughDelta = 256U << 10;

std::size_t checked(std::size_t result) {
  if (ZSTD_isError(result))
    throw Error(Code::internal, std::string("compression failed: ") + ZSTD_getErrorName(result));
  return result;
}

int window_for(std::size_t size) {
  return std::clamp(static_cast<int>(std::bit_width(size)), static_cast<int>(ZSTD_WINDOWLOG_MIN), 30);
}

}  // namespace

struct Compressor::Context {
  ZSTD_CCtx* raw = ZSTD_createCCtx();
  Context() {
    if (raw == nullptr) throw std::bad_alloc();
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { ZSTD_freeCCtx(raw); }
};

Compressor::Compressor() : context_(std::make_unique<Context>()) {}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

void Compressor::compress(std::string_view raw, int level, Buffer& out) {
  auto* context = context_->raw;
  checked(ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level));
  out.resize(ZSTD_compressBound(raw.size()));
  out.resize(checked(ZSTD_compress2(context, out.data(), out.size(), raw.data(), raw.size())));
}

std::string Compressor::delta(std::string_view raw, std::string_view base) {
  auto* context = context_->raw;
  const auto both = raw.size() + base.size();
  checked(ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel,
                                 both > kThoroughDelta ? kDeltaLevel : kThoroughDeltaLevel));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_for(both)));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_format, ZSTD_f_zstd1_magicless));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0));
  checked(ZSTD_CCtx_refPrefix(context, base.data(), base.size()));
  std::string out(ZSTD_compressBound(raw.size()), '\0');
  out.resize(checked(ZSTD_compress2(context, out.data(), out.size(), raw.data(), raw.size())));
  return out;
}

struct Decompressor::Context {
  ZSTD_DCtx* raw = ZSTD_createDCtx();
  Context() {
    if (raw == nullptr) throw std::bad_alloc();
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { ZSTD_freeDCtx(raw); }

  bool run(std::string_view stored, std::span<char> out) const {
    const auto size = ZSTD_decompressDCtx(raw, out.data(), out.size(), stored.data(), stored.size());
    return !ZSTD_isError(size) && size == out.size();
  }
};

Decompressor::Decompressor() : context_(std::make_unique<Context>()) {}
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

bool Decompressor::decompress(std::string_view stored, std::span<char> raw) {
  checked(ZSTD_DCtx_reset(context_->raw, ZSTD_reset_session_and_parameters));
  return context_->run(stored, raw);
}

bool Decompressor::apply(std::string_view delta, std::string_view base, std::span<char> raw) {
  checked(ZSTD_DCtx_reset(context_->raw, ZSTD_reset_session_and_parameters));
  checked(ZSTD_DCtx_setParameter(context_->raw, ZSTD_d_format, ZSTD_f_zstd1_magicless));
  checked(ZSTD_DCtx_refPrefix(context_->raw, base.data(), base.size()));
  return context_->run(delta, raw);
}

}  // namespace berth::objects
