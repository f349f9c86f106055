#pragma once

// The terminal while `berth top` has it: a screen of its own that is put back when this goes, and keys. The
// only user of ncurses.

#include <memory>
#include <vector>

#include "agent/cli/top/model.hpp"
#include "agent/cli/top/view.hpp"

namespace berth::cli::top {

// Error Code::unsupported where standard input and output are no terminal.
void require_terminal();

class Terminal {
 public:
  // Error Code::unsupported for a terminal of an unknown type.
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Asks the terminal; call it again after SIGWINCH.
  Size measure();
  void show(const std::vector<Line>& lines);
  // What has been pressed since the last time; keys that mean nothing are left out.
  std::vector<Key> keys();
  // Readable when a key was pressed.
  int input() const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace berth::cli::top
