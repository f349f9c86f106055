#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "runtime/git/properties.hpp"
#include "runtime/git/provenance.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/git/repositories.hpp"
#include "tests/support/skip.hpp"

namespace git = berth::git;
namespace os = berth::os;

namespace {

using Names = std::vector<std::string>;

std::string joined(const Names& names) {
  std::string text;
  for (const auto& name : names) text += name + " ";
  return text;
}

// A repository "r" with two files in one commit.
class Workshop : public git::Repositories {
 public:
  Workshop() {
    write("r/README", "read me\n");
    write("r/src/train.py", "print('train')\n");
    sh("r", "git init -q; git add -A; git commit -qm first; touch -d '1 hour ago' README src/train.py; git status -s");
    settle("r");
  }

  // The index is younger than what it saw, as after a moment.
  void settle(const std::string& where) const { sh(where, "touch -d '1 minute' $(git rev-parse --git-dir)/index"); }

  // All files but git's own are sent; `left_out` is not.
  // Found out before it is known what is sent, and with it: that makes no difference.
  git::Provenance compare(const std::string& name, const Names& left_out = {}) const {
    const auto real = std::filesystem::canonical(at(name)).string();
    const auto sent = sent_of(name, left_out);
    auto before = git::provenance(at(name));
    auto with = git::provenance(at(name), 16U << 20, [&]() -> const std::vector<git::Sent>& { return sent; });
    REQUIRE(before);
    REQUIRE(with);
    git::compare(*before, real, sent);
    git::compare(*with, real, sent);
    CHECK(with->dirty == before->dirty);
    CHECK(with->unknown == before->unknown);
    CHECK(with->diff == before->diff);
    CHECK(with->diff_cut == before->diff_cut);
    INFO(joined(with->untracked), " instead of ", joined(before->untracked));
    CHECK(with->untracked == before->untracked);
    CHECK(with->remarks == before->remarks);
    CHECK(with->not_sent == before->not_sent);
    CHECK(with->not_checked_out == before->not_checked_out);
    return *with;
  }

  std::vector<git::Sent> sent_of(const std::string& name, const Names& left_out) const {
    std::vector<git::Sent> sent;
    const auto top = std::filesystem::path(at(name));
    for (auto each = std::filesystem::recursive_directory_iterator(top); each != std::filesystem::end(each); ++each) {
      if (each->path().filename() == ".git") {
        each.disable_recursion_pending();
        continue;
      }
      struct stat info {};
      REQUIRE(::lstat(each->path().c_str(), &info) == 0);
      if (S_ISDIR(info.st_mode)) continue;
      git::Sent file;
      file.path = each->path().lexically_relative(top).string();
      if (std::find(left_out.begin(), left_out.end(), file.path) != left_out.end()) continue;
      file.mode = S_ISLNK(info.st_mode) ? 0120000U : (info.st_mode & 0100) != 0 ? 0100755U : 0100644U;
      if (S_ISLNK(info.st_mode)) file.target = std::filesystem::read_symlink(each->path()).string();
      file.size = static_cast<std::uint64_t>(info.st_size);
      file.inode = info.st_ino;
      file.modified = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
      file.changed = info.st_ctim.tv_sec * 1'000'000'000 + info.st_ctim.tv_nsec;
      sent.push_back(std::move(file));
    }
    return sent;
  }
  std::string state(const std::string& name, const Names& left_out = {}) const {
    return git::properties(compare(name, left_out), [](const char*) -> const char* { return nullptr; })
        .at("berth.git.state");
  }
};

}  // namespace

TEST_CASE("what is sent of an unchanged work tree is what the commit holds, of any of its directories") {
  const Workshop shop;
  CHECK(shop.state("r") == "clean");
  CHECK(shop.state("r/src") == "clean");
  shop.sh(".", "cp -a r copy");  // whose index tells nothing
  CHECK(shop.state("copy") == "clean");
  shop.sh("r", "ln -s README link; chmod +x src/train.py; git add -A; git commit -qm more");
  CHECK(shop.state("r") == "clean");
  shop.sh("r", "ln -sf src/train.py link");
  CHECK(shop.state("r") == "changed");
}

TEST_CASE("of a tree whose index holds the commit only what differs is compared") {
  const Workshop shop;
  const auto sent = shop.sent_of("r", {});
  bool asked = false;
  const git::SentFiles files = [&]() -> const std::vector<git::Sent>& {
    asked = true;
    return sent;
  };
  auto found = git::provenance(shop.at("r"), 1U << 20, files);
  REQUIRE(found);
  CHECK(asked);
  CHECK(git::differing(*found, sent).empty());
  shop.write("r/README", "changed\n");
  shop.sh("r", "rm src/train.py; echo new > new");
  CHECK(git::differing(*found, shop.sent_of("r", {})).size() == 3);
  CHECK(shop.compare("r").untracked == Names{"new"});
  CHECK(shop.compare("r").diff.find("-print('train')") != std::string::npos);
  shop.sh("r", "git add README");  // staged: the index is another tree
  asked = false;
  found = git::provenance(shop.at("r"), 1U << 20, files);
  CHECK_FALSE(asked);
}

TEST_CASE("files that git does not track are told, wherever they are and whatever hides them from git") {
  const Workshop shop;
  shop.write("r/src/deep/er/v.py", "print(1)\n");
  CHECK(shop.state("r/src/deep/er") == "changed");
  CHECK(shop.compare("r/src/deep/er").untracked == Names{"src/deep/er/v.py"});
  CHECK(shop.state("r/src") == "changed");
  CHECK(shop.compare("r").untracked == Names{"src/deep/"});
  shop.sh("r", "rm -r src/deep; echo hidden >> .git/info/exclude; echo 1 > hidden");
  CHECK(shop.compare("r").untracked == Names{"hidden"});
  CHECK(shop.state("r", {"hidden"}) == "clean");  // it is not sent
  shop.sh("r",
          "rm hidden; echo 'elsewhere' > ../excludes; git config core.excludesFile $PWD/../excludes; touch elsewhere");
  CHECK(shop.state("r") == "changed");
}

TEST_CASE("a repository inside that is no submodule is not the commit's") {
  const Workshop shop;
  shop.write("r/vendor/v.py", "1\n");
  shop.sh("r/vendor", "git init -q; git add -A; git commit -qm inner");
  CHECK(shop.state("r") == "changed");
  CHECK(shop.state("r/vendor") == "clean");
}

TEST_CASE("what git was told not to look at is looked at, and is in the diff") {
  const Workshop shop;
  SUBCASE("assume-unchanged") { shop.sh("r", "git update-index --assume-unchanged README"); }
  SUBCASE("skip-worktree") { shop.sh("r", "git update-index --skip-worktree README"); }
  shop.settle("r");
  CHECK(shop.state("r") == "clean");
  shop.write("r/README", "evil me\n");
  shop.sh("r", "touch -d '1 hour ago' README");
  const auto found = shop.compare("r");
  CHECK(found.dirty);
  CHECK(found.diff.find("+evil me") != std::string::npos);
}

TEST_CASE("an executable bit counts where git ignores it") {
  const Workshop shop;
  shop.sh("r", "git config core.fileMode false; chmod +x README");
  const auto found = shop.compare("r");
  CHECK(found.dirty);
  CHECK(found.diff == "diff --git a/README b/README\nold mode 100644\nnew mode 100755\n");
}

TEST_CASE("a sparse checkout is clean, and the files that it lacks are counted") {
  const Workshop shop;
  shop.sh("r", "mkdir other; echo 1 > other/x; echo 2 > other/y; git add -A; git commit -qm more");
  SUBCASE("of patterns") { shop.sh("r", "git sparse-checkout set --no-cone src"); }
  SUBCASE("of directories") { shop.sh("r", "git sparse-checkout set --cone src"); }
  SUBCASE("with an index that is sparse, too") { shop.sh("r", "git sparse-checkout set --cone --sparse-index src"); }
  const auto found = shop.compare("r");
  CHECK(!found.dirty);
  CHECK(found.unknown == "");
  CHECK(found.diff == "");
  CHECK(found.not_checked_out >= 2);
  shop.write("r/src/train.py", "print('more')\n");
  const auto changed = shop.compare("r");
  CHECK(changed.dirty);
  CHECK(changed.diff.find("print('more')") != std::string::npos);
  CHECK(changed.diff.find("other") == std::string::npos);
}

TEST_CASE("a file of the commit that is not sent is counted, one that was deleted is a change") {
  const Workshop shop;
  const auto found = shop.compare("r", {"README"});
  CHECK(!found.dirty);
  CHECK(found.not_sent == 1);
  shop.sh("r", "rm README");
  CHECK(shop.state("r") == "changed");
}

TEST_CASE("an index that libgit2 cannot read does not hide a change") {
  const Workshop shop;
  SUBCASE("it is split") { shop.sh("r", "git update-index --split-index; git status -s"); }
  SUBCASE("it is of version 4") { shop.sh("r", "git update-index --index-version 4"); }
  CHECK(shop.state("r") == "clean");
  shop.write("r/README", "changed\n");
  const auto found = shop.compare("r");
  CHECK(found.dirty);
  CHECK(found.diff.find("+changed") != std::string::npos);
}

TEST_CASE("an index that nobody can read leaves the content to be compared") {
  const Workshop shop;
  shop.write("r/.git/index", "nonsense");
  CHECK(shop.state("r") == "clean");
  shop.write("r/src/train.py", "changed\n");
  CHECK(shop.state("r") == "changed");
  shop.sh("r", "rm src/train.py");
  CHECK(shop.state("r").starts_with("unknown, because git's index cannot be read"));
}

TEST_CASE("a repository of another user is unknown, because it is not asked") {
  SKIP_UNLESS(::geteuid() == 0, "root, who gives files away");
  const Workshop shop;
  shop.sh(".", "chown -R 65534:65534 r");
  CHECK(shop.state("r").starts_with("unknown, because the repository belongs to another user"));
  CHECK(shop.state("r").find("safe.directory") != std::string::npos);
  shop.sh(".", "git config --global --add safe.directory $PWD/r");
  CHECK(shop.state("r") == "clean");
}

TEST_CASE("a repository without a commit has none yet") {
  const Workshop shop;
  shop.write("n/a", "1\n");
  shop.sh("n", "git init -q");
  CHECK(shop.state("n") == "no commit yet");
}

TEST_CASE("a commit that cannot be read leaves it unknown") {
  const Workshop shop;
  shop.sh("r", "rm -rf .git/objects/??");
  CHECK(shop.state("r").starts_with("unknown, because "));
}

TEST_CASE("line ends that git converts are no change, and what a filter makes of a file is not believed") {
  const Workshop shop;
  shop.sh("r", "git config core.autocrlf true; rm README; git checkout -q README; grep -q \"$(printf '\\r')\" README");
  CHECK(shop.state("r") == "clean");
  shop.sh("r", "touch README");
  CHECK(shop.state("r") == "clean");
  SUBCASE("one that says what is wanted") {
    shop.sh(
        "r",
        "git config filter.liar.clean 'git show HEAD:src/train.py'; echo '*.py filter=liar' > .git/info/attributes; "
        "echo 'evil()' > src/train.py; touch -d '1 hour ago' src/train.py; git add src/train.py; git status -s");
    shop.settle("r");
    CHECK(shop.state("r").starts_with("unknown, because 'src/train.py' goes through a filter"));
  }
  SUBCASE("one named by attributes that git does not track") {
    shop.sh("r",
            "git config filter.liar.clean 'git show HEAD:src/train.py'; echo .gitattributes > .gitignore; git add "
            ".gitignore; git commit -qm ignored; "
            "echo '*.py filter=liar' > src/.gitattributes; "
            "echo 'evil()' > src/train.py; touch -d '1 hour ago' src/train.py; git add src/train.py; git status -s");
    shop.settle("r");
    CHECK(shop.state("r", {"src/.gitattributes"}) != "clean");
    CHECK(shop.state("r/src", {".gitattributes"}) != "clean");
    shop.sh("r",
            "mv src/.gitattributes .gitattributes; touch -d '1 hour ago' src/train.py; git add src/train.py; git "
            "status -s");
    shop.settle("r");
    CHECK(shop.state("r/src") != "clean");
  }
  SUBCASE("one of a submodule's own configuration") {
    shop.write("inner/lib.py", "one\n");
    shop.sh("inner", "git init -q; echo '*.py filter=liar' > .gitattributes; git add -A; git commit -qm inner");
    shop.sh("r", "git submodule --quiet add ../inner third; git commit -qm submodule");
    shop.sh("r/third",
            "git config filter.liar.clean 'git show HEAD:lib.py'; echo 'evil()' > lib.py; "
            "touch -d '1 hour ago' lib.py; git add lib.py; git status -s");
    shop.settle("r/third");
    CHECK(shop.state("r") != "clean");
  }
  SUBCASE("Git LFS, whose stored form names the content") {
    shop.sh("r",
            "git config filter.lfs.clean 'sh $PWD/../clean'; echo 'w.bin filter=lfs' > .gitattributes; printf weights "
            "> w.bin; "
            "printf 'printf \"version https://git-lfs.github.com/spec/v1\\\\noid sha256:%%s\\\\nsize 7\\\\n\" "
            "$(sha256sum | cut -c1-64)\\n' > ../clean; git add -A; git commit -qm lfs; git cat-file -p HEAD:w.bin | "
            "grep -q lfs");
    CHECK(shop.state("r") == "clean");
    shop.write("r/w.bin", "weighty");
    CHECK(shop.state("r") != "clean");
  }
}

TEST_CASE("a submodule's own changes are in the diff, and make a difference only where they are sent") {
  const Workshop shop;
  shop.write("inner/lib.py", "one\n");
  shop.sh("inner", "git init -q; git add -A; git commit -qm inner");
  shop.sh("r", "git submodule --quiet add ../inner third/party; git commit -qm submodule");
  CHECK(shop.state("r") == "clean");
  shop.write("r/third/party/lib.py", "two\n");
  auto found = shop.compare("r");
  CHECK(found.dirty);
  CHECK(found.diff.find("--- a/third/party/lib.py") != std::string::npos);
  CHECK(found.diff.find("+two") != std::string::npos);
  CHECK(shop.state("r/src") == "clean");
  shop.sh("r/third/party", "git commit -qam two");
  CHECK(shop.state("r") == "changed");
  shop.sh("r", "git commit -qam moved");
  CHECK(shop.state("r") == "clean");
  shop.sh("r", "git submodule --quiet deinit -f third/party");
  CHECK(shop.state("r") == "clean");
  shop.write("r/third/party/other.py", "not the submodule's\n");
  CHECK(shop.state("r") == "changed");
}

TEST_CASE("a repository of a format that libgit2 does not know is asked of git") {
  const Workshop shop;
  shop.write("s/a.py", "1\n");
  shop.sh("s", "git init -q --object-format=sha256; git add -A; git commit -qm first");
  CHECK(shop.state("s") == "clean");
  shop.write("s/a.py", "2\n");
  const auto found = shop.compare("s");
  CHECK(found.dirty);
  CHECK(found.commit.size() == 64);
  CHECK(found.diff.find("+2") != std::string::npos);
}

TEST_CASE("nothing that a repository names is run") {
  const Workshop shop;
  shop.sh("r",
          "ran=$PWD/../ran; for key in core.fsmonitor filter.x.clean filter.x.process diff.external diff.x.textconv "
          "core.pager "
          "core.sshCommand core.alternateRefsCommand; do git config $key \"touch $ran\"; done; "
          "echo '* filter=x diff=x' > .git/info/attributes; git update-index --split-index 2>/dev/null; rm -f $ran; "
          "echo changed > README");
  CHECK(shop.state("r") != "clean");
  CHECK(!os::exists(shop.at("ran")));
}
