#pragma once

// Paragraphs that the help of several verbs shares.

namespace berth::cli {

inline constexpr const char* kJobHelp = "an id, the beginning of one, or @last";

// Verbs that look or change something.
inline constexpr const char* kPlainExits =
    "  0    done\n"
    "  2    a mistake in what was asked for; the message says which\n"
    "  125  Berth itself failed, or no agent answers\n";
// Verbs that stand for a job.
inline constexpr const char* kJobExits =
    "  the job's own code; 128 + N when signal N killed it\n"
    "  2    a mistake in what was asked for (or the job's own 2)\n"
    "  124  it ran longer than its --timeout\n"
    "  125  Berth or the machine failed it, or no agent answers\n"
    "  126  the command is not executable; 127: not found\n"
    "  130  it was canceled\n";

}  // namespace berth::cli
