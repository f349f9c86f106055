#include "agent/wire/secrets.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/wire/job.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "tests/agent/model/example.hpp"

using namespace berth;
using namespace berth::model;
using namespace berth::wire;
using nlohmann::json;

namespace {

json submission(json changes = json::object()) {
  auto request = json_of(small_request());
  request.merge_patch(changes);
  return request;
}

std::string refusal(json request) {
  try {
    take_secrets(request);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    return error.describe();
  }
  FAIL("taken");
  return {};
}

}  // namespace

TEST_CASE("variables are secret that are named like one") {
  for (const auto* name : {"KEY",
                           "HF_TOKEN",
                           "WANDB_API_KEY",
                           "AWS_ACCESS_KEY_ID",
                           "AWS_SECRET_ACCESS_KEY",
                           "DB_PASSWORD",
                           "PGPASSWORD",
                           "SMTP_PASSWD",
                           "MYSQL_PWD",
                           "DB_PASS",
                           "SSHPASS",
                           "GPG_PASSPHRASE",
                           "CLIENT_SECRET",
                           "SECRETS",
                           "apiKey",
                           "api-key",
                           "APIKEY",
                           "OPENAI_APIKEY",
                           "authToken",
                           "MYTOKEN1",
                           "GOOGLE_APPLICATION_CREDENTIALS",
                           "AZURE_CREDENTIAL",
                           "CREDS",
                           "hf_token",
                           "Token",
                           "ACCESS_TOKENS",
                           "STORAGE_ACCOUNTKEY",
                           "SSH_KEY",
                           "my.secret.word",
                           "GITHUB_PAT",
                           "PAT",
                           "AZURE_DEVOPS_EXT_PAT",
                           "AUTH",
                           "SSH_AUTH",
                           "basicAuth",
                           "BEARER",
                           "API_BEARER_2"}) {
    CAPTURE(name);
    CHECK(names_secret(name));
    CHECK(is_secret(name, "x"));
    CHECK_FALSE(is_secret(name, ""));
  }
}

TEST_CASE("variables are none that only look like it") {
  for (const auto* name : {"",
                           "KEYBOARD",
                           "MONKEY",
                           "TURKEY",
                           "KEYFRAMES",
                           "KEYPOINTS",
                           "KEYWORD",
                           "TOKENIZERS_PARALLELISM",
                           "TOKENIZER",
                           "DETOKENIZE",
                           "PWD",
                           "OLDPWD",
                           "COMPASS",
                           "BYPASS_CACHE",
                           "PASSES",
                           "PATH",
                           "OMP_NUM_THREADS",
                           "AUTHOR",
                           "SSH_AUTH_SOCK",
                           "CUDA_VISIBLE_DEVICES",
                           "HOCKEYSTICK",
                           "PATTERN",
                           "FILE_PATH",
                           "XAUTHORITY",
                           "AUTHORS",
                           "SIG",
                           "BEARERS"}) {
    CAPTURE(name);
    CHECK_FALSE(names_secret(name));
    CHECK_FALSE(is_secret(name, "some value"));
  }
  CHECK_FALSE(is_secret("MAX_TOKENS", "4096"));
  CHECK_FALSE(is_secret("TOKENS_PER_BATCH", "1e6"));
  CHECK(is_secret("ACCESS_TOKENS", "abc,def"));
  CHECK(is_secret("TOKEN", "123456"));
  CHECK(is_secret("API_KEY_TOKENS", "123456"));
}

TEST_CASE("a value that carries a login is secret, whatever its name") {
  for (const auto* value :
       {"postgres://me:pw@db/x", "-i https://me:pw@host/simple https://other/", "https://token@host",
        "https://host/t/tk-1/channel", "host=db user=me password=hunter2", "Endpoint=sb://x/;SharedAccessKey=abc",
        "https://host/x?api_key=abc", "postgres://me:p w@db/x", "https://host/x?sv=1&sig=abc",
        "https://host/x?a#access_token=abc", "curl 'https://host/x?X-Amz-Signature=abc' -o y",
        "https://host/x?acce%73s_token=abc"})
    CHECK_MESSAGE(is_secret("WHERE", value), value);
  for (const auto* value :
       {"https://host:8443/x", "git+ssh://git@host/a.git", "a=b", "sort=key", "model.width=8", "me@host",
        "tcp://$HOST:$PORT", "https://host/x?max_tokens=5", "https://host/x?v=1#sha256=ab",
        "https://host/x?token=", "sig=1", "tcp://h:$PORT\nme@host2 x"})
    CHECK_MESSAGE(!is_secret("WHERE", value), value);
}

TEST_CASE("what is assigned to a secret's name is left out of docker_args, whatever quotes are around it") {
  const auto plain = [](const std::string& text) { return without_assigned_secrets(text); };
  CHECK(plain("-e HF_TOKEN=x1 --rm") == "-e HF_TOKEN=*** --rm");
  CHECK(plain("--env=HF_TOKEN=x1 --rm") == "--env=HF_TOKEN=*** --rm");
  CHECK(plain("-eHF_TOKEN=x1") == "-eHF_TOKEN=***");
  CHECK(plain("-e 'HF_TOKEN=x 1' --rm") == "-e 'HF_TOKEN=***' --rm");
  CHECK(plain(R"(-e "HF_TOKEN=x \" 1" --rm)") == R"(-e "HF_TOKEN=***" --rm)");
  CHECK(plain(R"(-e HF_TOKEN="x 1" --rm)") == R"(-e HF_TOKEN="***" --rm)");
  CHECK(plain(R"(-e HF_TOKEN=x\ 1 --rm)") == R"(-e HF_TOKEN=*** --rm)");
  CHECK(plain("-e A_KEY=a=b -e B=1") == "-e A_KEY=*** -e B=1");
  CHECK(plain("--ipc=host --ulimit memlock=-1") == "--ipc=host --ulimit memlock=-1");
  CHECK(plain("") == "");
  CHECK(plain("=") == "=");
  CHECK(plain("KEY=") == "KEY=");
}

TEST_CASE("of a request's secrets the names stay, and it is whole again when they are put back") {
  auto given =
      submission({{"environment_variables", {{"A", "1"}, {"HF_TOKEN", "hf_abcdef"}, {"DB", "pg://u:pw-1@db"}}},
                  {"secrets", {{"CERT", {{"base64", "AP8K"}}}, {"TWO", {{"value", "zwei-2"}, {"variable", true}}}}},
                  {"properties", {{"mlflow.source.git.repoURL", "https://me:gitpw@host/r.git"}}},
                  {"tags", {{"see/it~", "https://tok-5@host/"}}},
                  {"command", {"curl", "https://me:cmdpw@host/x"}},
                  {"environment",
                   {{"kind", "venv"},
                    {"file", "requirements.txt"},
                    {"files", {{"requirements.txt", "-i https://me:index-pw@host/simple\nnumpy\n"}}}}}});
  auto shown = given;
  const auto secrets = take_secrets(shown);
  for (const auto* secret : {"hf_abcdef", "pw-1", "zwei-2", "gitpw", "tok-5", "cmdpw", "index-pw"}) {
    CAPTURE(secret);
    CHECK(shown.dump().find(secret) == std::string::npos);
    const auto masked = values_to_mask(secrets);
    CHECK(std::find(masked.begin(), masked.end(), secret) != masked.end());
  }
  const auto request = request_from(shown);
  validate(request);
  CHECK(has_secrets(request));
  CHECK(request.environment_variables == std::map<std::string, std::string>{{"A", "1"}});
  CHECK(request.secrets ==
        std::map<std::string, SecretUse>{
            {"CERT", {true, false}}, {"DB", {false, true}}, {"HF_TOKEN", {false, true}}, {"TWO", {true, true}}});
  CHECK(secrets.values.at("CERT") == std::string("\0\xff\n", 3));
  CHECK(request.environment.files.at("requirements.txt") == "-i https://host/simple\nnumpy\n");
  CHECK(request.hidden.size() == 4);

  const auto again = secrets_from_text(to_text(secrets));
  CHECK(again == secrets);
  auto whole = request;
  put_back(whole, again);
  CHECK(whole.command == std::vector<std::string>{"curl", "https://me:cmdpw@host/x"});
  CHECK(whole.tags.at("see/it~") == "https://tok-5@host/");
  CHECK(whole.environment.files.at("requirements.txt") == "-i https://me:index-pw@host/simple\nnumpy\n");
  CHECK(whole.properties.at("mlflow.source.git.repoURL") == "https://me:gitpw@host/r.git");
}

TEST_CASE("a parameter of a URL that is named like a secret is one, in whatever text") {
  auto shown =
      submission({{"properties", {{"mlflow.source.git.repoURL", "https://host/r.git?access_token=tok-1&depth=1"}}},
                  {"command", {"curl", "https://host/a?sv=1&sig=sig%2F-2&se=x", "x https://h/?token=tok-3'>y"}}});
  const auto secrets = take_secrets(shown);
  CHECK(shown["properties"]["mlflow.source.git.repoURL"] == "https://host/r.git?access_token=***&depth=1");
  CHECK(shown["command"][1] == "https://host/a?sv=1&sig=***&se=x");
  CHECK(shown["command"][2] == "x https://h/?token=***'>y");
  const auto masked = values_to_mask(secrets);
  for (const auto* secret : {"tok-1", "sig%2F-2", "sig/-2", "tok-3"})
    CHECK(std::find(masked.begin(), masked.end(), secret) != masked.end());
  // What a record shows can be submitted again.
  auto again = submission({{"command", shown["command"]}});
  CHECK(take_secrets(again).empty());
}

TEST_CASE("the name of an entry has no login") {
  for (const auto* key : {"https://me:key-pw-1@h", "https://h/?token=key-pw-1", "x https://me:key-pw 1@h"})
    for (const auto* field : {"tags", "properties", "environment_variables"}) {
      CAPTURE(field);
      const auto told = refusal(submission({{field, {{key, "x"}}}}));
      CHECK(told.find("'" + std::string(field) + "' has a login or token in the name of an entry") !=
            std::string::npos);
      CHECK(told.find("key-pw") == std::string::npos);
      // A record of an earlier version is rid of it.
      auto stored = submission({{field, {{key, "x"}, {"other", "y"}}}});
      take_secrets(stored, Origin::stored);
      CHECK(stored.dump().find("key-pw") == std::string::npos);
      CHECK(stored[field]["other"] == "y");
    }
}

TEST_CASE("a job brings along no more than can be masked, and what an earlier version took stays") {
  const auto many = [](std::size_t bytes) {
    return submission({{"environment_variables", {{"A_TOKEN", std::string(bytes / 2, 'x')}}},
                       {"command", {"https://me:" + std::string(bytes - bytes / 2, 'y') + "@host"}}});
  };
  auto most = many(kMostMasked);
  CHECK(bytes_of(values_to_mask(take_secrets(most))) == kMostMasked);
  const auto told = refusal(many(kMostMasked + 1));
  CHECK(told.find("'secrets' are 32769 bytes together") != std::string::npos);
  CHECK(told.find("at most 32768 can be masked") != std::string::npos);
  auto stored = many(kMostMasked + 1);
  CHECK(bytes_of(values_to_mask(take_secrets(stored, Origin::stored))) == kMostMasked + 1);
}

TEST_CASE("a login that a blank cuts in two is one") {
  auto shown = submission({{"command", {"pip", "-i https://me:p1-w 2x@host/simple -i https://a:b@c d@e"}}});
  const auto secrets = take_secrets(shown);
  CHECK(shown.dump().find("p1-w") == std::string::npos);
  CHECK(shown.dump().find("2x@") == std::string::npos);
  const auto masked = values_to_mask(secrets);
  CHECK(std::find(masked.begin(), masked.end(), "p1-w 2x") != masked.end());
  // A port may be a variable.
  auto plain = submission({{"command", {"run", "--master", "tcp://$HOST:$PORT"}}});
  CHECK(take_secrets(plain).empty());
}

TEST_CASE("hostile texts are looked at in linear time, and bounded in number and size") {
  std::string assignments;
  std::string urls;
  for (int i = 0; i < 60'000; ++i) {
    assignments += "KEY=";
    urls += "x://a:b";
  }
  for (const auto& text :
       {assignments, urls, std::string(900'000, '='), std::string(900'000, 'K') + "=x", urls + "@", " " + urls})
    is_secret("X", text);
  auto many = submission();
  for (int i = 0; i < 1001; ++i) many["command"].push_back("https://token-" + std::to_string(i) + "@host");
  CHECK(refusal(many).find("more than 1000 logins") != std::string::npos);
  CHECK(refusal(submission({{"tags", {{"a", "https://me:pw@host" + std::string(5 << 20, ' ')}}}})).find("over 4 MiB") !=
        std::string::npos);
}

TEST_CASE("a request without secrets stays as it is") {
  auto shown = submission();
  const auto before = shown;
  CHECK(take_secrets(shown).empty());
  CHECK(shown == before);
  CHECK_FALSE(has_secrets(request_from(shown)));
}

TEST_CASE("mistakes with secrets are told, with no word of what they are") {
  CHECK(refusal(submission({{"secrets", {{"A", {{"file", true}}}}}})).find("secret A: 'value' must be given") !=
        std::string::npos);
  CHECK(refusal(submission({{"secrets", {{"A", "hunter2"}}}})).find("hunter2") == std::string::npos);
  CHECK(refusal(submission({{"secrets", {{"A", {{"value", "hunter2"}, {"extra", 1}}}}}})).find("hunter2") ==
        std::string::npos);
  CHECK(
      refusal(submission({{"secrets", {{"../A", {{"value", "hunter2"}}}}}})).find("a name that no variable may have") !=
      std::string::npos);
  CHECK(refusal(submission({{"secrets", {{"A", {{"base64", "*"}}}}}})).find("is no base64") != std::string::npos);
  CHECK(refusal(submission({{"secrets", {{"A", {{"base64", "AA=="}, {"variable", true}}}}}})).find("NUL") !=
        std::string::npos);
  CHECK(refusal(submission({{"secrets", {{"A", {{"value", "x"}, {"file", false}}}}}})).find("must be true") !=
        std::string::npos);
  CHECK(refusal(submission({{"secrets", json::array({"A"})}})).find("must be an object") != std::string::npos);
  CHECK(refusal(submission({{"secrets_mark", "00"}})).find("is not a known field") != std::string::npos);
  CHECK(refusal(submission({{"hidden", json::array({"/command/0"})}})).find("is not a known field") !=
        std::string::npos);
  CHECK(refusal(submission({{"secrets", {{"A", {{"value", std::string((32 << 10) + 1, 'x')}}}}}}))
            .find("can be masked") != std::string::npos);
}

TEST_CASE("the record of a job tells its secrets by name, and nothing that could be compared") {
  auto job = full_job();
  job.request.secrets = {{"HF_TOKEN", {false, true}}};
  job.request.secrets_mark = "0123";
  const auto shown = json_of(JobRecord{job, {}});
  CHECK(shown.at("secrets").dump() == R"({"HF_TOKEN":{"file":false,"variable":true}})");
  CHECK_FALSE(shown.contains("secrets_mark"));
  CHECK(json_of(job.request).at("secrets_mark") == "0123");
  CHECK(job_from(shown).job.request.secrets == job.request.secrets);
}
