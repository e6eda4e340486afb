/*
 * debugregs: DR0 to DR3, DR6 and DR7 are the guest's own over every exit, and break where they say: on instructions, writes, reads,
 * I/O, and on access to themselves.
 */
#include "lib/guest.h"

enum {
	DR7_FIXED = 0x400, DR7_GD = 1 << 13, DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_HITS = 0xf, EXECUTE = 0, WRITE = 1, IO = 2, ACCESS = 3,
};

static volatile u64 watched[4] __attribute__((aligned(64)));

static word dr7(unsigned n, unsigned kind, unsigned length)
{
	return DR7_FIXED | 1u << (2 * n) | (word)(kind | (length - 1) << 2) << (16 + 4 * n);
}

static void exits(void)
{
	for (unsigned i = 0; i < 20; i++) {
		cpuid(0, 0);
		inb(PORT_COM1 + 7);
		rdmsr(MSR_APIC_BASE);
		lapic_read(APIC_ID);
	}
}

static void kept(void)
{
	write_dr0(0x1111111111111110);
	write_dr1(0x2222222222222220);
	write_dr2(0xffff888888888880);
	write_dr3(0x0000444444444440);
	exits();
	check("DR0 to DR3 over exits", read_dr0() == 0x1111111111111110 && read_dr1() == 0x2222222222222220 &&
	      read_dr2() == 0xffff888888888880 && read_dr3() == 0x0000444444444440);
	write_dr7(DR7_FIXED | 0xff0 << 16 | 3 << 8);
	exits();
	check_equal("DR7 over exits", read_dr7() & 0xffff0300, 0x0ff00300);
	write_dr7(DR7_FIXED);
	write_dr6(0xffff4ff5);
	exits();
	check_equal("DR6 over exits", read_dr6() & (DR6_HITS | DR6_BS), 5 | DR6_BS);
	write_dr6(0);
	check_equal("DR6's fixed bits", read_dr6() & 0xffff1ff0, 0xffff0ff0);
	check_equal("DR7's fixed bit", read_dr7(), DR7_FIXED);
}

static void touch_write(void *arg)
{
	__asm__ volatile(MARK_AFTER("movb $1, (%0)") : : "r"(arg) : "memory");
}
static void touch_read(void *arg)
{
	__asm__ volatile(MARK_AFTER("movb (%0), %%al") : : "r"(arg) : "rax", "memory");
}
static void touch_wide(void *arg)
{
	__asm__ volatile(MARK_AFTER("movq %%rax, (%0)") : : "r"(arg) : "memory");
}

static bool hit(const char *name, void (*fn)(void *), volatile void *at, unsigned n)
{
	write_dr6(0);
	return expect(name, fn, (void *)at, V_DB, 0) && check_equal("  DR6", read_dr6() & (DR6_HITS | DR6_BS), 1u << n);
}

static void missed(const char *name, void (*fn)(void *), volatile void *at)
{
	write_dr6(0);
	expect_none(name, fn, (void *)at);
	expected_ip = 0;
}

static void data(void)
{
	volatile u8 *b = (volatile u8 *)watched;

	write_dr1((word)b);
	write_dr7(dr7(1, WRITE, 1));
	hit("a write of the byte", touch_write, b, 1);
	missed("a write beside it", touch_write, b + 1);
	missed("a read of it", touch_read, b);
	exits();
	hit("a write after exits", touch_write, b, 1);
	write_dr2((word)b + 8);
	write_dr7(dr7(2, ACCESS, 4));
	hit("a read of the last of four", touch_read, b + 11, 2);
	hit("a wide write over them", touch_wide, b + 5, 2);
	missed("a read behind them", touch_read, b + 12);
	write_dr3((word)b + 16);
	write_dr7(DR7_FIXED | 1u << 6 | 0x9u << 28);
	hit("a write of the last of eight", touch_write, b + 23, 3);
	write_dr7(DR7_FIXED);
	missed("a write with all off", touch_write, b + 16);
	write_dr7(dr7(1, WRITE, 1));
	write_dr6(0);
	check("a hit at CPL 3", guarded_user(touch_write, (void *)b) && trap.vector == V_DB && trap.ip == expected_ip);
	expected_ip = 0;
	write_dr7(DR7_FIXED);
}

static void execute(void)
{
	extern char debug_nop[];

	write_dr0((word)debug_nop);
	write_dr7(dr7(0, EXECUTE, 1));
	hit("an instruction breakpoint", (void (*)(void *))(word)debug_nop, NULL, 0);
	check_equal("  RIP is the instruction's", trap.ip, (word)debug_nop);
	write_dr7(DR7_FIXED);
}
__asm__(".text\n.globl debug_nop\ndebug_nop: nop\nret\n");

/* RF in the frame lets the instruction run. */
static u32 breaks;

static void on_break(struct regs *r)
{
	breaks++;
	r->flags |= FLAG_RF;
	if (breaks > 5)
		unwind(r);
}

static void repeat_insn(void *arg)
{
	static const char text[200]; /* several exits' worth */
	word from = (word)text, left = sizeof text;

	(void)arg;
	__asm__ volatile("call debug_rep" : "+S"(from), "+c"(left) : "d"(0x80) : "memory");
}
__asm__(".text\n.globl debug_rep\ndebug_rep: rep outsb\nret\n");

static void resume(void)
{
	extern char debug_nop[], debug_rep[];

	breaks = 0;
	handlers[V_DB] = on_break;
	write_dr0((word)debug_nop);
	write_dr7(dr7(0, EXECUTE, 1));
	expect_none("RF resumes over a breakpoint", (void (*)(void *))(word)debug_nop, NULL);
	check_equal("  which came once", breaks, 1);
	breaks = 0;
	write_dr0((word)debug_rep);
	if (guarded(repeat_insn, NULL))
		(void)check_noted("RF resumes over a breakpoint at a REP, to its end", "as TCG"); /* it stops at each iteration */
	else
		check_equal("RF resumes over a breakpoint at a REP, to its end", breaks, 1);
	write_dr7(DR7_FIXED);
	handlers[V_DB] = NULL;
}

static void read_dr7_insn(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "movq %%dr7, %%rax" : : : "rax", "memory");
}
static void read_dr4_insn(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK "movq %%dr4, %%rax" : : : "rax", "memory");
}

static void detect(void)
{
	write_dr6(0);
	write_dr7(DR7_FIXED | DR7_GD);
	tolerate(NO_VECTOR, 0); /* TCG has no general detect */
	expect("#DB by reading DR7 with GD", read_dr7_insn, NULL, V_DB, 0);
	if (trap.vector == V_DB) {
		check("  DR6 says BD", read_dr6() & DR6_BD);
		check("  and GD is clear then", !(read_dr7() & DR7_GD));
	}
	write_dr7(DR7_FIXED);
	write_dr6(0);
	expect_none("DR4 is DR6 without DE", read_dr4_insn, NULL);
	write_cr4(read_cr4() | CR4_DE);
	expect("#UD by DR4 with DE", read_dr4_insn, NULL, V_UD, 0);
	write_cr4(read_cr4() & ~(word)CR4_DE);
}

static void io_insn(void *arg)
{
	(void)arg;
	__asm__ volatile(MARK_AFTER("outb %%al, $0x80") : : : "memory");
}

static void io(void)
{
	write_cr4(read_cr4() | CR4_DE);
	write_dr0(0x80);
	write_dr7(dr7(0, IO, 1));
	/* Under a hypervisor that emulates the port the hit may be its to give: TCG below loses it. */
	write_dr6(0);
	tolerate(NO_VECTOR, 0);
	expect("an I/O breakpoint", io_insn, NULL, V_DB, 0);
	write_dr7(DR7_FIXED);
	write_cr4(read_cr4() & ~(word)CR4_DE);
}

/* A single step over instructions that exit must trap after each. */
static u32 steps;
static word step_ip[16];

static void on_step(struct regs *r)
{
	if (steps < 16)
		step_ip[steps] = r->ip;
	steps++;
}

static void stepping(void)
{
	extern char step_0[], step_1[], step_2[], step_3[];

	steps = 0;
	handlers[V_DB] = on_step;
	__asm__ volatile("pushfq\norq $0x100, (%%rsp)\npopfq\n"
	                 "cpuid\n.globl step_0\nstep_0: inb $0x80, %%al\n.globl step_1\nstep_1: outb %%al, $0x80\n"
	                 ".globl step_2\nstep_2: movl $0x1b, %%ecx\nrdmsr\n.globl step_3\nstep_3: pushfq\nandq $~0x100, (%%rsp)\npopfq\n"
	                 : : "a"(0) : "rbx", "rcx", "rdx", "memory", "cc");
	handlers[V_DB] = NULL;
	check("a step after CPUID", step_ip[0] == (word)step_0);
	check("a step after IN", step_ip[1] == (word)step_1);
	check("a step after OUT", step_ip[2] == (word)step_2);
	check("a step after RDMSR", step_ip[4] == (word)step_3);
	check_equal("no step is lost or doubled", steps, 8);
	write_dr6(0);
}

static void stepping_strings(void)
{
	extern char string_0[], string_1[];
	static const char text[3];
	word from = (word)text, left = sizeof text;

	steps = 0;
	handlers[V_DB] = on_step;
	__asm__ volatile("pushfq\norq $0x100, (%%rsp)\npopfq\n"
	                 ".globl string_0\nstring_0: rep outsb\n.globl string_1\nstring_1: pushfq\nandq $~0x100, (%%rsp)\npopfq\n"
	                 : "+S"(from), "+c"(left) : "d"(0x80) : "memory", "cc");
	handlers[V_DB] = NULL;
	check("a step after each iteration of REP OUTS", step_ip[0] == (word)string_0 && step_ip[1] == (word)string_0);
	check("the last one leads on", step_ip[2] == (word)string_1 && left == 0);
	check_equal("no step is lost or doubled", steps, 6);
	write_dr6(0);
}

GUEST(debugregs)
{
	kept();
	data();
	execute();
	resume();
	io();
	stepping();
	stepping_strings();
	detect(); /* last: where GD stays set this ends the guest */
}
