#pragma once

// The verbs of `berth`, one file each. A verb parses its arguments, does one thing and returns the exit code.

#include <span>
#include <string_view>

#include "agent/cli/options.hpp"

namespace berth::cli {

struct Verb {
  std::string_view name;
  std::string_view summary;
  int (*run)(const Arguments& arguments, Common& common);
};

// In the order of `berth --help`.
std::span<const Verb> verbs();
// The one of this name, also of those that are for programs and that nothing lists; null where there is none.
const Verb* find_verb(std::string_view name);
// What the verb takes.
Description describe(const Verb& verb);

namespace verb {
int run(const Arguments& arguments, Common& common);
int submit(const Arguments& arguments, Common& common);
int ps(const Arguments& arguments, Common& common);
int show(const Arguments& arguments, Common& common);
int logs(const Arguments& arguments, Common& common);
int events(const Arguments& arguments, Common& common);
int wait(const Arguments& arguments, Common& common);
int cancel(const Arguments& arguments, Common& common);
int retry(const Arguments& arguments, Common& common);
int hold(const Arguments& arguments, Common& common);
int release(const Arguments& arguments, Common& common);
int priority(const Arguments& arguments, Common& common);
int download(const Arguments& arguments, Common& common);
int env(const Arguments& arguments, Common& common);
int gpu(const Arguments& arguments, Common& common);
int top(const Arguments& arguments, Common& common);
int status(const Arguments& arguments, Common& common);
int doctor(const Arguments& arguments, Common& common);
int drain(const Arguments& arguments, Common& common);
int resume(const Arguments& arguments, Common& common);
int gc(const Arguments& arguments, Common& common);

// For the completions of shells: the words after `berth`, the last one being typed. Prints a candidate a
// line, with a tab and a remark; ":files", ":directories" and ":commands" ask the shell to offer its own.
// Silent about failures.
int complete(const Arguments& arguments, Common& common);
// For the makers of documentation: what every verb takes, as JSON.
int describe(const Arguments& arguments, Common& common);
}  // namespace verb

}  // namespace berth::cli
