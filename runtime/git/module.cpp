#include "runtime/git/module.hpp"

#include <cstring>
#include <exception>
#include <string>

#include "runtime/git/libgit2.hpp"
#include "runtime/git/teller.hpp"

namespace berth::git {
namespace {

// Tells the ids of contents.
class Hasher {
 public:
  Hasher(BerthGitSink sink, void* context) : sink_(sink), context_(context) {}

  void tell(std::size_t number, const BerthGitContent& content) {
    git_oid raw;
    if (content.target != nullptr) {
      if (git_odb_hash(&raw, content.target, std::strlen(content.target), GIT_OBJECT_BLOB) != 0) return;
      return tell(number, raw, raw);
    }
    if (git_odb_hashfile(&raw, content.path, GIT_OBJECT_BLOB) != 0) return;
    git_oid stored = raw;
    open_above(content.path);
    if (repository_ && git_repository_hashfile(&stored, repository_.get(), content.path, GIT_OBJECT_BLOB, nullptr) != 0)
      stored = raw;
    tell(number, raw, stored);
  }

 private:
  void tell(std::size_t number, const git_oid& raw, const git_oid& stored) {
    const auto text = std::to_string(number) + '\0' + hex(raw) + '\0' + hex(stored);
    sink_(context_, "hash", text.data(), text.size());
  }
  void open_above(const std::string& path) {
    auto directory = path.substr(0, path.rfind('/'));
    if (directory == directory_) return;
    directory_ = std::move(directory);
    repository_ = make<Repository>(git_repository_open_ext, directory_.c_str(), 0U, nullptr);
  }

  BerthGitSink sink_;
  void* context_;
  std::string directory_;
  Repository repository_;
};

}  // namespace
}  // namespace berth::git

void berth_git_provenance_3(const char* directory, std::size_t diff_limit, BerthGitSink sink, BerthGitAsk ask,
                            void* context) {
  try {
    git_libgit2_init();
    // Objects are read once; their digests were checked when git stored them.
    git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
    berth::git::Teller(directory, diff_limit, sink, ask, context).tell_all();
    git_libgit2_shutdown();
  } catch (const std::exception& error) {
    const std::string text = std::string("git was not asked: ") + error.what();
    sink(context, "remark", text.data(), text.size());
  }
}

void berth_git_hash_2(const BerthGitContent* contents, std::size_t count, BerthGitSink sink, void* context) {
  try {
    git_libgit2_init();
    {
      berth::git::Hasher hasher(sink, context);
      for (std::size_t i = 0; i < count; ++i) hasher.tell(i, contents[i]);
    }
    git_libgit2_shutdown();
  } catch (const std::exception&) {  // what is not told is not known
  }
}
