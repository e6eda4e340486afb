/*
 * paravirt: KVM's paravirtual calls and the steal time page, as a stock kernel uses them and as a hostile one would.
 *
 * The vCPUs share one processor of the host (LIST), so that while this one runs every other one that could run is "preempted": what a
 * kernel under KVM is told by luck is here the same on every run.
 */
#include "lib/kvm.h"

enum { APS = 7, IPI = V_FREE, POKE, SETTLE_US = 5000, SPIN_MS = 40, WAYS = 9, LAPS = 100 };
#define MSR_SYSTEM_TIME 0x4b564d01u
#define WINDOW         0x200000000ull
#define RIGHTS         (PTE_P | PTE_W | PTE_U)

enum { STEAL_TIME = 5, PV_UNHALT = 7, PV_TLB_FLUSH = 9, PV_SEND_IPI = 11, PV_SCHED_YIELD = 13 };
enum { POLL_IRQ = 1, KICK = 5, SEND_IPI = 10, YIELD = 11 };
enum { EPERM = -1, EINVAL = -22, ENOSYS = -1000 };

/* 0, 1, the most that means something, one more, and where widths end. */
static const u64 values[] = { 0, 1, 11, 12, 1ull << 31, 1ull << 32, 1ull << 52, 1ull << 63, ~0ull };
_Static_assert(sizeof values / sizeof values[0] == WAYS, "");

/* `job` counts the jobs given above its low byte: a job is told from the one before even by whoever saw nothing between the two. */
enum job { JOB_NONE, JOB_SLEEP, JOB_HALT, JOB_SPIN, JOB_WATCH, JOB_RING, JOB = 0xff };

static volatile u32 started, done, job, nmis, awake, go, asleep, woken, rounds, turn;
static volatile u32 ids[APS + 2];
static volatile u64 seen;
static unsigned others;
static struct steal *page[APS + 2]; /* by APIC ID */

static void add(volatile u32 *to, u32 n) { __atomic_fetch_add(to, n, __ATOMIC_SEQ_CST); }

static s64 hypercall(u64 number, u64 a0, u64 a1, u64 a2, u64 a3)
{
	u64 answer;

	__asm__ volatile("vmmcall" : "=a"(answer) : "a"(number), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	return (s64)answer;
}

/* --- the other processors ------------------------------------------------------------------------------ */

/* When it may: halts with interrupts off, twice. */
static void sleep_twice(void)
{
	add(&awake, 1);
	while (!go)
		relax();
	for (unsigned i = 0; i < 2; i++) {
		add(&asleep, 1);
		__asm__ volatile("cli\nhlt" : : : "memory");
		add(&woken, 1);
	}
}

static void watch(u32 mine)
{
	while (job == mine) {
		seen = *(volatile u64 *)WINDOW;
		add(&rounds, 1);
	}
}

/*
 * The turn goes round; who waits for it halts with interrupts off, as a waiter for a lock does, and whoever gives it away kicks. There
 * is no second kick: one that is lost ends the game.
 */
static void go_round(u32 self)
{
	u32 all = others + 1;

	for (unsigned i = 0; i < LAPS; i++) {
		while (turn % all != self)
			__asm__ volatile("cli\nhlt" : : : "memory");
		if (i % 16 == 0)
			outb(0x80, 0);
		turn++;
		hypercall(KICK, 0, turn % all, 0, 0);
	}
}

static void ap_main(void)
{
	u32 last = JOB_NONE;

	traps_load();
	lapic_enable();
	ids[started] = lapic_id();
	if (page[0])
		wrmsr(MSR_STEAL_TIME, (word)page[lapic_id()] | KVM_ENABLE);
	add(&started, 1);
	for (;;) {
		if (job == last) {
			wait_irq();
			continue;
		}
		last = job;
		enum job what = last & JOB;
		if (what == JOB_SLEEP && lapic_id() == ids[0])
			sleep_twice();
		if (what == JOB_RING)
			go_round(lapic_id());
		while (what == JOB_HALT && job == last)
			wait_irq();
		while (what == JOB_SPIN && job == last)
			;
		if (what == JOB_WATCH && lapic_id() == ids[0])
			watch(last);
		if (what != JOB_NONE)
			add(&done, 1);
	}
}

static void on_nmi(struct regs *r)
{
	(void)r;
	add(&nmis, 1);
}

static void on_poke(struct regs *r)
{
	(void)r;
	lapic_eoi();
}

/* Between jobs all halt. */
static void give(enum job what)
{
	job = (job & ~(u32)JOB) + JOB + 1 + what;
	lapic_icr(0, ICR_OTHERS | POKE);
}

static void begin(enum job what)
{
	done = 0;
	give(what);
}

static bool over(void)
{
	give(JOB_NONE);
	return reaches(&done, others);
}

/* --- calls ------------------------------------------------------------------------------------------------ */

/* Number by number, then value by value in each argument. The other processors are still waiting for INIT. */
static void boundaries(u32 self)
{
	u32 unknown = 0, quiet = 0, reach = 0, refused = 0;

	for (unsigned i = 0; i < WAYS; i++) {
		u64 v = values[i];
		if (v != POLL_IRQ && v != YIELD)
			unknown += hypercall(v, v, v, v, v) == ENOSYS;
		quiet += hypercall(POLL_IRQ, v, v, v, v) == 0;
		quiet += hypercall(KICK, v, v == self ? APS + 1 : v, v, v) == 0;
		quiet += hypercall(YIELD, v, v, v, v) == 0;
		/* from the APIC ID v on: this one answers if it is among them */
		reach += hypercall(SEND_IPI, ~0ull, ~0ull, v, IPI) == (v <= self);
		/* only this one's bit reaches anybody */
		reach += hypercall(SEND_IPI, v, v, self, IPI) == (s64)(v & 1);
		/* an ICR of no known kind; or vector 0 of the fixed kind, which no APIC accepts, but which is sent */
		s64 answer = hypercall(SEND_IPI, 1, 0, self, v);
		refused += answer == (v == ~0ull ? EINVAL : 1);
	}
	check_equal("what is no call: -ENOSYS", unknown, WAYS - 2);
	check_equal("poll, kick and yield take any argument", quiet, 3 * WAYS);
	check_equal("send-IPI reaches those that there are", reach, 2 * WAYS);
	check_equal("  and takes any ICR", refused, WAYS);
	for (u64 bit = 0; bit < 64; bit++) {
		bool kind = bit == 8 || bit == 9; /* lowest priority, SMI; bit 10 makes an NMI */
		bool where = bit == 11 || bit == 18 || bit == 19;
		if ((kind || where) && hypercall(SEND_IPI, 1, 0, self, 1ull << bit) != EINVAL)
			check_equal("an ICR that send-IPI refuses", bit, ~0ull);
	}
	check("send-IPI from a number that would wrap reaches nobody", hypercall(SEND_IPI, 0, ~0ull, 0ull - 64, IPI) == 0 &&
	      hypercall(SEND_IPI, 0, ~0ull, (1ull << 32) - 64, IPI) == 0);
	irqs_on();
	delay_us(100);
	irqs_off();
	check("its interrupt came", ipis_taken > 0);
}

static s64 answer_user;

static void call_user(void *arg)
{
	(void)arg;
	answer_user = hypercall(POLL_IRQ, 0, 0, 0, 0);
}

static void call_user_prefixed(void *arg)
{
	(void)arg;
	__asm__ volatile(".byte 0xf3, 0x0f, 0x01, 0xd9" : "=a"(answer_user) : "a"((u64)POLL_IRQ) : "memory");
}

static void ring3(void)
{
	bool trapped = guarded_user(call_user, NULL);

	check("a call from ring 3 returns", !trapped);
	check_equal("  with -EPERM", (u64)answer_user, (u64)EPERM);
	answer_user = 0;
	trapped = guarded_user(call_user_prefixed, NULL);
	check("VMGEXIT is VMMCALL where memory is not encrypted", !trapped && answer_user == EPERM);
}

static u64 hypercall_32(u64 a, u64 b, u64 c, u64 d, u64 si)
{
	u64 answer;

	__asm__ volatile("pushq $0x18\n"
	                 "leaq 1f(%%rip), %%rdi\n"
	                 "pushq %%rdi\n"
	                 "lretq\n"
	                 ".code32\n"
	                 "1: vmmcall\n"
	                 "ljmp $0x08, $2f\n"
	                 ".code64\n"
	                 "2:"
	                 : "=a"(answer) : "a"(a), "b"(b), "c"(c), "d"(d), "S"(si) : "rdi", "memory", "cc");
	return answer;
}

/* In 32-bit code the upper halves are whatever 64-bit code left. */
static void ring0_32(u32 self)
{
	u64 dirt = 0xdeadbeefull << 32, answer, before = ipis_taken;

	answer = hypercall_32(dirt | SEND_IPI, dirt | 1, dirt, dirt | self, dirt | IPI);
	check_equal("32-bit code is answered, whatever stands in the upper halves", answer, 1);
	answer = hypercall_32(dirt | 77, dirt, dirt, dirt, dirt);
	check_equal("  in 32 bits", answer, (u32)ENOSYS);
	irqs_on();
	delay_us(100);
	irqs_off();
	check_equal("  its interrupt came", ipis_taken, before + 1);
}

/* --- unhalt ------------------------------------------------------------------------------------------------ */

static void unhalt(void)
{
	go = 1;
	begin(JOB_SLEEP);
	check("another halts with interrupts off", reaches(&asleep, 1));
	delay_us(SETTLE_US);
	lapic_icr(ids[0], IPI);
	delay_us(SETTLE_US);
	check_equal("an IPI does not end that", woken, 0);
	check_equal("a kick is answered", (u64)hypercall(KICK, 0, ids[0], 0, 0), 0);
	check("  and ends it", reaches(&woken, 1) && reaches(&asleep, 2));
	delay_us(SETTLE_US);
	check_equal("  once", woken, 1);
	hypercall(KICK, 0, ids[0], 0, 0);
	check("the next one too", reaches(&woken, 2));
	check("it comes back", over());
	/* A kick may come first: the lock was given away before its waiter went to sleep. */
	awake = asleep = woken = go = 0;
	begin(JOB_SLEEP);
	check("one is awake", reaches(&awake, 1));
	hypercall(KICK, 0, ids[0], 0, 0);
	hypercall(KICK, 0, ids[0], 0, 0);
	go = 1;
	check("a kick before the halt is remembered", reaches(&woken, 1) && reaches(&asleep, 2));
	delay_us(SETTLE_US);
	check_equal("  two are one", woken, 1);
	hypercall(KICK, 0, ids[0], 0, 0);
	check("it comes back again", reaches(&woken, 2) && over());
}

static void ring(u32 self)
{
	turn = 0;
	begin(JOB_RING);
	go_round(self);
	check("no kick is lost on the way round", over());
	check_equal("  all have had their turns", turn, (others + 1) * LAPS);
}

/* --- interrupts ------------------------------------------------------------------------------------------- */

static void send_ipis(u32 self)
{
	u32 all = others + 1, before = ipis_taken;

	begin(JOB_HALT);
	delay_us(SETTLE_US);
	before = ipis_taken;
	check_equal("send-IPI to 128 numbers reaches all that exist", (u64)hypercall(SEND_IPI, ~0ull, ~0ull, 0, IPI), all);
	irqs_on();
	check("  each once", reaches(&ipis_taken, before + all));
	irqs_off();
	delay_us(SETTLE_US);
	check_equal("  exactly", ipis_taken, before + all);
	check_equal("to all but the first", (u64)hypercall(SEND_IPI, ~0ull, 0, 1, IPI), all - 1);
	irqs_on();
	check("  they come", reaches(&ipis_taken, before + 2 * all - 1));
	irqs_off();
	check_equal("to numbers that nobody has", (u64)hypercall(SEND_IPI, ~0ull << all, ~0ull, 0, IPI), 0);
	check_equal("an NMI to the others", (u64)hypercall(SEND_IPI, ~(1ull << self), ~0ull, 0, ICR_NMI), others);
	check("  arrives", reaches(&nmis, others));
	check("they leave their halt", over());
}

/* --- the page ---------------------------------------------------------------------------------------------- */

static void bad_pages(void)
{
	u64 good = (word)page[0] | KVM_ENABLE, got = 0;
	u32 refused = 0;

	for (unsigned bit = 1; bit <= 5; bit++)
		refused += !wrmsr_safe(MSR_STEAL_TIME, good | 1u << bit);
	check_equal("steal time: reserved bits give #GP", refused, 5);
	check("  so does an address beyond RAM", !wrmsr_safe(MSR_STEAL_TIME, 0x40000000ull | KVM_ENABLE));
	check("  or of the local APIC", !wrmsr_safe(MSR_STEAL_TIME, LAPIC_ADDRESS | KVM_ENABLE));
	refused = 0;
	for (unsigned i = 4; i < WAYS; i++)
		refused += !wrmsr_safe(MSR_STEAL_TIME, (values[i] & ~63ull) | KVM_ENABLE);
	check_equal("  or beyond everything", refused, WAYS - 4);
	check("off, it takes any", wrmsr_safe(MSR_STEAL_TIME, 0x40000000ull));
	check("it takes a page of RAM", wrmsr_safe(MSR_STEAL_TIME, good) && rdmsr_safe(MSR_STEAL_TIME, &got));
	check_equal("  and gives it back", got, good);
}

/* The scale of KVM's clock, for spans of TSC ticks: what the stolen time is measured with, too. */
static u64 nanoseconds(u64 ticks)
{
	static volatile struct { u32 version, pad; u64 tsc, ns; u32 multiplier; int8_t shift; u8 flags[3]; } clock __attribute__((aligned(32)));

	wrmsr(MSR_SYSTEM_TIME, (word)&clock | KVM_ENABLE);
	ticks = clock.shift >= 0 ? ticks << clock.shift : ticks >> -clock.shift;
	return (u64)((unsigned __int128)ticks * clock.multiplier >> 32);
}

static void competition(u32 self)
{
	u64 begun, most, before[APS + 1], stolen[APS + 1];
	u32 right = 0, even = 0, preempted = 0, own;

	begin(JOB_SPIN);
	delay_us(SETTLE_US);
	for (unsigned i = 0; i <= others; i++)
		before[i] = page[i]->steal;
	begun = rdtsc();
	while (rdtsc() - begun < tsc_per_ms() * SPIN_MS)
		;
	most = rdtsc() - begun;
	own = page[self]->preempted;
	for (unsigned i = 0; i < others; i++)
		preempted += page[ids[i]]->preempted == PREEMPTED;
	for (unsigned i = 0; i <= others; i++)
		stolen[i] = page[i]->steal - before[i];
	most = nanoseconds(most);
	check("they stop", over());
	check_equal("who runs is not preempted", own, 0);
	check_equal("who could run and does not, is", preempted, others);
	for (unsigned i = 0; i <= others; i++) {
		say("# %u: %u us of %u stolen\n", i, (u32)(stolen[i] / 1000), (u32)(most / 1000));
		right += stolen[i] > most / 2 && stolen[i] <= most;
		even += !(page[i]->version & 1) && page[i]->version && !page[i]->flags;
	}
	check_equal("time that others had is stolen time", right, others + 1);
	check_equal("versions are even", even, others + 1);
}

enum { FLUSHES = 20 };

static void flush(void)
{
	u64 *place[2] = { page_alloc(), page_alloc() };
	u32 deferred = 0, fresh = 0, taken = 0;

	*place[0] = 0;
	map(WINDOW, (word)place[0], RIGHTS, 1);
	rounds = 0;
	begin(JOB_WATCH);
	check("another reads the page", reaches(&rounds, 1));
	for (unsigned i = 1; i <= FLUSHES; i++) {
		u64 *next = place[i & 1];
		*next = i;
		*pte_at(read_cr3(), WINDOW, 1) = (word)next | RIGHTS;
		deferred += ask_flush(page[ids[0]]);
		u32 now = rounds;
		if (!reaches(&rounds, now + 2))
			break;
		fresh += seen == i;
		taken += !(page[ids[0]]->preempted & FLUSH);
	}
	check_equal("a flush is left for one that is preempted", deferred, FLUSHES);
	check_equal("  it reads the new page when it goes on", fresh, FLUSHES);
	check_equal("  and the wish is gone", taken, FLUSHES);
	check("the watcher comes back", over());
}

/* ------------------------------------------------------------------------------------------------------------ */

static void offers(u32 features, bool several)
{
	u32 calls = 1u << PV_UNHALT | 1u << PV_SEND_IPI | 1u << PV_SCHED_YIELD;
	bool steal = features >> STEAL_TIME & 1;

	check_equal("the calls are offered to several processors", features & calls, several ? calls : 0);
	check("the flush is offered with the page", (features >> PV_TLB_FLUSH & 1) == (several && steal));
	check("no asynchronous page faults", !(features & (1u << 4 | 1u << 10 | 1u << 14)));
	check_equal("no promise of a processor each", cpuid(KVM_BASE + 1, 0).d, 0);
}

static bool start_others(u32 self)
{
	const struct platform *p = platform();

	for (unsigned i = 0; i < p->processors && others < APS; i++)
		if (p->apic_id[i] != self && ap_start(p->apic_id[i], ap_main, &started))
			others++;
	return check_equal("all others start", others, p->processors - 1);
}

GUEST(paravirt)
{
	u32 features, self;
	bool steal;

	if (!is_kvm()) {
		skip("KVM's paravirtual calls", "the hypervisor has no such leaf");
		return;
	}
	lapic_enable();
	tsc_per_ms();
	self = lapic_id();
	handlers[IPI] = take_ipi;
	handlers[POKE] = on_poke;
	handlers[V_NMI] = on_nmi;
	idt_set(V_NMI, stub_table[V_NMI], 0, GATE_INTERRUPT, IST_NONE); /* only the first processor has a TSS */
	features = cpuid(KVM_BASE + 1, 0).a;
	steal = features >> STEAL_TIME & 1;
	offers(features, platform()->processors > 1);
	boundaries(self);
	ring3();
	ring0_32(self);
	if (steal) {
		for (unsigned i = 0; i <= APS; i++)
			page[i] = page_alloc();
		bad_pages();
	} else {
		check("no steal time: no MSR", !wrmsr_safe(MSR_STEAL_TIME, 0));
	}
	if (platform()->processors == 1 || !start_others(self))
		return;
	unhalt();
	ring(self);
	send_ipis(self);
	if (steal) {
		competition(self);
		flush();
	}
}
