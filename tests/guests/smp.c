/*
 * smp: the other processors that the MADT names start by INIT and SIPI, in real mode where they are told to; they count together
 * exactly, take IPIs, and drop translations when asked. With one processor there is nothing to do, and that is right too.
 */
#include "lib/guest.h"

enum {
	APS = 7, COUNT = 20000, IPI = V_FREE, SHOOT = V_FREE + 1, IPIS = 50, SHOTS = 20, STEPS = 4000,
};
#define WINDOW 0x200000000ull
#define RIGHTS (PTE_P | PTE_W | PTE_U)

enum job { JOB_NONE, JOB_COUNT, JOB_HALT, JOB_WATCH, JOB_STORM, JOB_DEEP };

static volatile u32 started, done, counter, plain, shots, stale, job, turn, stormers, asleep, nmis;
static volatile u32 ids[APS + 2];
static unsigned others;
static u32 first;

static void add(volatile u32 *to, u32 n) { __atomic_fetch_add(to, n, __ATOMIC_SEQ_CST); }

static void count(void)
{
	for (unsigned i = 0; i < COUNT; i++) {
		add(&counter, 1);
		/* A ticket lock by exchange around a plain counter. */
		while (__atomic_exchange_n(&turn, 1, __ATOMIC_ACQUIRE))
			relax();
		plain++;
		__atomic_store_n(&turn, 0, __ATOMIC_RELEASE);
	}
}

/* Reads the window until the job is over; its translation is dropped only when the shoot-down asks. */
static void watch(void)
{
	irqs_on();
	while (job == JOB_WATCH)
		(void)*(volatile u32 *)WINDOW;
	irqs_off();
}

/* Interrupts the first processor again and again. */
static void storm(void)
{
	add(&stormers, 1);
	while (job == JOB_STORM) {
		u32 before = ipis_taken;
		lapic_icr(first, IPI);
		while (job == JOB_STORM && ipis_taken == before)
			relax();
	}
}

/* A halt with interrupts off: only an NMI ends it. */
static void sleep_deep(void)
{
	add(&asleep, 1);
	__asm__ volatile("cli\nhlt" : : : "memory");
}

/* What INIT must leave alone, and what it must clear. */
static const u64 star_key = 0x0123456789abcdef, breakpoint_key = 0x400000;
static volatile u64 star_before, breakpoint_before;

static void ap_main(void)
{
	u32 last = JOB_NONE;

	star_before = rdmsr(MSR_STAR);
	breakpoint_before = read_dr0();
	wrmsr(MSR_STAR, star_key);
	write_dr0(breakpoint_key);
	traps_load();
	lapic_enable();
	ids[started] = lapic_id();
	add(&started, 1);
	for (;;) {
		if (job == last) {
			relax();
			continue;
		}
		last = job;
		if (last == JOB_COUNT)
			count();
		if (last == JOB_HALT)
			while (job == JOB_HALT)
				wait_irq();
		if (last == JOB_WATCH)
			watch();
		if (last == JOB_STORM)
			storm();
		if (last == JOB_DEEP)
			sleep_deep();
		if (last != JOB_NONE)
			add(&done, 1);
	}
}

static volatile u32 wanted;

static void on_shoot(struct regs *r)
{
	(void)r;
	invlpg((void *)WINDOW);
	if (*(volatile u32 *)WINDOW != wanted)
		add(&stale, 1);
	add(&shots, 1);
	lapic_eoi();
}

static void together(void)
{
	u32 all = (others + 1) * COUNT;

	done = 0;
	job = JOB_COUNT;
	count();
	check("all come to the end of counting", reaches(&done, others));
	check_equal("LOCK XADD loses nothing", counter, all);
	check_equal("nor does a lock by XCHG", plain, all);
}

static void interrupt(void)
{
	bool each = true;

	handlers[IPI] = take_ipi;
	done = 0;
	job = JOB_HALT;
	for (unsigned i = 0; i < IPIS; i++)
		for (unsigned k = 0; k < others; k++) {
			u32 before = ipis_taken;
			lapic_icr(ids[k], IPI);
			each = each && reaches(&ipis_taken, before + 1);
		}
	check("every IPI to a halted processor arrives", each);
	check_equal("no IPI comes twice", ipis_taken, IPIS * others);
	lapic_icr(0, ICR_OTHERS | IPI);
	check("one to all others too", reaches(&ipis_taken, (IPIS + 1) * others));
	job = JOB_NONE;
	lapic_icr(0, ICR_OTHERS | IPI);
	check("they leave their halt", reaches(&done, others));
}

static void shoot_down(void)
{
	volatile u32 *page[2] = { page_alloc(), page_alloc() };
	bool each = true;

	*page[0] = 0;
	map(WINDOW, (word)page[0], RIGHTS, 1);
	handlers[SHOOT] = on_shoot;
	done = 0;
	job = JOB_WATCH;
	for (unsigned i = 1; i <= SHOTS; i++) {
		volatile u32 *next = page[i & 1];
		*next = i;
		wanted = i;
		map(WINDOW, (word)next, RIGHTS, 1);
		lapic_icr(0, ICR_OTHERS | SHOOT);
		each = each && reaches(&shots, i * others);
	}
	check("every shoot-down is answered", each);
	check_equal("and nobody reads the old page after it", stale, 0);
	job = JOB_NONE;
	check("the watchers come back", reaches(&done, others));
}

static volatile u32 steps;

static void on_step(struct regs *r)
{
	(void)r;
	steps++;
}

/* A trap after an instruction must not be lost to an interrupt that comes with it: CPUID in single steps, each counted. */
static void steps_in_storm(void)
{
	u32 n = STEPS;

	handlers[V_DB] = on_step;
	done = steps = 0;
	job = JOB_STORM;
	check("all come to the storm", reaches(&stormers, others));
	irqs_on();
	__asm__ volatile("pushfq\norq $0x100, (%%rsp)\npopfq\n"
	                 "1: xorl %%eax, %%eax\ncpuid\ndecl %0\njnz 1b\n"
	                 "pushfq\nandq $~0x100, (%%rsp)\npopfq" : "+S"(n) : : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	irqs_off();
	job = JOB_NONE;
	check("the storm ends", reaches(&done, others));
	check_equal("no step is lost to an interrupt", steps, 4 * STEPS + 3);
	handlers[V_DB] = NULL;
}

static void on_nmi(struct regs *r)
{
	(void)r;
	add(&nmis, 1);
}

static void deep(void)
{
	handlers[V_NMI] = on_nmi;
	idt_set(V_NMI, stub_table[V_NMI], 0, GATE_INTERRUPT, IST_NONE); /* only the first processor has a TSS */
	done = 0;
	job = JOB_DEEP;
	check("all halt with interrupts off", reaches(&asleep, others));
	delay_us(20000);
	lapic_icr(0, ICR_OTHERS | IPI);
	delay_us(20000);
	check_equal("an IPI does not end such a halt", done, 0);
	lapic_icr(0, ICR_OTHERS | ICR_NMI);
	check("an NMI does", reaches(&done, others));
	check_equal("  once each", nmis, others);
	job = JOB_NONE;
}

/* INIT takes a processor out of whatever it does; it can be started once more. */
static void init_again(void)
{
	u32 before = started, seen = ipis_taken;

	job = JOB_HALT; /* open for interrupts */
	delay_us(20000);
	lapic_icr(ids[0], ICR_INIT | ICR_LEVEL);
	delay_us(10000);
	lapic_icr(ids[0], IPI);
	delay_us(20000);
	check_equal("after INIT a processor takes no interrupt", ipis_taken, seen);
	job = JOB_NONE;
	check("it starts once more", ap_start(ids[0], ap_main, &started) && ids[before] == ids[0]);
	check_equal("INIT left STAR alone", star_before, star_key);
	check_equal("  and cleared DR0", breakpoint_before, 0);
}

static void startup_again(void)
{
	for (unsigned k = 0; k < others; k++)
		lapic_icr(ids[k], ICR_STARTUP | AP_PAGE);
	delay_us(20000);
	check_equal("a processor that runs does not take a SIPI", started, others);
}

GUEST(smp)
{
	const struct platform *p = platform();
	u32 self;
	bool right = true;

	lapic_enable();
	tsc_per_ms();
	self = lapic_id();
	check("the MADT names this processor", p->processors >= 1);
	for (unsigned i = 0; i < p->processors && others < APS; i++) {
		if (p->apic_id[i] == self)
			continue;
		right = right && ap_start(p->apic_id[i], ap_main, &started) && started == others + 1 && ids[others] == p->apic_id[i];
		others++;
	}
	say("# %u other processors, %u started\n", others, started);
	if (!others) {
		skip("the others", "there are none");
		return;
	}
	if (!check("each starts, and knows its name", right))
		return;
	first = self;
	startup_again();
	together();
	interrupt();
	steps_in_storm();
	deep();
	shoot_down();
	init_again();
}
