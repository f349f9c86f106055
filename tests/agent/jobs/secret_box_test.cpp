#include "agent/jobs/secret_box.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using jobs::SecretBox;

namespace {

const std::string kId = "00112233445566778899aabbccddeeff";
const std::string kOther = "10112233445566778899aabbccddeeff";

model::JobSecrets some() {
  model::JobSecrets secrets;
  secrets.values = {{"HF_TOKEN", "hf_value"}, {"BYTES", std::string("\0\xff", 2)}};
  secrets.texts = {{"/command/1", "https://me:pw@host"}};
  secrets.registries = {{"r.example", "ann", "pass", ""}};
  return secrets;
}

Code refused(const SecretBox& box, const std::string& id, const std::string& sealed) {
  try {
    box.open(id, sealed);
  } catch (const Error& error) {
    CHECK(error.describe().find("hf_value") == std::string::npos);
    CHECK_FALSE(error.context().empty());
    return error.code();
  }
  FAIL("opened");
  return Code::internal;
}

}  // namespace

TEST_CASE("what is closed in a box opens for its submission, with the key that was made for the agent alone") {
  os::TempDir place;
  const SecretBox box({"", place / "secrets.key"});
  const auto closed = box.close(kId, some());
  for (const auto* secret : {"hf_value", "HF_TOKEN", "pass", "command"})
    CHECK(closed.sealed.find(secret) == std::string::npos);
  struct stat info {};
  REQUIRE(::stat((place / "secrets.key").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(info.st_size == 32);
  CHECK(SecretBox({"", place / "secrets.key"}).open(kId, closed.sealed) == some());
  CHECK(refused(box, kOther, closed.sealed) == Code::corrupt);
}

TEST_CASE("the same secrets of the same submission have the same mark, and no others") {
  os::TempDir place;
  const SecretBox box({"", place / "secrets.key"});
  const auto first = box.close(kId, some());
  const auto again = box.close(kId, some());
  CHECK(first.mark == again.mark);
  CHECK(first.sealed != again.sealed);
  CHECK(box.close(kOther, some()).mark != first.mark);
  auto changed = some();
  changed.values["HF_TOKEN"] = "hf_other";
  CHECK(box.close(kId, changed).mark != first.mark);
  CHECK(SecretBox({"", place / "another.key"}).close(kId, some()).mark != first.mark);
}

TEST_CASE("whoever closes the first box at the same time has the same key") {
  for (int round = 0; round < 20; ++round) {
    os::TempDir place;
    const SecretBox box({"", place / "secrets.key"});
    std::vector<std::string> sealed(4);
    {
      std::vector<std::jthread> threads;
      for (auto& one : sealed) threads.emplace_back([&] { one = box.close(kId, some()).sealed; });
    }
    for (const auto& one : sealed) CHECK(box.open(kId, one) == some());
    CHECK(std::distance(std::filesystem::directory_iterator(place.path()), {}) == 1);
  }
}

TEST_CASE("the service manager's key comes first, and what was sealed before it came still opens") {
  os::TempDir place;
  const SecretBox before({"", place / "secrets.key"});
  const auto old = before.close(kId, some());
  os::make_directories(place / "credentials");
  const secrets::KeyPlace both{place / "credentials", place / "secrets.key"};
  CHECK(SecretBox(both).open(kId, old.sealed) == some());  // no key there yet
  os::write_file(place / "credentials/berth.key", std::string(32, 'k'), 0400, os::Durable::no);
  const SecretBox box(both);
  CHECK(box.open(kId, old.sealed) == some());
  const auto closed = box.close(kId, some());
  CHECK(box.open(kId, closed.sealed) == some());
  CHECK(refused(before, kId, closed.sealed) == Code::denied);
  os::remove_file(place / "secrets.key");
  CHECK(box.open(kId, closed.sealed) == some());
  CHECK(refused(box, kId, old.sealed) == Code::denied);
}

TEST_CASE("a key that is gone, cut or open to others is told, and none is made to open with") {
  os::TempDir place;
  const SecretBox box({"", place / "secrets.key"});
  const auto closed = box.close(kId, some());
  os::remove_file(place / "secrets.key");
  CHECK(refused(box, kId, closed.sealed) == Code::not_found);
  CHECK_THROWS_AS(box.close(kOther, some()), Error);
  CHECK_THROWS_AS(SecretBox({"", place / "secrets.key"}, true).close(kOther, some()),
                  Error);  // of an agent started later
  CHECK_FALSE(os::exists(place / "secrets.key"));
  os::write_file(place / "secrets.key", "short", 0600, os::Durable::no);
  CHECK(refused(box, kId, closed.sealed) == Code::corrupt);
  os::write_file(place / "secrets.key", std::string(32, 'x'), 0640, os::Durable::no);
  CHECK(refused(box, kId, closed.sealed) == Code::denied);
  os::write_file(place / "secrets.key", std::string(32, 'x'), 0600, os::Durable::no);
  CHECK(refused(box, kId, closed.sealed) == Code::denied);
}
