/*
 * exceptions32: what only 32-bit protected mode has: segment limits, BOUND, INTO and the task
 * switch.
 */
#include "lib/guest.h"

#define PROBE(fn, text)                                                                          \
	static void fn(void *arg)                                                                \
	{                                                                                        \
		__asm__ volatile(MARK text : : "D"(arg) : "eax", "ecx", "edx", "memory", "cc");  \
	}
#define PROBE_AFTER(fn, text)                                                                         \
	static void fn(void *arg)                                                                     \
	{                                                                                             \
		__asm__ volatile(MARK_AFTER(text) : : "D"(arg) : "eax", "ecx", "edx", "memory", "cc"); \
	}

enum { TSS_SPARE = 0x40, VECTOR = V_FREE, IDT_BIT = 2, BASE_LIMIT = 0xfff };

/* --- limits -------------------------------------------------------------------------------------------------- */

static void read_limited(void *arg)
{
	__asm__ volatile("movl %1, %%fs\n" MARK "movl %%fs:(%0), %%eax\n" : : "r"(arg), "r"(SEL_LIMITED) : "eax", "memory");
}
PROBE(write_code, "movl %%eax, %%cs:(%%edi)")
PROBE(load_null_ss, "xorl %%eax, %%eax\nmovl %%eax, %%ss")

static void limits(void)
{
	static u8 here[4];

	expect_none("the last four bytes of a segment", read_limited, (void *)(BASE_LIMIT - 3));
	tolerate(NO_VECTOR, 0); /* TCG knows no limits, nor code that cannot be written */
	expect("#GP by a read over a limit", read_limited, (void *)(BASE_LIMIT - 2), V_GP, 0);
	tolerate(NO_VECTOR, 0);
	expect("#GP by a write to code", write_code, here, V_GP, 0);
	check("#GP by a null SS", guarded(load_null_ss, NULL) && trap.vector == V_GP && trap.error == 0);
	expected_ip = 0;
}

/* --- traps ----------------------------------------------------------------------------------------------------- */

static u32 bounds[2] = { 1, 8 };
PROBE_AFTER(into, "movl $0x7fffffff, %%eax\naddl $1, %%eax\ninto")
static void bound(void *arg)
{
	__asm__ volatile(MARK "bound %%eax, (%1)" : : "a"(arg), "r"(bounds) : "memory");
}
PROBE(undefined, ".byte 0x0f, 0x0b")
PROBE(lock_nop, ".byte 0xf0, 0x90")
PROBE(int_free, "int $0x90")

static void simple(void)
{
	expect("#OF by INTO", into, NULL, V_OF, 0);
	expect_user("#OF by INTO at CPL 3", into, NULL, V_OF, 0);
	expect("#BR by BOUND", bound, (void *)9, V_BR, 0);
	expect_none("BOUND within bounds", bound, (void *)8);
	expect_user("#BR by BOUND at CPL 3", bound, (void *)0, V_BR, 0);
	expect("#UD by UD2", undefined, NULL, V_UD, 0);
	expect("#UD by LOCK NOP", lock_nop, NULL, V_UD, 0);
	expect_user("#GP by INT n with a gate of DPL 0", int_free, NULL, V_GP, VECTOR * 8 + IDT_BIT);
	idt_absent(VECTOR);
	expect("#NP by a gate not present", int_free, NULL, V_NP, VECTOR * 8 + IDT_BIT);
	traps_init();
}

/* --- a task switch -------------------------------------------------------------------------------------------------- */

static u32 other_task[26];
static u8 other_stack[4096] __attribute__((aligned(16)));
static volatile u32 other_ran, other_nt, other_link;

__attribute__((used)) static void other_body(void)
{
	other_ran++;
	other_nt = (u32)read_flags() & FLAG_NT;
	other_link = other_task[0] & 0xffff;
}
extern char other_entry[];
__asm__(".text\nother_entry: call other_body\niret\njmp other_entry\n");

static void tss_descriptor(void)
{
	enum { EIP = 8, EFLAGS = 9, ESP = 14, ES = 18, CS = 19, SS = 20, DS = 21, FS = 22, GS = 23, IOMAP = 25 };
	u32 base = (u32)other_task, limit = sizeof other_task - 1;

	other_task[EIP] = (u32)other_entry;
	other_task[EFLAGS] = FLAG_FIXED;
	other_task[ESP] = (u32)other_stack + sizeof other_stack;
	other_task[CS] = SEL_CODE;
	other_task[SS] = other_task[DS] = other_task[ES] = other_task[FS] = other_task[GS] = SEL_DATA;
	other_task[IOMAP] = (u32)sizeof other_task << 16;
	gdt[TSS_SPARE / 8] = limit | (u64)(base & 0xffffff) << 16 | 0x89ull << 40 | (u64)(base >> 24) << 56;
}

static void call_task(void *arg)
{
	static const struct {
		u32 offset;
		u16 selector;
	} far = { 0, TSS_SPARE };

	(void)arg;
	__asm__ volatile("lcall *%0" : : "m"(far) : "memory");
}

static void tasks(void)
{
	u16 tr;

	tss_descriptor();
	for (unsigned i = 1; i <= 3; i++) {
		expect_none("a call to another task, and IRET back", call_task, NULL);
		check_equal("  it ran", other_ran, i);
		check("  nested, with the link back", other_nt && other_link == SEL_TSS);
	}
	__asm__ volatile("str %0" : "=r"(tr));
	check_equal("the task register is the first one's again", tr, SEL_TSS);
}

GUEST(exceptions32)
{
	limits();
	simple();
	tasks();
}
