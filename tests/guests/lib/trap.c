/*
 * trap: the descriptor tables, and functions under guard.
 *
 * guard_call notes its stack; an exception that nobody handles writes itself into `trap` and returns to that stack
 * by an IRET whose frame now names guard_recover. So a test may fault anywhere, at any level, and go on.
 */
#include "guest.h"

enum { TSS_AVAILABLE = 9, TSS_WORDS = 32, STACK = 8192, GATES = 256, EXCEPTIONS = 32 };

int guard_call(void (*fn)(void *), void *arg);
_Noreturn void user_enter(const word *frame);
void user_return(void);
void guard_recover(void);
void trap_arrived(struct regs *r);
void guest_start(void);

extern word guard_sp, user_arg, boot_magic, boot_info;

volatile struct trap trap;
volatile word expected_ip;
handler_fn *handlers[GATES];

static u8 stack_ring0[STACK] __attribute__((aligned(16)));
#ifdef __x86_64__
static u8 stack_df[STACK] __attribute__((aligned(16)));
static u8 stack_nmi[STACK] __attribute__((aligned(16)));
static u8 stack_spare[STACK] __attribute__((aligned(16)));
#endif
static u8 stack_user[STACK] __attribute__((aligned(16)));
static u32 tss[TSS_WORDS];
static struct {
	u32 low, high;
#ifdef __x86_64__
	u32 upper, zero;
#endif
} idt[GATES] __attribute__((aligned(16)));
struct table_pointer idt_pointer = { sizeof idt - 1, (word)idt };

void idt_set(unsigned vector, word entry, unsigned dpl, unsigned type, unsigned ist)
{
	idt[vector].low = (u32)SEL_CODE << 16 | (entry & 0xffff);
	idt[vector].high = ((u32)entry & 0xffff0000u) | 0x8000u | dpl << 13 | type << 8 | ist;
#ifdef __x86_64__
	idt[vector].upper = (u32)(entry >> 32);
#endif
}

void idt_absent(unsigned vector)
{
	idt[vector].high &= ~0x8000u;
}

word ring0_stack_top(void)
{
	return (word)(stack_ring0 + STACK);
}

static void tss_init(void)
{
	word base = (word)tss;
	u32 limit = sizeof tss - 1;
#ifdef __x86_64__
	enum { RSP0 = 1, IST1 = 9, IOMAP = 25 };
	u64 tops[3] = { (u64)(stack_df + STACK), (u64)(stack_nmi + STACK), (u64)(stack_spare + STACK) };
	u64 rsp0 = ring0_stack_top();

	tss[RSP0] = (u32)rsp0;
	tss[RSP0 + 1] = (u32)(rsp0 >> 32);
	for (unsigned i = 0; i < 3; i++) {
		tss[IST1 + 2 * i] = (u32)tops[i];
		tss[IST1 + 2 * i + 1] = (u32)(tops[i] >> 32);
	}
#else
	enum { ESP0 = 1, SS0 = 2, IOMAP = 25 };
	tss[ESP0] = ring0_stack_top();
	tss[SS0] = SEL_DATA;
#endif
	tss[IOMAP] = (u32)sizeof tss << 16; /* beyond the limit: no port for CPL 3 */
	gdt[SEL_TSS / 8] = (u64)(limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(0x80 | TSS_AVAILABLE) << 40 |
	                   (u64)((base >> 24) & 0xff) << 56;
#ifdef __x86_64__
	gdt[SEL_TSS / 8 + 1] = base >> 32;
#endif
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

void traps_load(void)
{
	__asm__ volatile("lidt %0" : : "m"(idt_pointer));
}

void traps_init(void)
{
	for (unsigned v = 0; v < GATES; v++)
		idt_set(v, stub_table[v], 0, GATE_INTERRUPT, IST_NONE);
	idt_set(V_BP, stub_table[V_BP], 3, GATE_INTERRUPT, IST_NONE);
	idt_set(V_OF, stub_table[V_OF], 3, GATE_INTERRUPT, IST_NONE);
	idt_set(V_SYSCALL, stub_table[V_SYSCALL], 3, GATE_INTERRUPT, IST_NONE);
#ifdef __x86_64__
	idt_set(V_DF, stub_table[V_DF], 0, GATE_INTERRUPT, IST_DF);
	idt_set(V_NMI, stub_table[V_NMI], 0, GATE_INTERRUPT, IST_NMI);
#endif
	tss_init();
	traps_load();
}

void unwind(struct regs *r)
{
	r->ip = (word)guard_recover;
	r->cs = SEL_CODE;
	r->flags = FLAG_FIXED;
	r->ax = 1;
#ifdef __x86_64__
	r->ss = SEL_DATA; /* long mode takes these two in any case; guard_recover sets the stack itself */
	r->sp = guard_sp;
#endif
}

static void record(const struct regs *r)
{
	trap.vector = r->vector;
	trap.error = r->error;
	trap.ip = r->ip;
	trap.cs = r->cs;
	trap.flags = r->flags;
#ifdef __x86_64__
	trap.sp = r->sp;
#endif
	trap.cr2 = read_cr2();
	trap.count++;
}

void trap_arrived(struct regs *r)
{
	if (handlers[r->vector]) {
		handlers[r->vector](r);
		return;
	}
	if (r->vector == V_SYSCALL) {
		unwind(r);
		r->ax = 0;
		return;
	}
	record(r);
	if (guard_sp) {
		unwind(r);
		return;
	}
	say("FAIL %s: unexpected vector %lx error %lx at %lx:%lx flags %lx cr2 %lx\n", guest_name, r->vector, r->error,
	    r->cs, r->ip, r->flags, trap.cr2);
	exit_with(1);
}

bool guarded(void (*fn)(void *), void *arg)
{
	trap.vector = NO_VECTOR;
	trap.error = 0;
	return guard_call(fn, arg) != 0;
}

static void enter_frame(void *frame)
{
	user_enter(frame);
}

bool guarded_user_at(word selector, word ip, word sp, word flags)
{
	word frame[5] = { ip, selector, flags | FLAG_FIXED, sp, SEL_UDATA };

	return guarded(enter_frame, frame);
}

bool guarded_user(void (*fn)(void *), void *arg)
{
	word *sp = (word *)(stack_user + STACK);

#ifndef __x86_64__
	*--sp = (word)arg;
#endif
	*--sp = (word)user_return;
	user_arg = (word)arg;
	return guarded_user_at(SEL_UCODE, (word)fn, (word)sp, 0);
}

static bool tolerating;
static word tolerated_vector, tolerated_error;

void tolerate(word vector, word error)
{
	tolerating = true;
	tolerated_vector = vector;
	tolerated_error = error;
}

static bool is_tolerated(bool trapped)
{
	bool was = tolerating;

	tolerating = false;
	if (!was)
		return false;
	return trapped ? trap.vector == tolerated_vector && trap.error == tolerated_error : tolerated_vector == NO_VECTOR;
}

bool trap_was(const char *name, bool trapped, word vector, word error)
{
	word ip = expected_ip;
	bool right = trapped && trap.vector == vector && trap.error == error && (!ip || trap.ip == ip);
	bool tolerated = is_tolerated(trapped);

	expected_ip = 0;
	if (!right && tolerated)
		return check_noted(name, "as TCG");
	check(name, right);
	if (right)
		return true;
	if (!trapped)
		say("  no exception, wanted vector %lx\n", vector);
	else
		say("  got vector %lx error %lx ip %lx, want %lx error %lx ip %lx (cr2 %lx)\n", trap.vector, trap.error,
		    trap.ip, vector, error, ip, trap.cr2);
	return false;
}

bool expect(const char *name, void (*fn)(void *), void *arg, word vector, word error)
{
	expected_ip = 0;
	return trap_was(name, guarded(fn, arg), vector, error);
}

bool expect_user(const char *name, void (*fn)(void *), void *arg, word vector, word error)
{
	expected_ip = 0;
	if (!trap_was(name, guarded_user(fn, arg), vector, error))
		return false;
	/* Without an exception, as tolerated, there is no frame to look at. */
	return trap.vector == NO_VECTOR || (trap.cs & 3) == 3 || check("  came from CPL 3", false);
}

bool expect_none(const char *name, void (*fn)(void *), void *arg)
{
	bool trapped = guarded(fn, arg);

	if (trapped)
		say("  got vector %lx error %lx ip %lx cr2 %lx\n", trap.vector, trap.error, trap.ip, trap.cr2);
	return check(name, !trapped);
}

struct msr_access {
	u32 msr;
	bool write;
	u64 value;
};

static void access_msr(void *arg)
{
	struct msr_access *a = arg;

	if (a->write)
		wrmsr(a->msr, a->value);
	else
		a->value = rdmsr(a->msr);
}

bool rdmsr_safe(u32 msr, u64 *v)
{
	struct msr_access a = { msr, false, 0 };
	bool trapped = guarded(access_msr, &a);

	*v = a.value;
	return !trapped;
}

bool wrmsr_safe(u32 msr, u64 v)
{
	struct msr_access a = { msr, true, v };

	return !guarded(access_msr, &a);
}

/* The first C of every guest. */
void guest_start(void)
{
	say_init();
	traps_init();
	pic_init();
	boot_read();
	guest_main();
	finish();
}
