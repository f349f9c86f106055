#include "agent/jobs/secret_box.hpp"

#include "agent/wire/secrets.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/secrets/sealing.hpp"

namespace berth::jobs {

SecretBox::Closed SecretBox::close(const std::string& submission_id, const model::JobSecrets& secrets) const {
  const auto key = used_ ? secrets::read_key(place_) : secrets::read_or_make_key(place_);
  used_ = true;
  const auto text = wire::to_text(secrets);
  return {secrets::seal(key, submission_id, text), secrets::mark(key, submission_id + "\n" + text)};
}

model::JobSecrets SecretBox::open(const std::string& submission_id, const std::string& sealed) const {
  try {
    return wire::secrets_from_text(unseal(submission_id, sealed));
  } catch (Error& error) {
    error.add_context("opening the job's secrets");
    throw;
  }
}

// The service manager's key may be younger than the job: what came before was sealed with the file's.
std::string SecretBox::unseal(const std::string& submission_id, const std::string& sealed) const {
  try {
    return secrets::unseal(secrets::read_key(place_), submission_id, sealed);
  } catch (const Error& error) {
    if (error.code() != Code::denied || place_.credentials_directory.empty() || !os::exists(place_.file)) throw;
  }
  return secrets::unseal(secrets::read_key({"", place_.file}), submission_id, sealed);
}

}  // namespace berth::jobs
