#pragma once

// A supervisor that is a container's first process shares its user database with the job: the job may be root there.
// So the launch directory and the contract's files belong to a user that nobody is (os::kNobodysOwn), the supervisor
// acts on files as that user, and the job, whoever it is, has no capability that would get it past that.

#include <string>

namespace berth::shim {

// By the agent, before the container is made: gives them away. Nothing happens where this process may not.
void set_apart(const std::string& directory);
// By the supervisor, first of all: acts as the directory's owner from now on, where set_apart() has been there.
void act_apart(const std::string& directory);
// By the job's process before it changes its user: whether its supervisor does.
bool acts_apart();
// By the job's process: none from now on, whatever it executes (with no_new_privs). False with errno.
bool drop_capabilities();

}  // namespace berth::shim
