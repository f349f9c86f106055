#include "runtime/environment/image_provider.hpp"

namespace berth::environment {

async::Task<Leased> ImageProvider::ensure(Spec spec, Context context, Waiting& waiting) {
  ImageUse use;
  use.gpus = context.gpus;
  if (context.identity) use.user = context.identity->uid;
  use.credentials = std::move(context.credentials);
  co_return co_await images_.ensure(std::move(spec), std::move(use), waiting);
}

}  // namespace berth::environment
