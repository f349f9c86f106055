#include "agent/wire/node.hpp"

namespace berth::wire {

void describe(Fields& fields, Gpu::Mig& mig) {
  fields.field("parent", mig.parent, "UUID of the GPU that it is an instance of.");
  fields.field("profile", mig.profile, "Such as 1g.10gb.");
}

void describe(Fields& fields, Gpu& gpu) {
  fields.answered("Gpu", "A GPU, or an instance of one, as it was last looked at.");
  fields.field("uuid", gpu.uuid, "Its name for ever.");
  fields.field("index", gpu.index, "Its number.");
  fields.field("label", gpu.label, "For people, such as \"GPU 3\".");
  fields.field("name", gpu.name, "Of the product; \"\" where the driver does not tell.");
  fields.field("memory_bytes", gpu.memory, "Its own.");
  fields.field("used_bytes", gpu.used, "In use, whoever's; null where the driver does not tell.");
  fields.field("utilisation", gpu.utilisation, "How busy it is, in percent; null where the driver does not tell.");
  fields.field("jobs", gpu.jobs, "Those that hold it.");
  fields.field("withheld", gpu.withheld, "Why no job gets it; null where one may.");
  fields.field("mig", gpu.mig, "Null for a whole GPU.");
  fields.field("capability", gpu.capability, "CUDA's compute capability, such as 9.0.");
}

void describe(Fields& fields, Nvidia& nvidia) {
  fields.answered("Nvidia", "NVIDIA's driver.");
  fields.field("driver", nvidia.driver, "Its version; null without.");
  fields.field("cuda", nvidia.cuda, "The newest CUDA that it runs.");
  fields.field("notes", nvidia.notes, "Why there are no GPUs, and what could not be found out.");
}

void describe(Fields& fields, Gpus& gpus) {
  fields.answered("Gpus", "GPUs of the node.");
  fields.field("gpus", gpus.gpus, "In the order of their numbers.");
  fields.field("nvidia", gpus.nvidia, "The driver.");
}

void describe(Fields& fields, GpuDrain& drain) {
  fields.named("GpuDrain", "Why a GPU is handed out no more.");
  fields.field("reason", drain.reason, "At most 200 bytes, for those who wait for it.");
}

}  // namespace berth::wire
