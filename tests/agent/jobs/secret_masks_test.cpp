#include "agent/jobs/secret_masks.hpp"

#include <doctest/doctest.h>

#include "runtime/base/base64.hpp"

using namespace berth;

namespace {

model::JobSecrets some() {
  model::JobSecrets secrets;
  secrets.values = {{"HF_TOKEN", "hf_Ab/12+x"}, {"DB", "pg://me:p%40ss-word@db/x"}, {"QUOTED", "two \"words\""}};
  secrets.texts = {{"/environment/files/r.txt", "-i https://me:index-pw@host/simple\n--hash=sha256:0\n"}};
  secrets.registries = {{"r.example", "ann", "registry-pw", ""}};
  return secrets;
}

}  // namespace

TEST_CASE("secrets are hidden however they are written") {
  const auto mask = jobs::mask_of(some());
  for (const std::string written :
       {"hf_Ab/12+x", "hf_Ab%2F12%2Bx", "hf_Ab%2f12%2bx", "pg://me:p%40ss-word@db/x", "p%40ss-word", "p@ss-word",
        "two \"words\"", R"(two \"words\")", "index-pw", "registry-pw"})
    CHECK_MESSAGE(mask.apply("<" + written + ">") == "<" + std::string(written.size(), '*') + ">", written);
  CHECK(mask.apply("https://host/simple sha256:0 me ann") == "https://host/simple sha256:0 me ann");
}

TEST_CASE("secrets are hidden in Base64, wherever they begin") {
  const auto mask = jobs::mask_of(some());
  for (const std::string around : {"", "a", "me", "me:", "user:"}) {
    const auto shown = mask.apply(base64(around + "hf_Ab/12+x" + around));
    CAPTURE(shown);
    CHECK(shown.find("**********") != std::string::npos);
  }
}

TEST_CASE("an error about a job has none of its secrets in its words") {
  Error error(Code::invalid, "cannot read https://me:index-pw@host/simple: index-pw", "is registry-pw right?");
  error.add_context("with hf_Ab/12+x and https://other:unknown-pw@host");
  const auto mask = jobs::mask_of(some());
  const auto words = jobs::masked(error, mask).describe();
  CHECK(words.find("https://host/simple") != std::string::npos);
  for (const auto* secret : {"index-pw", "registry-pw", "hf_Ab", "unknown-pw"})
    CHECK(words.find(secret) == std::string::npos);
  CHECK(jobs::masked(error, mask).code() == Code::invalid);
}

TEST_CASE("as many secrets as a job may bring along have a mask, however they are written") {
  for (const char c : {'a', '/', '\x01', '"'}) {
    model::JobSecrets secrets;
    for (int i = 0; i < 8; ++i) secrets.values["A" + std::to_string(i)] = std::string(4096, static_cast<char>(c + i));
    REQUIRE(model::bytes_of(model::values_to_mask(secrets)) <= model::kMostMasked);
    const auto mask = jobs::mask_of(secrets);
    CHECK(mask.bytes() < model::kMostMasked * jobs::kMostSpelled * logs::Mask::kBytesPerByte);
    CHECK(mask.apply(secrets.values.at("A7")) == std::string(4096, '*'));
  }
  model::JobSecrets more;
  more.values["A"] = std::string(model::kMostMasked + 1, 'x');
  CHECK_THROWS_AS(jobs::mask_of(more), Error);
}
