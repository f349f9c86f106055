#include "agent/cli/each_job.hpp"

#include "agent/cli/dispatch.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/words.hpp"

namespace berth::cli {

int each_job(const std::vector<std::string>& jobs, const Common& common,
             const std::function<int(const std::string& job)>& act) {
  int result = 0;
  for (const auto& job : jobs) {
    int code = 0;
    try {
      code = act(job);
    } catch (const Error& error) {
      if (error.code() == Code::unavailable) throw;  // the others would fail alike
      code = report(error, common);
    }
    if (result == 0) result = code;
  }
  return result;
}

int change_jobs(Agent& agent, const std::vector<std::string>& jobs, const Common& common, std::string_view action) {
  return each_job(jobs, common, [&](const std::string& job) {
    const auto record = agent.act(job, action);
    print(common.json ? record.json + "\n" : record.job.id + ": " + state_text(record.job) + "\n");
    return 0;
  });
}

}  // namespace berth::cli
