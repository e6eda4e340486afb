/*
 * step: RFLAGS.TF, set by the handler of a signal that we send ourselves, cleared by the first trap after the end.
 */
#define _GNU_SOURCE
#include "sim/step.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100

static struct {
	bool (*look)(void *context, u64 n);
	void *context;
	u64 n;
	const u8 *next, *last;
	volatile bool begins, over;
} stepping;

static void trapped(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	ucontext_t *at = context;
	greg_t *flags = &at->uc_mcontext.gregs[REG_EFL];
	if (stepping.begins) {
		stepping.begins = false;
		*flags |= TRAP_FLAG;
		return;
	}
	stepping.last = stepping.next;
	stepping.next = (const u8 *)at->uc_mcontext.gregs[REG_RIP];
	if (stepping.over || !stepping.look(stepping.context, stepping.n++))
		*flags &= ~(greg_t)TRAP_FLAG;
}

u64 step_through(void (*f)(void *argument), void *argument, bool (*look)(void *context, u64 n), void *context)
{
	struct sigaction action = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO }, before;
	sigaction(SIGTRAP, &action, &before);
	stepping.look = look;
	stepping.context = context;
	stepping.n = 0;
	stepping.next = stepping.last = NULL;
	stepping.over = false;
	stepping.begins = true;
	raise(SIGTRAP);
	f(argument);
	stepping.over = true; /* the next trap clears the flag */
	sigaction(SIGTRAP, &before, NULL);
	return stepping.n;
}

const u8 *step_next(void)
{
	return stepping.next;
}

const u8 *step_last(void)
{
	return stepping.last;
}

#define LOCK_PREFIX 0xf0

bool step_is_fence(const u8 *instruction)
{
	static const u8 mfence[] = { 0x0f, 0xae, 0xf0 };
	return instruction && (instruction[0] == LOCK_PREFIX || !memcmp(instruction, mfence, sizeof(mfence)));
}
