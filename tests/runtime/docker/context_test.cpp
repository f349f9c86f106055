#include "runtime/docker/context.hpp"
#include "runtime/async/tool.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"
#include "tests/runtime/docker/failure.hpp"

namespace berth::docker {
namespace {

class Tree {
 public:
  const std::string& path() const { return directory_.path(); }
  std::string at(const std::string& name) const { return directory_ / name; }
  Tree& file(const std::string& name, const std::string& content = "x", unsigned mode = 0644) {
    os::make_directories(os::parent_of(at(name)));
    os::write_file(at(name), content, mode, os::Durable::no);
    return *this;
  }

 private:
  os::TempDir directory_;
};

std::string stream_of(BuildContext context, std::size_t block = 4096) {
  std::string all;
  std::vector<char> buffer(block);
  while (const auto n = context.read(buffer)) all.append(buffer.data(), n);
  return all;
}

// The stream as the machine's own tar unpacks it.
class Unpacked {
 public:
  explicit Unpacked(const std::string& stream) {
    os::write_file(directory_ / "a.tar", stream, 0600, os::Durable::no);
    os::make_directories(directory_ / "tree");
    os::SpawnOptions options;
    options.arguments = {"/bin/tar", "-xpf", directory_ / "a.tar", "-C", directory_ / "tree"};
    const auto done = async::run_tool_here(std::move(options), {std::chrono::seconds(20)});
    CHECK_MESSAGE(done.exit.status == 0, done.errors);
    CHECK(done.errors == "");
  }
  std::string at(const std::string& name) const { return directory_ / ("tree/" + name); }
  std::set<std::string> names() const {
    std::set<std::string> names;
    const std::filesystem::path root = directory_ / "tree";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
      names.insert(entry.path().lexically_relative(root).string());
    return names;
  }

 private:
  os::TempDir directory_;
};

using Names = std::set<std::string>;

const std::string kLongTarget = std::string(150, 't') + "/" + std::string(150, 't');

}  // namespace

TEST_CASE("a directory comes out of the stream as it went in") {
  Tree tree;
  tree.file("Dockerfile", "FROM scratch\n").file("bin/run", "#!/bin/sh\n", 0755).file("empty", "");
  tree.file("exact", std::string(512, 'e')).file("large", std::string(1'000'003, 'l')).file("ümlaut name", "ü");
  tree.file(std::string(120, 'd') + "/" + std::string(150, 'f'), "long");
  CHECK(::symlink("bin/run", tree.at("link").c_str()) == 0);
  CHECK(::symlink(kLongTarget.c_str(), tree.at("long link").c_str()) == 0);
  for (const std::size_t block : {7U, 4096U, 1U << 20}) {
    const Unpacked copy(stream_of(BuildContext::of_directory(tree.path()), block));
    CHECK(copy.names().size() == 11);
    CHECK(os::read_file(copy.at("large")) == std::string(1'000'003, 'l'));
    CHECK(os::read_file(copy.at(std::string(120, 'd') + "/" + std::string(150, 'f'))) == "long");
    CHECK(os::read_file(copy.at("ümlaut name")) == "ü");
    CHECK(std::filesystem::read_symlink(copy.at("link")) == "bin/run");
    CHECK(std::filesystem::read_symlink(copy.at("long link")) == kLongTarget);
    struct stat found {};
    REQUIRE(::stat(copy.at("bin/run").c_str(), &found) == 0);
    CHECK((found.st_mode & 07777) == 0755);
  }
}

TEST_CASE("what .dockerignore names stays out, the Dockerfile and the file itself come along") {
  Tree tree;
  tree.file("Dockerfile").file(".dockerignore", "*\n!src\nsrc/*.o\n!data/keep/one\n");
  tree.file("src/a.c").file("src/a.o").file("data/keep/one").file("data/keep/two").file("data/other/x").file("secret");
  const Unpacked copy(stream_of(BuildContext::of_directory(tree.path())));
  CHECK(copy.names() == Names{"Dockerfile", ".dockerignore", "src", "src/a.c", "data", "data/keep", "data/keep/one"});
}

TEST_CASE("a Dockerfile in an ignored directory is sent all the same") {
  Tree tree;
  tree.file(".dockerignore", "docker\n").file("docker/gpu.Dockerfile").file("docker/other").file("a");
  const Unpacked copy(stream_of(BuildContext::of_directory(tree.path(), "docker/gpu.Dockerfile")));
  CHECK(copy.names() == Names{".dockerignore", "docker", "docker/gpu.Dockerfile", "a"});
}

TEST_CASE("nothing from outside gets in: links are sent as links, pipes and sockets not at all") {
  Tree outside;
  outside.file("secret", "SECRET").file("dir/secret", "SECRET");
  Tree tree;
  tree.file("Dockerfile");
  CHECK(::symlink(outside.at("secret").c_str(), tree.at("a").c_str()) == 0);
  CHECK(::symlink(outside.at("dir").c_str(), tree.at("b").c_str()) == 0);
  CHECK(::mkfifo(tree.at("pipe").c_str(), 0600) == 0);
  const auto stream = stream_of(BuildContext::of_directory(tree.path()));
  CHECK(stream.find("SECRET") == std::string::npos);
  CHECK(Unpacked(stream).names() == Names{"Dockerfile", "a", "b"});

  // A file that becomes a link between the look and the reading is not followed either.
  tree.file("late", "harmls");
  auto context = BuildContext::of_directory(tree.path());
  std::filesystem::remove(tree.at("late"));
  CHECK(::symlink(outside.at("secret").c_str(), tree.at("late").c_str()) == 0);
  CHECK(test::code_of([&] { stream_of(std::move(context)); }) == Code::conflict);
}

TEST_CASE("a file that grows or shrinks meanwhile is told, not sent half") {
  for (const std::size_t size : {10U, 30U}) {
    Tree tree;
    tree.file("Dockerfile").file("changing", std::string(20, 'x'));
    auto context = BuildContext::of_directory(tree.path());
    tree.file("changing", std::string(size, 'x'));
    CHECK(test::code_of([&] { stream_of(std::move(context)); }) == Code::conflict);
  }
}

TEST_CASE("a Dockerfile that is absent or elsewhere is told before anything is sent") {
  Tree tree;
  tree.file("sub/x");
  const auto code = [&](const std::string& name) {
    return test::code_of([&] { BuildContext::of_directory(tree.path(), name); });
  };
  CHECK(code("Dockerfile") == Code::not_found);
  CHECK(code("../Dockerfile") == Code::invalid);
  CHECK(code("/etc/passwd") == Code::invalid);
  CHECK(::symlink("/etc/passwd", tree.at("Dockerfile").c_str()) == 0);
  CHECK(code("Dockerfile") == Code::invalid);
  CHECK(test::code_of([&] { BuildContext::of_directory(tree.at("nowhere")); }) == Code::not_found);
}

TEST_CASE("the digest is one of contents: times and order do not count, a byte or the executable bit does") {
  Tree one;
  one.file("Dockerfile", "FROM x").file("b", "1").file("a/c", "2");
  Tree two;
  two.file("a/c", "2").file("b", "1").file("Dockerfile", "FROM x");
  const timespec times[2] = {{1, 0}, {1, 0}};
  ::utimensat(AT_FDCWD, two.at("b").c_str(), times, 0);
  const auto digest = BuildContext::of_directory(one.path()).digest();
  CHECK(BuildContext::of_directory(two.path()).digest() == digest);
  two.file("b", "3");
  CHECK(BuildContext::of_directory(two.path()).digest() != digest);
  two.file("b", "1", 0755);
  CHECK(BuildContext::of_directory(two.path()).digest() != digest);
}

TEST_CASE("files given as values make a context too") {
  auto context = BuildContext::of_files({{"Dockerfile", "FROM x\n"}, {"environment.yml", "name: a\n"}});
  CHECK(context.bytes() == 15);
  const Unpacked copy(stream_of(std::move(context)));
  CHECK(copy.names() == Names{"Dockerfile", "environment.yml"});
  CHECK(os::read_file(copy.at("environment.yml")) == "name: a\n");
}

}  // namespace berth::docker
