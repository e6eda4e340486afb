/* hostile-exits: every processor does nothing but what leaves the guest: CPUID, ports, registers of the model, calls to nobody, faults of them. */
#include "lib/guest.h"

enum { PORT_POST = 0x80, PORT_PIC_MASK = 0x21, MSR_NONE = 0x12345, ROUND = 64 };

static void call_nobody(void *arg)
{
	(void)arg;
	__asm__ volatile("vmmcall" : : "a"(-1l) : "memory");
}

static void begin(unsigned n)
{
	say("hostile-exits: %u processors\n", n);
}

static void storm(void)
{
	for (;;) {
		for (unsigned i = 0; i < ROUND; i++)
			cpuid(i, 0);
		for (unsigned i = 0; i < ROUND; i++)
			outb(PORT_POST, (u8)i);
		for (unsigned i = 0; i < ROUND; i++)
			inb(PORT_PIC_MASK);
		for (unsigned i = 0; i < ROUND; i++)
			(void)rdmsr(MSR_APIC_BASE);
		write_cr4(read_cr4());
	}
}

/* Faults are for one processor: the guard has one stack. */
static void storm_first(void)
{
	static volatile u32 first;
	u64 v;

	if (__atomic_fetch_add(&first, 1, __ATOMIC_SEQ_CST))
		storm();
	for (unsigned i = 0; i < ROUND; i++) {
		guarded(call_nobody, NULL);
		rdmsr_safe(MSR_NONE, &v);
	}
	storm();
}

GUEST(hostile_exits)
{
	on_every_processor(storm_first, begin);
}
