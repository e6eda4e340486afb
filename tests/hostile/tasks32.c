/*
 * tasks32: hardware task switches that cannot be: to a state that is absent, short, busy or none, back by a link to
 * nothing. The processor says #NP, #TS or #GP, and the machine goes on in the old task.
 */
#include "lib/guest.h"

enum { TSS_SPARE = 0x40, WORDS = 26, LIMIT = WORDS * 4 - 1, LEAST_LIMIT = 103 };
enum { EIP = 8, EFLAGS = 9, ESP = 14, ES = 18, CS, SS, DS, FS, GS, IOMAP = 25 };
enum { ABSENT = 0x09, AVAILABLE = 0x89, BUSY = 0x8b, LDT_TYPE = 0x82 };

static u32 task[WORDS];
static u8 task_stack[4096] __attribute__((aligned(16)));
extern char task_entry[];
__asm__(".text\ntask_entry: iret\njmp task_entry\n");

static void describe(u32 type, u32 limit)
{
	u32 base = (u32)task;

	gdt[TSS_SPARE / 8] = limit | (u64)(base & 0xffffff) << 16 | (u64)type << 40 | (u64)(base >> 24) << 56;
	fill(task, 0, sizeof task);
	task[EIP] = (u32)task_entry;
	task[EFLAGS] = FLAG_FIXED;
	task[ESP] = (u32)task_stack + sizeof task_stack;
	task[CS] = SEL_CODE;
	for (unsigned i = SS; i <= GS; i++)
		task[i] = SEL_DATA;
	task[ES] = SEL_DATA;
	task[IOMAP] = (u32)sizeof task << 16;
}

static void call_far(void *selector)
{
	struct {
		u32 offset;
		u16 selector;
	} far = { 0, (u16)(u32)selector };

	__asm__ volatile("lcall *%0" : : "m"(far) : "memory");
}

/* Through the link of the first task's state, to wherever it names. */
static void iret_back(void *link)
{
	u32 base = (u32)((gdt[SEL_TSS / 8] >> 16 & 0xffffff) | gdt[SEL_TSS / 8] >> 56 << 24);

	*(volatile u32 *)base = (u32)link;
	__asm__ volatile("pushfl\norl %0, (%%esp)\npopfl\niret" : : "i"(FLAG_NT) : "memory", "cc");
}

/* The first task's state is described anew: it may have been marked. */
static bool ended_in(void (*fn)(void *), u32 arg, word vector, word error)
{
	bool right = guarded(fn, (void *)arg) && trap.vector == vector && trap.error == error;

	if (!right)
		say("  got vector %lx error %lx\n", trap.vector, trap.error);
	traps_init();
	return right;
}

GUEST(tasks32)
{
	describe(AVAILABLE, LIMIT);
	check("a task that can be", !guarded(call_far, (void *)TSS_SPARE));
	describe(ABSENT, LIMIT);
	check("#NP by one that is absent", ended_in(call_far, TSS_SPARE, V_NP, TSS_SPARE));
	describe(AVAILABLE, LEAST_LIMIT - 1);
	check("#TS by one that is too short", ended_in(call_far, TSS_SPARE, V_TS, TSS_SPARE));
	describe(AVAILABLE, 0);
	check("#TS by one of a byte", ended_in(call_far, TSS_SPARE, V_TS, TSS_SPARE));
	describe(BUSY, LIMIT);
	check("#GP by one that is busy", ended_in(call_far, TSS_SPARE, V_GP, TSS_SPARE));
	check("#GP by oneself", ended_in(call_far, SEL_TSS, V_GP, SEL_TSS));
	describe(LDT_TYPE, LIMIT);
	check("#GP by a table", ended_in(call_far, TSS_SPARE, V_GP, TSS_SPARE));
	check("#GP by a selector beyond the table", ended_in(call_far, SEL_BEYOND, V_GP, SEL_BEYOND));
	describe(AVAILABLE, LIMIT);
	check("#TS by IRET through a link to nothing", ended_in(iret_back, 0, V_TS, 0));
	check("#TS by IRET to a task that does not wait", ended_in(iret_back, TSS_SPARE, V_TS, TSS_SPARE));
	check("#TS by IRET to data", ended_in(iret_back, SEL_DATA, V_TS, SEL_DATA));
	describe(AVAILABLE, LIMIT);
	check("a task that can be, as at first", !guarded(call_far, (void *)TSS_SPARE));
}
