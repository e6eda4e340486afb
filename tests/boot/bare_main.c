/*
 * bare_main: a ringmur_main that tries what boot/, cpu/ and irq/ give, without memory management, guests or monitors.
 *
 * Linked in place of hv/ into an image of its own (tests/boot/build-bare). Each line it logs is compared by the shell script; the last is
 * `bare: N passed, N failed`. The word `die-...` in the first module's command line picks an end to be looked at.
 */
#include "core/bits.h"
#include "x86/asm/access.h"
#include "x86/asm/insn.h"
#include "x86/boot/start.h"
#include "x86/boot/options.h"
#include "x86/cpu/power.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/stacks.h"
#include "x86/cpu/string.h"
#include "x86/irq/irq.h"

#define IMAGE_BASE 0xffffffff80000000ull
#define MS_WAIT 2000u

static const struct boot_info *machine;
static u32 passed, failed;
static _Atomic u32 arrived, answered;
static _Atomic u32 kicks[MAX_CPUS];

static void result(bool good, const char *what)
{
	if (good)
		passed++;
	else
		failed++;
	log_line("%s: %s", good ? "ok" : "FAILED", what);
}

static bool has(const char *text, const char *word)
{
	for (; *text; text++)
		if (!strncmp(text, word, strlen(word)))
			return true;
	return false;
}

/* ---- what we were told ---- */

static void print_boot(const struct boot_info *b)
{
	log_line("loader '%s' cmdline '%s'", b->loader, b->cmdline);
	for (u32 i = 0; i < b->range_count; i++)
		log_line("range %lx..%lx %s", b->range[i].first.v, b->range[i].first.v + b->range[i].bytes, b->range[i].ram ? "ram" : "reserved");
	for (u32 i = 0; i < b->module_count; i++)
		log_line("module %u: %lu bytes, '%s'", i, b->module[i].bytes, b->module[i].cmdline);
	log_line("image %lx..%lx", b->image_first.v, b->image_end.v);
	log_line("processors %u, I/O APICs %u, overrides %u, lapic %lx", b->cpu_count, b->ioapic_count, b->override_count, b->lapic_address);
	log_line("pm1a %x pm1b %x pm timer %x s5 %x", b->pm1a_control, b->pm1b_control, b->pm_timer_port, b->slp_typ_s5);
	log_line("tsc %lu kHz, %s, wall clock %lu", b->tsc_khz, b->tsc_steady ? "steady" : "not steady", b->wall_clock);
	log_line("%s: svm %d npt %d nrip %d decode %d clean %d byasid %d asids %u phys %u xcr0 %lx size %u x2apic %d deadline %d",
		 features.vendor, features.svm, features.npt, features.nrip, features.decode_assist, features.clean_bits,
		 features.flush_by_asid, features.asids, features.phys_bits, features.xcr0_mask, features.xsave_size, features.x2apic,
		 features.tsc_deadline);
}

static void test_boot(const struct boot_info *b)
{
	u64 ram = 0;
	bool sorted = true;
	for (u32 i = 0; i < b->range_count; i++) {
		ram += b->range[i].ram ? b->range[i].bytes : 0;
		sorted &= !i || b->range[i].first.v >= b->range[i - 1].first.v + b->range[i - 1].bytes;
	}
	result(b->range_count > 1 && sorted && ram > 32u << 20, "the memory map is sorted and has memory");
	result(b->cpu_count >= 1 && b->ioapic_count == 1, "processors and an I/O APIC");
	result(b->slp_typ_s5 != 0xffff && b->pm1a_control, "a way to power off");
	result(b->tsc_khz > 1000, "a calibrated TSC");
	result(b->wall_clock > 1600000000, "a wall clock");
	result(b->module_count > 0 && strlen(b->module[0].cmdline) > 0, "a module with its command line");
}

/* ---- faults with a fix-up ---- */

static void test_fixup(void)
{
	u8 here[40] = { 0 };
	u64 value = 7, msr;
	const u64 hole = 0x0000700000000000ull, guard = (u64)&cpu_stacks[0].nmi.guard;
	result(load64_or_fault(&value, &msr) && msr == 7, "a load that does not fault");
	result(!load64_or_fault((u64 *)hole, &msr) && this_cpu()->fixup.vector == VECTOR_PF && this_cpu()->fixup.address == hole,
	       "a load from a hole is fixed up and tells where");
	result(!load64_or_fault((u64 *)guard, &msr), "a guard page is not mapped");
	result(!load64_or_fault((u64 *)0x8000000000000000ull, &msr) && this_cpu()->fixup.vector == VECTOR_GP, "a load from no address is a #GP");
	result(copy_or_fault(here, (u8 *)guard - 19, 40) == 21 || copy_or_fault(here, (u8 *)guard - 19, 40) == 24, "a copy says what is left");
	result(!features.xsave || (!xsetbv_or_fault(0, 0) && this_cpu()->fixup.vector == VECTOR_GP), "XCR0 refuses to be without x87");
	value = 3;
	u64 seen = 3;
	result(cmpxchg64_or_fault(&value, &seen, 9) && value == 9 && seen == 3, "compare and exchange");
}

/* ---- ring 3 ---- */

/* mov eax, edi; add rax, rsi; syscall; ud2; jmp . */
static const u8 user_code[] __attribute__((aligned(4096))) = {
	0x89, 0xf8, 0x48, 0x01, 0xf0, 0x0f, 0x05, 0x0f, 0x0b, 0xeb, 0xfe,
	/* cli */ 0xfa, /* in al, dx */ 0xec, /* mov eax, gs; mov gs, eax; syscall */ 0x8c, 0xe8, 0x8e, 0xe8, 0x0f, 0x05,
	/* std; pushfq; or qword [rsp], 0x40000 (AC); popfq; syscall; ud2 */
	0xfd, 0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d, 0x0f, 0x05, 0x0f, 0x0b,
};
enum { USER_AT_SYSCALL = 0, USER_AT_UD2 = 7, USER_AT_LOOP = 9, USER_AT_CLI = 11, USER_AT_IN = 12, USER_AT_GS = 13, USER_AT_FLAGS = 19 };
#define USER_BASE 0x400000000000ull
#define USER_STACK (USER_BASE + 0x3000)

static u64 user_tables[3][512] __attribute__((aligned(4096)));
static u8 user_stack[4096] __attribute__((aligned(4096)));
extern u64 boot_pml4[];

static u64 physical(const void *p) { return (u64)p - IMAGE_BASE; }

/* One page of code, one of stack, in the lower half. */
static void map_user(void)
{
	const u64 user_table = 7, user_code_page = 5, user_stack_page = 7;
	for (u32 i = 0; i < 2; i++)
		user_tables[i][0] = physical(user_tables[i + 1]) | user_table;
	user_tables[2][0] = physical(user_code) | user_code_page;
	user_tables[2][2] = physical(user_stack) | user_stack_page | (features.nx ? 1ull << 63 : 0);
	u64 *top = early_at(hpa(physical(boot_pml4)));
	top[USER_BASE >> 39 & 511] = physical(user_tables[0]) | user_table;
}

static void test_user(void)
{
	struct user_regs r = { .rdi = 40, .rsi = 2, .rip = USER_BASE + USER_AT_SYSCALL, .rsp = USER_STACK, .rbx = 0x1234, .r15 = 0x5678 };
	map_user();
	u32 exit = user_run(&r);
	result(exit == USER_SYSCALL && r.rax == 42 && r.rip == USER_BASE + USER_AT_UD2 && r.rcx == r.rip, "ring 3 calls");
	result(r.rbx == 0x1234 && r.r15 == 0x5678 && r.rsp == USER_STACK && (r.rflags & RFLAGS_IF), "its registers are kept");
	exit = user_run(&r); /* by SYSRET */
	result(exit == VECTOR_UD && r.rip == USER_BASE + USER_AT_UD2, "#UD comes out of ring 3");
	r.rip = USER_BASE + USER_AT_CLI;
	result(user_run(&r) == VECTOR_GP, "ring 3 cannot clear IF");
	r.rip = USER_BASE + USER_AT_IN;
	result(user_run(&r) == VECTOR_GP, "ring 3 has no ports");
	r.rip = 0xffffffff80200000ull;
	result(user_run(&r) == VECTOR_GP, "an RIP beyond the lower half");
	r.rip = USER_BASE + 0x1000;
	exit = user_run(&r);
	result(exit == VECTOR_PF && this_cpu()->user_fault_address == USER_BASE + 0x1000 && (this_cpu()->user_fault_code & 4), "#PF tells where");
	r.rip = USER_BASE + USER_AT_GS;
	result(user_run(&r) == USER_SYSCALL && this_cpu() == &cpus[0], "ring 3 loads GS, ours survives");
	r.rip = USER_BASE + USER_AT_FLAGS;
	result(user_run(&r) == USER_SYSCALL && !(read_rflags() & (RFLAGS_AC | RFLAGS_DF | RFLAGS_IF)) && (r.rflags & RFLAGS_DF),
	       "ring 3's flags stay there after a call");
	result(user_run(&r) == VECTOR_UD && !(read_rflags() & (RFLAGS_AC | RFLAGS_DF | RFLAGS_IF)) && (r.rflags & RFLAGS_AC),
	       "and after an exception");
}

static void test_user_timer(void)
{
	struct user_regs r = { .rip = USER_BASE + USER_AT_LOOP, .rsp = USER_STACK, .rcx = 1, .r11 = 2 };
	timer_arm(tsc_now() + machine->tsc_khz);
	u32 exit = user_run(&r);
	result(exit == USER_INTERRUPT && (this_cpu()->events & CPU_TIMER), "the timer takes ring 3 back");
	result(r.rip == USER_BASE + USER_AT_LOOP && r.rcx == 1 && r.r11 == 2, "at an instruction, RCX and R11 kept");
	this_cpu()->events = 0;
}

/* ---- time ---- */

static bool wait_event(u32 event, u32 ms)
{
	u64 end = tsc_now() + machine->tsc_khz * ms;
	while (!(this_cpu()->events & event) && tsc_now() < end)
		interrupts_take();
	bool came = this_cpu()->events & event;
	this_cpu()->events &= ~event;
	return came;
}

static void test_timer(void)
{
	u64 start = tsc_now();
	timer_arm(start + 3 * machine->tsc_khz);
	cpu_idle();
	result(wait_event(CPU_TIMER, MS_WAIT) && tsc_now() - start >= 3 * machine->tsc_khz, "a timer of 3 ms, not early");
	timer_arm(1);
	result(wait_event(CPU_TIMER, MS_WAIT), "a deadline that is past");
	timer_arm(tsc_now() + machine->tsc_khz);
	timer_arm(~0ull);
	result(!wait_event(CPU_TIMER, 4), "a timer that was taken back");
}

/* ---- other processors ---- */

void hv_kick(struct cpu *c)
{
	kicks[c->id]++;
}

void hv_logged(void) {}

static volatile bool bombing, bomb_done;
static volatile u32 bombs;

/* NMIs to the boot processor, which meanwhile goes in and out of ring 3: they come while GS is either's. */
static void bomb(struct cpu *c)
{
	while (!bombing)
		pause();
	while (bombing) {
		apic_send(cpus[0].apic_id, APIC_NMI | APIC_ASSERT);
		bombs++;
		for (volatile u32 i = 0; i < 1000 + c->id; i++)
			;
		if (bombs % 100 == 0)
			pause(); /* where processors take turns (-icount) it ends this one's */
	}
	bomb_done = true;
}

static void test_nmi(void)
{
	bool good = true;
	apic_send(cpus[0].apic_id, APIC_NMI | APIC_ASSERT);
	bombing = true;
	for (u32 i = 0; i < 3000 || (cpu_total > 1 && bombs < 300); i++) {
		struct user_regs r = { .rdi = i, .rsi = 2, .rip = USER_BASE + USER_AT_SYSCALL, .rsp = USER_STACK };
		good &= user_run(&r) == USER_SYSCALL && r.rax == i + 2;
		good &= user_run(&r) == VECTOR_UD;
		if (i % 500 == 0)
			pause();
	}
	bombing = false;
	while (cpu_total > 1 && !bomb_done)
		pause();
	result(good && this_cpu() == &cpus[0], "NMIs while going in and out of ring 3");
}

static void other_main(struct cpu *c)
{
	arrived++;
	while (!(c->events & CPU_KICK))
		cpu_idle();
	timer_arm(tsc_now() + machine->tsc_khz);
	while (!(c->events & CPU_TIMER))
		cpu_idle();
	answered++;
	if (c->id == 1)
		bomb(c);
	for (;;)
		cpu_idle();
}

static bool wait_for(_Atomic u32 *value, u32 wanted)
{
	u64 end = tsc_now() + machine->tsc_khz * MS_WAIT;
	while (*value < wanted && tsc_now() < end)
		pause();
	return *value == wanted;
}

static void test_others(void)
{
	u8 *low = early_at(hpa(0x8000));
	u8 before = low[0];
	smp_start(machine, other_main);
	result(cpu_total == machine->cpu_count && wait_for(&arrived, cpu_total - 1), "all processors came");
	result(low[0] == before, "the page they came through is as it was");
	for (u32 i = 1; i < cpu_total; i++)
		kick_cpu(i);
	result(wait_for(&answered, cpu_total - 1), "they answer a kick and have timers");
	test_nmi();
	kick_cpu(0);
	result(wait_event(CPU_KICK, MS_WAIT) && kicks[0] == 1, "a kick to oneself");
	log_line("tsc %s on %u processors", machine->tsc_steady ? "steady" : "not steady", cpu_total);
}

/* ---- the rest ---- */

static void test_xsave(void)
{
	static u8 area[8192] __attribute__((aligned(64))), back[8192] __attribute__((aligned(64)));
	result(features.xsave_size >= 512 && features.xsave_size <= sizeof(area), "the size of the extended state");
	area[160] = 0x5a; /* XMM0 */
	area[24] = 0x80;  /* MXCSR as after reset */
	area[25] = 0x1f;
	if (features.xsave) {
		area[512] = 3; /* XSTATE_BV: x87 and SSE */
		xrstor64(area, features.xcr0_mask);
		xsave64(back, features.xcr0_mask);
	} else {
		fxrstor64(area);
		fxsave64(back);
	}
	result(back[160] == 0x5a && back[24] == 0x80 && back[25] == 0x1f, "extended state goes out and comes back");
}

static void test_console(void)
{
	static const char text[] = "console: hello\n";
	console_write(text, sizeof(text) - 1);
	char typed[8];
	u32 count = 0;
	if (!has(machine->cmdline, "name=type"))
		return;
	if (wait_event(CPU_CONSOLE, MS_WAIT))
		count = console_read(typed, sizeof(typed));
	result(count >= 1 && typed[0] == 'x', "what is typed arrives");
}

static void test_string(void)
{
	char a[32] = "0123456789abcdef", b[32];
	memmove(a + 3, a, 16);
	memset(b, 'z', sizeof(b));
	memcpy(b, a, 19);
	result(!memcmp(b, "0120123456789abcdefz", 20) && memcmp("a", "b", 1) < 0 && !memcmp(a, b, 0) && strlen("abc") == 3 &&
	       strcmp("ab", "abc") < 0 && !strncmp("abx", "aby", 2), "strings");
}

static __attribute__((noinline)) u64 dig(u64 depth)
{
	volatile u8 room[512];
	room[depth % 512] = 1;
	return depth > 1u << 30 ? room[0] : dig(depth + 1) + room[0];
}

static void die(const char *how)
{
	if (has(how, "die-fault"))
		*(volatile u64 *)0x0000600000000000ull = 1;
	if (has(how, "die-check"))
		CHECK(machine == NULL);
	if (has(how, "die-stack"))
		log_line("%lx", dig(0));
	if (has(how, "die-panic"))
		panic("asked for by the test, number %d", 42);
}

_Noreturn void ringmur_main(struct boot_info *boot)
{
	machine = boot;
	print_boot(boot);
	test_boot(boot);
	test_string();
	test_fixup();
	test_xsave();
	test_timer();
	test_user();
	test_user_timer();
	test_others();
	test_console();
	log_line("bare: %u passed, %u failed", passed, failed);
	if (boot->module_count)
		die(boot->module[0].cmdline);
	power_off();
}
