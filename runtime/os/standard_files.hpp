#pragma once

namespace berth::os {

// Opens those of descriptors 0, 1 and 2 that are closed on /dev/null: first in every main. Else the next files that
// the program opens take their numbers, and what is meant for standard output or error goes into a socket, a database,
// a job's log. Ends the program where that cannot be done.
void open_standard_files();

}  // namespace berth::os
