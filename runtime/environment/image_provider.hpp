#pragma once

// Image environments as a kind among the others.

#include <string>

#include "runtime/environment/images.hpp"
#include "runtime/environment/provider.hpp"

namespace berth::environment {

class ImageProvider : public Provider {
 public:
  // `images` outlives it.
  explicit ImageProvider(Images& images) : images_(images) {}

  std::string kind() const override { return kImageKind; }
  async::Task<Leased> ensure(Spec spec, Context context, Waiting& waiting) override;

 private:
  Images& images_;
};

}  // namespace berth::environment
