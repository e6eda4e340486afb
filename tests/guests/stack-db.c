/*
 * stack-db: exceptions whose delivery raises the next one: a write breakpoint on the very stack that #DB's frame goes to, and an
 * exception handler that faults at once, deeper and deeper. A processor may never come out of the first by itself: whoever runs it
 * must still be able to end it or go on.
 */
#include "lib/guest.h"

enum { DR7_FIXED = 0x400, DR7_L0_WRITE_8 = 0x1 | 0x9 << 16, ENOUGH = 100 };

static u8 stack[8192] __attribute__((aligned(64)));
static volatile u32 delivered;

static void on_db(struct regs *r)
{
	delivered++;
	if (delivered >= ENOUGH) {
		write_dr7(DR7_FIXED);
		unwind(r);
	}
}

/* The frame's first word, which every delivery on this stack writes. */
static void start(void *arg)
{
	volatile u64 *frame = (volatile u64 *)(stack + sizeof stack) - 1;

	(void)arg;
	__asm__ volatile("movq %%rsp, %%rbx\nmovq %0, %%rsp\npush %%rax\nint3\nmovq %%rbx, %%rsp"
	                 : : "r"(frame + 1) : "rbx", "memory");
}

static void deeper(void *arg)
{
	(void)arg;
	__asm__ volatile("ud2");
}

static volatile u32 depth;

static void on_ud(struct regs *r)
{
	(void)r;
	if (++depth < ENOUGH)
		__asm__ volatile("ud2");
	/* Back out through every level. */
	r->ip += 2;
}

GUEST(stack_db)
{
	handlers[V_DB] = on_db;
	handlers[V_BP] = on_db;
	write_dr0((word)(stack + sizeof stack) - 8);
	write_dr7(DR7_FIXED | DR7_L0_WRITE_8);
	expect_none("a breakpoint on the stack of its own frames", start, NULL);
	write_dr7(DR7_FIXED);
	say("# %u deliveries\n", delivered);
	handlers[V_DB] = handlers[V_BP] = NULL;
	handlers[V_UD] = on_ud;
	expect_none("an exception in its own handler, 100 deep", deeper, NULL);
	check_equal("  and out again", depth, ENOUGH);
}
