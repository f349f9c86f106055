#include "runtime/docker/reference.hpp"

#include <doctest/doctest.h>

#include "tests/runtime/docker/failure.hpp"

namespace berth::docker {
namespace {

using test::failure_of;

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string full(const std::string& text) { return parse_reference(text).text(); }

}  // namespace

TEST_CASE("a short name is an image of the hub's library, by the tag latest") {
  CHECK(full("debian") == "docker.io/library/debian:latest");
  CHECK(full("debian:12") == "docker.io/library/debian:12");
  CHECK(full("team/train") == "docker.io/team/train:latest");
  CHECK(full("index.docker.io/debian") == "docker.io/library/debian:latest");
}

TEST_CASE("what has a dot, a port or the name localhost before the first slash is a registry") {
  CHECK(full("ghcr.io/team/train:v2") == "ghcr.io/team/train:v2");
  CHECK(full("127.0.0.1:5000/x") == "127.0.0.1:5000/x:latest");
  CHECK(full("localhost/x") == "localhost/x:latest");
  CHECK(full("registry:5000/a/b/c") == "registry:5000/a/b/c:latest");
  CHECK(full("[::1]:5000/x") == "[::1]:5000/x:latest");
}

TEST_CASE("a digest alone needs no tag, and both may stand together") {
  CHECK(full("debian@" + kDigest) == "docker.io/library/debian@" + kDigest);
  const auto both = parse_reference("debian:12@" + kDigest);
  CHECK(both.text() == "docker.io/library/debian:12@" + kDigest);
  CHECK(both.version() == kDigest);
  CHECK(parse_reference("debian:12").version() == "12");
}

TEST_CASE("people see a name as they write it") {
  CHECK(parse_reference("debian").familiar() == "debian:latest");
  CHECK(parse_reference("team/train").familiar() == "team/train:latest");
  CHECK(parse_reference("ghcr.io/a/b:1").familiar() == "ghcr.io/a/b:1");
  // Shorter, they would be the names of other images, or of none.
  CHECK(parse_reference("docker.io/localhost/x").familiar() == "docker.io/localhost/x:latest");
  CHECK(parse_reference("docker.io/a.b/c").familiar() == "docker.io/a.b/c:latest");
  CHECK(parse_reference("library/x/y").familiar() == "library/x/y:latest");
  const auto digits = "library/" + std::string(64, 'a');
  CHECK(parse_reference(digits).familiar() == digits + ":latest");
}

TEST_CASE("what is no image name is refused with the part that is wrong") {
  const auto says = [](const std::string& text, const std::string& words) {
    const auto error = failure_of([&] { parse_reference(text); });
    CHECK(error.code() == Code::invalid);
    CHECK_MESSAGE(error.describe().find(words) != std::string::npos, error.describe());
  };
  says("", "empty");
  says("Debian", "upper-case");
  says("https://ghcr.io/a/b", "without the scheme");
  says("a//b", "cannot be a part");
  says("-a", "cannot be a part");
  says("a/../b", "cannot be a part");
  says("a:", "tag");
  says("a:b c", "tag");
  says("a@sha256:12", "64 hexadecimal");
  says(std::string(64, 'a'), "image's number");
  says("a.b:port/x", "no registry");
  says("a/" + std::string(300, 'x'), "longer than 255");
  says("a\nb", "cannot be a part");
}

}  // namespace berth::docker
