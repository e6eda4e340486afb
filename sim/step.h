/*
 * step: runs a function one machine instruction at a time, and lets someone look (or act, as another processor would) between
 * any two. An interleaving is then an input of a test, not luck. By the trap flag: x86-64 hosts.
 */
#ifndef SIM_STEP_H
#define SIM_STEP_H

#include "abi/types.h"

/* Calls `look(context, n)` before each instruction of f(argument), n counting from 0, until it answers false (each step costs
 * the host two system calls' worth); then f runs on freely. Returns how often it was called. `look` runs in a signal handler on
 * the same stack: it must not take what f may hold. */
u64 step_through(void (*f)(void *argument), void *argument, bool (*look)(void *context, u64 n), void *context);
/* The bytes of the instruction that runs next; of the one that ran last. */
const u8 *step_next(void);
const u8 *step_last(void);
/* Does it make all earlier stores of its processor visible (a locked instruction or MFENCE)? */
bool step_is_fence(const u8 *instruction);

#endif
