#include "agent/wire/environment.hpp"

namespace berth::wire {
namespace {

void describe_environment(Fields& fields, Environment& environment) {
  fields.field("digest", environment.digest, "Its name.", {.required = true});
  fields.field("kind", environment.kind, "What made it: conda, venv, image.");
  fields.field("words", environment.words, "For people.");
  fields.field("python_version", environment.python_version, "\"\" without a Python.");
  fields.field("bytes", environment.bytes, "On the disk.");
  fields.field("created", environment.created, "When.");
  fields.field("last_used", environment.last_used, "By a job that the reader may see; else when it was created.");
  fields.field("in_use", environment.in_use, "By a job that the reader may see.");
  fields.field("private", environment.is_private, "It is one user's alone.");
}

}  // namespace

void describe(Fields& fields, Environment& environment) {
  fields.answered("Environment", "An environment that was made for jobs.");
  describe_environment(fields, environment);
}

void describe(Fields& fields, EnvironmentBuild& build) {
  fields.answered("EnvironmentBuild", "An environment that is being made.");
  fields.field("digest", build.digest, "Its name.", {.required = true});
  fields.field("words", build.words, "For people.");
  fields.field("running", build.running, "Else it waits for its turn.");
  fields.field("since", build.since, "When it began to do that.");
}

void describe(Fields& fields, EnvironmentList& list) {
  fields.answered("EnvironmentList", "Environments that were made for jobs.");
  fields.field("environments", list.environments, "Those there are.", {.required = true});
  fields.field("building", list.building, "Those that are being made.", {.required = true});
}

void describe(Fields& fields, EnvironmentPage& page) {
  fields.answered("EnvironmentPage", "An environment, with all that is known of it.");
  describe_environment(fields, page.environment);
  fields.field("record", JsonText{page.record}, "Interpreter, version, packages.");
  fields.field("lock", JsonText{page.lock}, "Exactly what it consists of, for an environment of kind lock.");
  fields.field("jobs", page.jobs, "That had it, and that the reader may see.");
}

void describe(Fields& fields, EnvironmentMade& made) {
  fields.field("digest", made.digest, "Its name.", {.required = true});
  fields.field("image", made.image, "The container engine's id; \"\" on the host.");
  fields.field("record", JsonText{made.record}, "Interpreter, version, packages.");
}

void describe(Fields& fields, BuildOutput& output) {
  fields.answered("BuildOutput", "A piece of what a build prints.");
  fields.field("output", output.output, "As it is, but for the secrets in it.");
}

void describe(Fields& fields, BuildResult& result) {
  fields.answered("BuildResult", "What making an environment came to.");
  fields.field("environment", result.environment, "What was made.", {.required = true});
}

}  // namespace berth::wire
