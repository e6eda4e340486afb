/*
 * step: runs a function one machine instruction at a time, and lets someone look (or act, as another processor would) between
 * any two. An interleaving is then an input of a test, not luck. By the trap flag: x86-64 hosts.
 */
#ifndef SIM_STEP_H
#define SIM_STEP_H

#include "abi/types.h"

/* Calls `look(context, n)` before each instruction of f(argument), n counting from 0. Returns how many there were. `look` runs
 * in a signal handler on the same stack: it must not take what f may hold. */
u64 step_through(void (*f)(void *argument), void *argument, void (*look)(void *context, u64 n), void *context);

#endif
