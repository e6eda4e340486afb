/*
 * step: RFLAGS.TF set just before the call and cleared by the handler after it.
 */
#define _GNU_SOURCE
#include "sim/step.h"

#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100

static struct {
	void (*look)(void *context, u64 n);
	void *context;
	u64 n;
	volatile bool over;
} stepping;

static void trapped(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	ucontext_t *at = context;
	if (stepping.over)
		at->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	else
		stepping.look(stepping.context, stepping.n++);
}

static void trap_flag_on(void)
{
	__asm__ volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" : : "i"(TRAP_FLAG) : "memory", "cc");
}

u64 step_through(void (*f)(void *argument), void *argument, void (*look)(void *context, u64 n), void *context)
{
	struct sigaction action = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO }, before;
	sigaction(SIGTRAP, &action, &before);
	stepping.look = look;
	stepping.context = context;
	stepping.n = 0;
	stepping.over = false;
	trap_flag_on();
	f(argument);
	stepping.over = true; /* the next trap clears the flag */
	__asm__ volatile("nop");
	sigaction(SIGTRAP, &before, NULL);
	return stepping.n;
}
