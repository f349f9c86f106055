#include "agent/cli/explanation.hpp"

#include "agent/cli/doctor/judge.hpp"
#include "agent/cli/settings.hpp"
#include "runtime/http/wire.hpp"
#include "runtime/os/file.hpp"

namespace berth::cli {
namespace {

bool nobody_listens(const std::string& socket) {
  try {
    http::connect_unix(socket, "agent", "", {});
  } catch (const Error& error) {
    return error.code() == Code::unavailable;
  }
  return false;
}

}  // namespace

doctor::AccessFacts read_access(const Common& common, const Installation& installation, const doctor::Machine& machine,
                                std::optional<Error> failure) {
  doctor::AccessFacts access;
  access.whose = whose_agent(common);
  access.machine_socket = machine.exists(kMachineSocket);
  access.socket = doctor::read_socket(socket_path(common));
  access.user = doctor::read_user(access.socket.group);
  access.service = doctor::read_service(machine);
  if (failure && access.whose == Whose::machine)
    access.service.mistake = mistake_in_configuration(installation).value_or("");
  access.failure = std::move(failure);
  return access;
}

Error explained(const Error& failure, const Common& common, const Installation& installation,
                const doctor::Machine& machine) {
  if (failure.code() != Code::unavailable || !nobody_listens(socket_path(common))) return failure;
  const auto absence = doctor::explain_absence(read_access(common, installation, machine, failure));
  return Error(Code::unavailable, failure.message() + (absence.why.empty() ? "" : ": " + absence.why), absence.advice);
}

}  // namespace berth::cli
