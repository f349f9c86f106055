#pragma once

// What jobs bring along as secret: stored sealed with their record, opened for as long as they are prepared and
// started, gone with the record. Belongs to the loop.

#include <string>
#include <vector>

#include "agent/jobs/masks.hpp"
#include "agent/jobs/secret_box.hpp"
#include "agent/model/secrets.hpp"
#include "agent/store/store.hpp"
#include "runtime/async/offload.hpp"

namespace berth::jobs {

// Of the jobs of a submission, in their order; empty where none has any.
using SubmittedSecrets = std::vector<model::JobSecrets>;

class Secrets {
 public:
  // All given by reference outlive this.
  Secrets(secrets::KeyPlace key, store::Store& store, Masks& masks, async::Pool& pool);

  // A repeated submission with the same secrets is the same request by its mark.
  async::Task<> close(std::vector<store::NewJob>& jobs, const SubmittedSecrets& secrets);
  // Throws where they are not here any more, or cannot be opened.
  async::Task<model::JobSecrets> of(const model::Job& job);

  // What readers of a job's logs, or of an environment's build, must not see; read and opened in their lanes.
  async::Task<Masks::Values> values_of(store::Sequence job, model::Principal reader);
  async::Task<Masks::Values> values_of(Digest environment, model::Principal reader);

  // Once, after an upgrade from a version that stored them within requests, and credentials for registries in files
  // of `old_credentials`.
  async::Task<> set_old_apart(std::string old_credentials);

 private:
  SecretBox box_;
  store::Store& store_;
  Masks& masks_;
  async::Pool& pool_;
};

}  // namespace berth::jobs
