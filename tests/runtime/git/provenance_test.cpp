#include "runtime/git/provenance.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/os/file.hpp"
#include "tests/runtime/git/repositories.hpp"
#include "tests/support/skip.hpp"

namespace git = berth::git;
namespace os = berth::os;

namespace {

class Workshop : public git::Repositories {
 public:
  // What sh() does, without the line end.
  std::string line(const std::string& where, const std::string& script) const {
    auto text = sh(where, script);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
  // A repository with two files in one commit.
  void make_repository(const std::string& name) const {
    write(name + "/README", "read me\n");
    write(name + "/src/train.py", "print('train')\n");
    write(name + "/.gitignore", "*.log\n");
    sh(name, "git init -q; git add -A; git commit -qm first");
  }
  git::Provenance ask(const std::string& name) const {
    const auto found = git::provenance(at(name));
    REQUIRE(found);
    return *found;
  }
};

bool has_remark(const git::Provenance& found, const std::string& text) {
  return std::any_of(found.remarks.begin(), found.remarks.end(),
                     [&](const auto& remark) { return remark.find(text) != std::string::npos; });
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a directory in no work tree has no provenance") {
  const Workshop shop;
  CHECK(!git::provenance(shop.at(".")));
  CHECK(!git::provenance(shop.at("absent")));
}

TEST_CASE("a clean work tree tells commit, branch, description and path, as git does") {
  const Workshop shop;
  shop.make_repository("r");
  const auto found = shop.ask("r");
  CHECK(found.commit == shop.line("r", "git rev-parse HEAD"));
  CHECK(found.branch == "main");
  CHECK(found.describe == shop.line("r", "git describe --tags --always"));
  CHECK(found.path.empty());
  CHECK(found.repository.empty());
  CHECK(!found.dirty);
  CHECK(found.diff.empty());
  CHECK(found.untracked.empty());
  CHECK(found.submodules.empty());
  CHECK(found.remarks.empty());
  CHECK(shop.ask("r/src").path == "src");

  shop.sh("r", "git checkout -q --detach");
  CHECK(shop.ask("r").branch.empty());
}

TEST_CASE("the description names the nearest tag") {
  const Workshop shop;
  shop.make_repository("r");
  shop.sh("r", "git tag -a v1 -m one; git commit -q --allow-empty -m two; git commit -q --allow-empty -m three");
  CHECK(shop.ask("r").describe == shop.line("r", "git describe --tags --always"));
  CHECK(shop.ask("r").describe.starts_with("v1-2-g"));
  shop.sh("r", "git tag light");
  CHECK(shop.ask("r").describe == "light");
}

TEST_CASE("the repository is the remote that git would choose, without credentials") {
  const Workshop shop;
  shop.make_repository("r");
  shop.sh("r", "git remote add mirror https://ann:t0ken@example.org/mirror.git");
  CHECK(shop.ask("r").repository == "https://example.org/mirror.git");
  shop.sh("r", "git remote add origin https://t0ken@example.org/code.git");
  CHECK(shop.ask("r").repository == "https://example.org/code.git");
  shop.sh("r", "git config branch.main.remote mirror");
  CHECK(shop.ask("r").repository == "https://example.org/mirror.git");
  shop.sh("r", "git remote set-url mirror short:mirror; git config url.ssh://git:pw@example.org/.insteadOf short:");
  CHECK(shop.ask("r").repository == "ssh://git@example.org/mirror");
}

TEST_CASE("the diff applied to a clean checkout gives the working tree, staged and binary changes included") {
  const Workshop shop;
  shop.make_repository("r");
  shop.write("r/weights.bin", std::string("\0\1\2\3", 4));
  shop.write("r/name with spaces", "a\n");
  shop.write("r/na\"me", "a\n");
  shop.write("r/gro\xc3\x9f", "a\n");
  shop.write("r/tab\there", "a\n");
  shop.write("r/gone", "bye\n");
  shop.write("r/no end", "no line end");
  shop.sh("r", "ln -s README link; git add -A; git commit -qm more; git clone -q . ../copy");

  shop.write("r/weights.bin", std::string("\0\1\2\4\0", 5));
  shop.write("r/name with spaces", "b\n");
  shop.write("r/na\"me", "b\n");
  shop.write("r/gro\xc3\x9f", "b\n");
  shop.write("r/tab\there", "b\n");
  shop.write("r/no end", "still none");
  shop.write("r/staged.py", "new\n");
  shop.sh("r", "git add staged.py; git rm -q gone; chmod +x src/train.py; ln -sf src link");
  shop.write("r/staged.py", "newer\n");
  const auto found = shop.ask("r");
  CHECK(found.dirty);
  CHECK(!found.diff_cut);
  CHECK(found.remarks.empty());
  shop.write("diff", found.diff);
  shop.sh("copy", "git apply --binary ../diff; git add -A");
  shop.sh("r", "git add -A");
  CHECK(shop.sh("copy", "git ls-files -s") == shop.sh("r", "git ls-files -s"));
}

TEST_CASE("untracked files make a tree dirty and are listed, ignored ones do neither") {
  const Workshop shop;
  shop.make_repository("r");
  shop.write("r/run.log", "ignored\n");
  CHECK(!shop.ask("r").dirty);
  shop.write("r/new file", "secret\n");
  shop.write("r/data/x", "1\n");
  const auto found = shop.ask("r");
  CHECK(found.dirty);
  CHECK(found.untracked == Names{"data/", "new file"});
  CHECK(found.diff.empty());
}

TEST_CASE("what lies outside of the directory makes it neither dirty nor longer") {
  const Workshop shop;
  shop.make_repository("r");
  shop.write("r/README", "changed\n");
  shop.write("r/srcs", "a name that only begins alike\n");
  const auto found = shop.ask("r/src");
  CHECK(!found.dirty);
  CHECK(found.diff.empty());
  CHECK(found.untracked.empty());
  shop.write("r/src/train.py", "print('more')\n");
  const auto changed = shop.ask("r/src");
  CHECK(changed.dirty);
  CHECK(changed.diff.find("src/train.py") != std::string::npos);
  CHECK(changed.diff.find("README") == std::string::npos);
}

TEST_CASE("a directory whose name looks like a pattern is taken literally") {
  const Workshop shop;
  shop.make_repository("r");
  shop.write("r/[ab]*/x", "1\n");
  shop.write("r/a/x", "1\n");
  shop.sh("r", "git add -A; git commit -qm more");
  shop.write("r/a/x", "2\n");
  CHECK(!shop.ask("r/[ab]*").dirty);
  shop.write("r/[ab]*/x", "2\n");
  CHECK(shop.ask("r/[ab]*").dirty);
}

TEST_CASE("a diff that is too large is cut at whole files and says what is missing") {
  const Workshop shop;
  shop.make_repository("r");
  shop.write("r/big", std::string(300'000, 'x') + "\n");
  shop.write("r/README", "changed\n");
  shop.sh("r", "git add big");
  const auto found = git::provenance(shop.at("r"), 100'000);
  REQUIRE(found);
  CHECK(found->dirty);
  CHECK(found->diff_cut);
  CHECK(found->diff.size() < 1000);
  CHECK(found->diff.find("+changed") != std::string::npos);
  CHECK(found->diff.find("# left out: big (300001 bytes)") != std::string::npos);
  shop.sh("r", "git rm -q --cached big; rm big; git checkout -q README");
  shop.write("diff", found->diff);
  shop.sh("r", "git apply --binary ../diff");
  CHECK(os::read_file(shop.at("r/README")) == "changed\n");
}

TEST_CASE("a merge conflict is told as dirty and left out of the diff") {
  const Workshop shop;
  shop.make_repository("r");
  shop.sh("r",
          "git checkout -qb other; echo other > README; git commit -qam other; git checkout -q main; "
          "echo main > README; git commit -qam main; git merge other >/dev/null || true");
  const auto found = shop.ask("r");
  CHECK(found.dirty);
  CHECK(found.diff_cut);
  CHECK(found.diff.find("# left out: README") != std::string::npos);
}

TEST_CASE("submodules tell the commit that is checked out, and make the tree dirty when moved or changed") {
  const Workshop shop;
  shop.make_repository("inner");
  shop.make_repository("middle");
  shop.sh("middle", "git submodule --quiet add ../inner deep; git commit -qm submodule");
  shop.make_repository("r");
  shop.sh("r",
          "git submodule --quiet add ../middle third/party; git commit -qm submodule; "
          "git submodule --quiet update --init --recursive");
  auto found = shop.ask("r");
  REQUIRE(found.submodules.size() == 2);
  CHECK(found.submodules[0].path == "third/party");
  CHECK(found.submodules[0].commit == shop.line("middle", "git rev-parse HEAD"));
  CHECK(found.submodules[1].path == "third/party/deep");
  CHECK(found.submodules[1].commit == shop.line("inner", "git rev-parse HEAD"));
  CHECK(!found.dirty);

  shop.write("r/third/party/README", "changed\n");
  CHECK(shop.ask("r").dirty);
  shop.sh("r/third/party", "git commit -qam moved");
  found = shop.ask("r");
  CHECK(found.dirty);
  CHECK(found.submodules[0].commit == shop.line("r/third/party", "git rev-parse HEAD"));
  CHECK(found.diff.find("+Subproject commit " + found.submodules[0].commit) != std::string::npos);

  shop.sh(".", "git clone -q r bare-of-submodules");
  found = shop.ask("bare-of-submodules");
  REQUIRE(found.submodules.size() == 1);
  CHECK(found.submodules[0].commit == shop.line("middle", "git rev-parse HEAD"));
  CHECK(has_remark(found, "submodule third/party is not checked out"));
}

TEST_CASE("inside a submodule the submodule's own repository counts") {
  const Workshop shop;
  shop.make_repository("inner");
  shop.make_repository("r");
  shop.sh("r", "git submodule --quiet add ../inner deep; git commit -qm submodule");
  const auto found = shop.ask("r/deep/src");
  CHECK(found.commit == shop.line("inner", "git rev-parse HEAD"));
  CHECK(found.path == "src");
}

TEST_CASE("a linked work tree is read like any other") {
  const Workshop shop;
  shop.make_repository("r");
  shop.sh("r", "git worktree add -q -b side ../side");
  shop.write("side/src/train.py", "print('side')\n");
  const auto found = shop.ask("side");
  CHECK(found.branch == "side");
  CHECK(found.commit == shop.line("r", "git rev-parse HEAD"));
  CHECK(found.dirty);
  CHECK(!shop.ask("r").dirty);
}

TEST_CASE("GIT_DIR does not redirect the question") {
  const Workshop shop;
  shop.make_repository("r");
  shop.make_repository("other");
  shop.sh("other", "git commit -q --allow-empty -m another");
  ::setenv("GIT_DIR", shop.at("other/.git").c_str(), 1);
  const auto found = git::provenance(shop.at("r"));
  ::unsetenv("GIT_DIR");
  REQUIRE(found);
  CHECK(found->commit == shop.line("r", "git rev-parse HEAD"));
}

TEST_CASE("a symlink into a work tree leads to it") {
  const Workshop shop;
  shop.make_repository("r");
  shop.sh(".", "ln -s r/src link");
  CHECK(shop.ask("link").path == "src");
}

TEST_CASE("a repository without commits has everything staged or untracked") {
  const Workshop shop;
  shop.write("r/a", "1\n");
  shop.write("r/b", "2\n");
  shop.sh("r", "git init -q; git add a");
  const auto found = shop.ask("r");
  CHECK(found.commit.empty());
  CHECK(found.branch == "main");
  CHECK(found.dirty);
  CHECK(found.diff.find("+1") != std::string::npos);
  CHECK(found.untracked == Names{"b"});
  CHECK(has_remark(found, "no commits yet"));
}

TEST_CASE("a shallow clone is read and remarked") {
  const Workshop shop;
  shop.make_repository("r");
  shop.sh("r", "git tag old; git commit -q --allow-empty -m two; git clone -q --depth 1 file://$PWD ../shallow");
  const auto found = shop.ask("shallow");
  CHECK(found.commit == shop.line("r", "git rev-parse HEAD"));
  CHECK(!found.dirty);
  CHECK(has_remark(found, "shallow"));
}

TEST_CASE("a repository of another user is not read, and the remark tells the remedy") {
  SKIP_UNLESS(::geteuid() == 0, "root, who gives files away");
  const Workshop shop;
  shop.make_repository("r");
  shop.sh(".", "chown -R 65534:65534 r");
  const auto found = shop.ask("r");
  CHECK(found.commit.empty());
  CHECK(!found.dirty);
  CHECK(has_remark(found, "safe.directory"));
  shop.sh(".", "git config --global --add safe.directory $PWD/r");
  CHECK(shop.ask("r").commit.size() == 40);
}

TEST_CASE("broken repositories give remarks, never a failure") {
  const Workshop shop;
  SUBCASE("an empty .git directory") {
    os::make_directories(shop.at("r/.git"));
    CHECK(has_remark(shop.ask("r"), "cannot read the git repository"));
  }
  SUBCASE("a .git file that points nowhere") {
    shop.write("r/.git", "gitdir: /nowhere/at/all\n");
    CHECK(has_remark(shop.ask("r"), "cannot read the git repository"));
  }
  SUBCASE("a missing commit") {
    shop.make_repository("r");
    shop.sh("r", "rm -rf .git/objects/??");
    const auto found = shop.ask("r");
    CHECK(found.branch == "main");
    CHECK(has_remark(found, "cannot read the commit"));
  }
  SUBCASE("a corrupt index") {
    shop.make_repository("r");
    shop.write("r/.git/index", "nonsense");
    const auto found = shop.ask("r");
    CHECK(found.commit.size() == 40);
    CHECK(has_remark(found, "cannot read the index"));
  }
  SUBCASE("a corrupt HEAD") {
    shop.make_repository("r");
    shop.write("r/.git/HEAD", "\xff\n");
    CHECK(!shop.ask("r").remarks.empty());
  }
  SUBCASE("a bare repository with a .git directory") {
    shop.make_repository("r");
    shop.sh("r", "git config core.bare true");
    CHECK(has_remark(shop.ask("r"), "bare"));
  }
}

TEST_CASE("a bare repository itself is no work tree") {
  const Workshop shop;
  shop.make_repository("r");
  shop.sh(".", "git clone -q --bare r bare.git");
  CHECK(!git::provenance(shop.at("bare.git")));
}
