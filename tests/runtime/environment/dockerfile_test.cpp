#include "runtime/environment/dockerfile.hpp"

#include <doctest/doctest.h>

using berth::environment::images_of_dockerfile;
using Names = std::set<std::string>;

TEST_CASE("a Dockerfile names the images that it builds upon, through stages and arguments") {
  const auto found = images_of_dockerfile(
      "# escape=`\n"
      "ARG BASE=debian:12 OTHER\n"
      "ARG TAG=\"${BASE}-slim\"\n"
      "FROM --platform=linux/amd64 ${BASE} AS Build\n"
      "# a comment `\n"
      "RUN echo `\n"
      "  # not a stage: FROM nothing\n"
      "  FROM inside\n"
      "from $TAG as second\n"
      "COPY --chown=1:1 --from=build /a /b\n"
      "COPY --from=0 /a /b\n"
      "COPY --from=busybox:${NONE:-1} /a /b\n"
      "FROM scratch AS third\n"
      "FROM second\n");
  CHECK(found.all == Names{"debian:12", "debian:12-slim", "busybox:1"});
  CHECK(found.base == "debian:12-slim");
}

TEST_CASE("what stands in braces is chosen as the builder does it") {
  const auto base = [](const std::string& from) {
    return images_of_dockerfile("ARG SET=debian:12\nARG EMPTY\nFROM " + from + "\n").base;
  };
  CHECK(base("${SET:+busybox:1}") == "busybox:1");
  CHECK(base("${SET+busybox:1}") == "busybox:1");
  CHECK(base("a${EMPTY:+busybox:1}") == "a");
  CHECK(base("${EMPTY:-${SET}}") == "debian:12");
  CHECK(base("${EMPTY-x}") == "x");
  CHECK(base("${SET:-x}/y") == "debian:12/y");
}

TEST_CASE("a Dockerfile from scratch, an empty one and a broken one name no image") {
  CHECK(images_of_dockerfile("FROM scratch\nCOPY a /a\n").all.empty());
  CHECK(images_of_dockerfile("").all.empty());
  CHECK(images_of_dockerfile("FROM").all.empty());
  CHECK(images_of_dockerfile("FROM ${UNSET}\nCOPY --from= a b\nFROM ${").all.empty());
  CHECK(images_of_dockerfile("#\n#escape\nFROM a \\").base == "a");
}

TEST_CASE("arguments that double with each line come to nothing") {
  std::string text = "ARG A0=0123456789\n";
  for (int i = 1; i < 60; ++i) {
    const auto before = "$A" + std::to_string(i - 1);
    text += "ARG A" + std::to_string(i) + "=" + before + before + "\n";
  }
  CHECK(images_of_dockerfile(text + "FROM $A59\n").base.empty());
}
