#include "agent/cli/download.hpp"

#include <nlohmann/json.hpp>

#include "agent/cli/help.hpp"
#include "agent/cli/job_text.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/jobfile/parse.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/file.hpp"

namespace berth::cli {
namespace {

std::string words(const Downloaded& downloaded) {
  return std::to_string(downloaded.files) + (downloaded.files == 1 ? " file, " : " files, ") +
         to_text(ByteSize(downloaded.bytes)) + " in " + printable(downloaded.directory) + "\n";
}

std::string as_json(const std::string& job, const Downloaded& downloaded) {
  const nlohmann::ordered_json object{{"job", job},
                                      {"directory", printable(downloaded.directory)},
                                      {"files", downloaded.files},
                                      {"bytes", downloaded.bytes}};
  return object.dump() + "\n";
}

void tell_left_out(const model::Job& job) {
  if (const auto text = left_out_text(job, 5); !text.empty()) remark(text);
}

}  // namespace

int verb::download(const Arguments& arguments, Common& common) {
  std::string job;
  bool outputs = false;
  bool code = false;
  bool diff = false;
  bool force = false;
  std::optional<std::string> directory;
  std::optional<std::string> attempt;
  Options options("download", "[options] JOB",
                  "Fetches what a job wrote into its output directories, or the code it ran, or what that "
                  "differed from its "
                  "git commit by. Writes below ./JOB/ and overwrites nothing.");
  options.argument("JOB", job, kJobHelp);
  options.group("What");
  options.flag("--outputs", outputs, "what it wrote into its output directories (the default), into ./JOB/");
  options.flag("--code", code, "the snapshot it ran with, into ./JOB/code/");
  options.flag("--diff", diff, "what that differed from its commit by, as ./JOB/code.diff");
  options.option("--attempt", attempt, "N", "outputs of this attempt (default: the latest)");
  options.group("Where");
  options.option("-o,--into", directory, "DIR", "write into this directory instead");
  options.flag("--force", force, "overwrite files that are there");
  options.section("Examples",
                  "  berth download @last\n"
                  "  berth download brave-heron --attempt 1 -o first-try\n"
                  "  berth download brave-heron --diff && git apply brave-heron-7k2m/code.diff\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  if (outputs + code + diff > 1)
    throw Error(Code::invalid, "--outputs, --code and --diff exclude each other", "give one of them");
  std::string query;
  if (attempt) query = "?attempt=" + std::to_string(jobfile::whole_number("--attempt", *attempt, 1, 1'000'000));
  if (attempt && (code || diff))
    throw Error(Code::invalid, "--attempt goes with outputs only: all attempts run the same code", "leave it away");
  Agent agent(socket_path(common));
  const auto record = agent.job(job);
  const auto& id = record.job.id.value();
  const auto overwrite = force ? Overwrite::yes : Overwrite::no;
  Downloaded downloaded;
  if (code)
    downloaded = download_tree(agent, job_target(id, "/code"), directory.value_or("./" + id + "/code"), overwrite);
  else if (diff)
    downloaded = download_text(agent, job_target(id, "/diff"), directory.value_or("./" + id), "code.diff", overwrite);
  else
    downloaded = download_tree(agent, job_target(id, "/outputs" + query), directory.value_or("./" + id), overwrite);
  print(common.json ? as_json(id, downloaded) : words(downloaded));
  if (!code && !diff && !attempt) tell_left_out(record.job);
  return 0;
}

}  // namespace berth::cli
