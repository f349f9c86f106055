#include "agent/jobfile/environment.hpp"

#include <algorithm>
#include <array>

#include "agent/jobfile/environment_files.hpp"
#include "agent/jobfile/working_directory.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobfile {
namespace {

using Kind = model::EnvironmentRequest::Kind;

constexpr const char* kDefaultPython = "python3";
constexpr const char* kDefaultDockerfile = "Dockerfile";

// A name stays one, for PATH; a path becomes absolute, since the job runs elsewhere.
std::string interpreter(const std::string& text, const Place& place) {
  if (text.empty())
    throw Error(Code::invalid, "--python: the interpreter's path is empty", "give a path or a name such as python3");
  return text.find('/') == std::string::npos ? text : absolute_path(text, place.current_directory);
}

// One way of making an environment; a conda environment may be added to an image.
void refuse_contradictions(const Flags& flags) {
  const std::array<std::pair<const char*, bool>, 5> ways{{{"--conda", flags.conda && !flags.image},
                                                          {"--requirements", flags.requirements.has_value()},
                                                          {"--image", flags.image.has_value()},
                                                          {"--dockerfile", flags.dockerfile.has_value()},
                                                          {"--env-lock", flags.environment_lock.has_value()}}};
  const char* first = nullptr;
  for (const auto& [flag, given] : ways) {
    if (!given) continue;
    if (first != nullptr)
      throw Error(Code::invalid, std::string(first) + " and " + flag + " exclude each other",
                  "give one of them: what it makes is the whole environment");
    first = flag;
  }
  if (first != nullptr && flags.python && !flags.requirements)
    throw Error(Code::invalid, std::string(first) + " and --python exclude each other",
                "the environment brings its own Python; with --requirements, --python gives the version");
}

void take_files(model::EnvironmentRequest& request, const std::string& flag, const std::string& path,
                const Place& place) {
  if (path.empty()) throw Error(Code::invalid, flag + ": the file's path is empty", "name the file");
  auto [file, files] = gather_files(flag, absolute_path(path, place.current_directory), place.read_file);
  request.file = std::move(file);
  request.files = std::move(files);
}

model::EnvironmentRequest venv(const Flags& flags, const Place& place) {
  model::EnvironmentRequest request;
  request.kind = Kind::venv;
  request.python = flags.python.value_or("");
  if (request.python.find('/') != std::string::npos)
    throw Error(Code::invalid,
                "--python: with --requirements it is a version, not the path '" + printable(request.python) + "'",
                "such as 3.11; the node finds or fetches it");
  take_files(request, "--requirements", *flags.requirements, place);
  return request;
}

model::EnvironmentRequest image(const Flags& flags, const Place& place) {
  model::EnvironmentRequest request;
  request.kind = Kind::image;
  request.image = *flags.image;
  if (request.image.empty())
    throw Error(Code::invalid, "--image: its name is empty", "such as python:3.12-slim, or cpu or gpu");
  if (flags.conda) take_files(request, "--conda", *flags.conda, place);
  return request;
}

}  // namespace

model::EnvironmentRequest environment(const Flags& flags, const Place& place, bool script) {
  refuse_contradictions(flags);
  model::EnvironmentRequest request;
  if (flags.image) return image(flags, place);
  if (flags.requirements) return venv(flags, place);
  if (flags.conda) {
    request.kind = Kind::conda;
    take_files(request, "--conda", *flags.conda, place);
  } else if (flags.environment_lock) {
    request.kind = Kind::lock;
    take_files(request, "--env-lock", *flags.environment_lock, place);
  } else if (flags.dockerfile) {
    request.kind = Kind::dockerfile;
    request.dockerfile = dockerfile_place(flags, place).file;
  } else if (flags.python || script) {
    request.kind = Kind::user_managed;
    request.python = flags.python ? interpreter(*flags.python, place) : kDefaultPython;
  }
  return request;
}

DockerfilePlace dockerfile_place(const Flags& flags, const Place& place) {
  const auto path = absolute_path(flags.dockerfile.value_or("."), place.current_directory);
  const auto name = path.substr(path.rfind('/') + 1);
  const bool is_file = name.find(kDefaultDockerfile) != std::string::npos && !place.is_directory(path);
  return is_file ? DockerfilePlace{os::parent_of(path), name} : DockerfilePlace{path, kDefaultDockerfile};
}

}  // namespace berth::jobfile
