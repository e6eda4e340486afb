/* machine: the parts of a PC that most guests use: CPUID's features, PIC, PIT, the local APIC, memory. */
#include "guest.h"

bool feature(u32 leaf, enum cpuid_register reg, unsigned bit)
{
	u32 max = cpuid(leaf & 0x80000000u, 0).a;
	struct leaf l;
	u32 v = 0;

	if (leaf > max || (leaf ^ max) >> 31)
		return false;
	l = cpuid(leaf, 0);
	switch (reg) {
	case IN_A: v = l.a; break;
	case IN_B: v = l.b; break;
	case IN_C: v = l.c; break;
	case IN_D: v = l.d; break;
	}
	return v >> bit & 1;
}

unsigned physical_bits(void)
{
	return cpuid(0x80000000u, 0).a >= 0x80000008u ? cpuid(0x80000008u, 0).a & 0xff : 36;
}

bool on_tcg(void)
{
	struct leaf l = cpuid(0x40000000u, 0);

	return HAS_HYPERVISOR && l.b == 0x54474354u && l.c == 0x43544743u && l.d == 0x47435447u; /* TCGTCGTCGTCG */
}

/* --- PIC and PIT -------------------------------------------------------------------------------------- */

enum {
	PIC1 = 0x20, PIC1_DATA = 0x21, PIC2 = 0xa0, PIC2_DATA = 0xa1,
	ICW1_INIT = 0x11, ICW4_8086 = 0x01, CASCADE = 2, OCW2_EOI = 0x20,
	PIT0 = 0x40, PIT2 = 0x42, PIT_COMMAND = 0x43, PIT_LOHI = 0x30, PIT_CHANNEL2 = 0x80,
	PORT_B = 0x61, GATE2 = 1, SPEAKER = 2, OUT2 = 0x20,
};

/* Line 7 or 15 without a request behind it: one that was withdrawn, or masked, a moment ago. */
static void on_spurious(struct regs *r)
{
	if (r->vector == V_PIC + 15)
		pic_eoi(0); /* the master did see the cascade */
}

void pic_init(void)
{
	handlers[V_PIC + 7] = handlers[V_PIC + 15] = on_spurious;
	outb(PIC1, ICW1_INIT);
	outb(PIC1_DATA, V_PIC);
	outb(PIC1_DATA, 1 << CASCADE);
	outb(PIC1_DATA, ICW4_8086);
	outb(PIC2, ICW1_INIT);
	outb(PIC2_DATA, V_PIC + 8);
	outb(PIC2_DATA, CASCADE);
	outb(PIC2_DATA, ICW4_8086);
	pic_mask(0xffff);
}

void pic_mask(u16 mask)
{
	outb(PIC1_DATA, (u8)mask);
	outb(PIC2_DATA, (u8)(mask >> 8));
}

void pic_eoi(unsigned irq)
{
	if (irq >= 8)
		outb(PIC2, OCW2_EOI);
	outb(PIC1, OCW2_EOI);
}

void pit_set(unsigned mode, u16 count)
{
	outb(PIT_COMMAND, (u8)(PIT_LOHI | mode << 1));
	outb(PIT0, (u8)count);
	outb(PIT0, (u8)(count >> 8));
}

/* Ticks of the TSC while channel 2 counts; too many when someone else had the processor meanwhile. */
static u32 tsc_in(u16 count)
{
	enum { PATIENCE = 10000000 };
	u64 start;

	outb(PORT_B, (u8)((inb(PORT_B) & ~SPEAKER & 0xf) | GATE2));
	outb(PIT_COMMAND, PIT_CHANNEL2 | PIT_LOHI); /* mode 0: OUT rises at the end of the count */
	outb(PIT2, (u8)count);
	start = rdtsc(); /* before it starts to count: then no measure is too short, and the shortest is the best */
	outb(PIT2, (u8)(count >> 8));
	for (unsigned i = 0; i < PATIENCE && !(inb(PORT_B) & OUT2); i++)
		relax();
	return (u32)(rdtsc() - start);
}

u64 tsc_per_ms(void)
{
	enum { MS = 2, COUNT = PIT_HZ * MS / 1000, TRIES = 10 };
	static u32 known;

	if (known)
		return known;
	known = ~0u;
	for (unsigned i = 0; i < TRIES; i++) {
		u32 took = tsc_in(COUNT) / MS;
		if (took < known)
			known = took ? took : 1;
	}
	return known;
}

static u64 us_to_tsc(u32 us)
{
	u64 per_ms = tsc_per_ms();
	/* No 64-bit division: the 32-bit guests have no library for it. */
	return per_ms * (us / 1000) + per_ms * (us % 1000) / 1024;
}

void delay_us(u32 us)
{
	u64 until = rdtsc() + us_to_tsc(us);

	while (rdtsc() < until)
		relax();
}

bool wait_change(const volatile u32 *what, u32 is, u32 ms)
{
	u64 until = rdtsc() + us_to_tsc(1000) * ms;

	while (*what == is)
		if (rdtsc() >= until)
			return false;
	return true;
}

bool wait_count(const volatile u32 *what, u32 atleast, u32 ms)
{
	u64 until = rdtsc() + us_to_tsc(1000) * ms;

	irqs_on();
	while (*what < atleast && rdtsc() < until)
		relax();
	irqs_off();
	return *what >= atleast;
}

bool reaches(const volatile u32 *what, u32 n)
{
	enum { PATIENCE_MS = 4000 };
	u64 step = us_to_tsc(1000), left = step * PATIENCE_MS, last = rdtsc();

	while (*what < n) {
		u64 now = rdtsc(), took = now - last < step ? now - last : step;
		if (took > left)
			return false;
		left -= took;
		last = now;
		relax();
	}
	return true;
}

/* --- local APIC --------------------------------------------------------------------------------------- */

enum { X2APIC_MSR = 0x800 };

bool lapic_x2(void)
{
	return HAS_X2APIC && (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2);
}

u32 lapic_id(void)
{
	return lapic_x2() ? lapic_read(APIC_ID) : lapic_read(APIC_ID) >> 24;
}

u32 lapic_read(u32 reg)
{
	if (lapic_x2())
		return (u32)rdmsr(X2APIC_MSR + reg / 16);
	return *(volatile u32 *)(uintptr_t)(LAPIC_ADDRESS + reg);
}

void lapic_write(u32 reg, u32 v)
{
	if (lapic_x2())
		wrmsr(X2APIC_MSR + reg / 16, v);
	else
		*(volatile u32 *)(uintptr_t)(LAPIC_ADDRESS + reg) = v;
}

void lapic_icr(u32 destination, u32 command)
{
	if (lapic_x2()) {
		wrmsr(X2APIC_MSR + APIC_ICR / 16, (u64)destination << 32 | command);
		return;
	}
	lapic_write(APIC_ICR_HIGH, destination << 24);
	lapic_write(APIC_ICR, command);
	for (unsigned i = 0; i < 100000 && (lapic_read(APIC_ICR) & ICR_PENDING); i++)
		relax();
}

volatile u32 ipis_taken;

void take_ipi(struct regs *r)
{
	(void)r;
	__atomic_fetch_add(&ipis_taken, 1, __ATOMIC_SEQ_CST);
	lapic_eoi();
}

void lapic_eoi(void)
{
	lapic_write(APIC_EOI, 0);
}

void lapic_enable(void)
{
	lapic_write(APIC_TPR, 0);
	lapic_write(APIC_SVR, SVR_ENABLE | V_SPURIOUS);
}

bool lapic_bit(u32 bank, unsigned vector)
{
	return lapic_read(bank + vector / 32 * 16) >> (vector % 32) & 1;
}

/* --- memory ------------------------------------------------------------------------------------------- */

void *page_alloc(void)
{
	enum { PAGES = 192 };
	static u8 pages[PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
	static unsigned used;

	if (used == PAGES) {
		say("FAIL %s: out of its own pages\n", guest_name);
		exit_with(1);
	}
	fill(pages[used], 0, PAGE_SIZE);
	return pages[used++];
}

#ifdef __x86_64__
u64 *pte_at(u64 root, u64 va, unsigned level)
{
	u64 *table = (u64 *)(root & PTE_FRAME);

	for (unsigned l = 4; l > level; l--) {
		u64 *e = &table[va >> (12 + 9 * (l - 1)) & 0x1ff];
		if (!(*e & PTE_P))
			*e = (u64)page_alloc() | PTE_P | PTE_W | PTE_U;
		table = (u64 *)(*e & PTE_FRAME);
	}
	return &table[va >> (12 + 9 * (level - 1)) & 0x1ff];
}

void map(u64 va, u64 pa, u64 flags, unsigned level)
{
	*(volatile u64 *)pte_at(read_cr3(), va, level) = pa | flags | (level > 1 ? PTE_PS : 0);
	invlpg((void *)va);
}

void map_identity(u64 from, u64 to)
{
	for (u64 at = from & ~(2 * MIB - 1); at < to; at += 2 * MIB)
		map(at, at, PTE_P | PTE_W | PTE_U, 2);
}

void protect_image(bool on)
{
	u64 *pdpt = (u64 *)(*pte_at(read_cr3(), 0, 4) & PTE_FRAME);

	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = on ? pdpt[i] & ~(u64)PTE_U : pdpt[i] | PTE_U;
	reload_cr3();
}
#endif
