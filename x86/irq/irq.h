/*
 * irq: interrupts of the host. A handler acknowledges and leaves a bit in cpu->events; all else is the scheduler's.
 */
#ifndef X86_IRQ_IRQ_H
#define X86_IRQ_IRQ_H

#include "x86/boot/boot.h"
#include "x86/cpu/cpu.h"

enum vector {
	VECTOR_PIC = 0x20,      /* 0x20 to 0x2f: the 8259s, masked; what still comes is spurious */
	VECTOR_PIC_END = 0x30,
	VECTOR_SERIAL = 0x40,   /* the console's UART */
	VECTOR_TIMER = 0xf0,
	VECTOR_KICK = 0xf1,
	VECTOR_APIC_ERROR = 0xfe,
	VECTOR_SPURIOUS = 0xff, /* the low four bits are ones on old APICs */
};

/* From the entries in asm/; interrupts off. */
void interrupt_dispatch(u32 vector);
/* Called by the handler of VECTOR_KICK after CPU_KICK is set. hv/ may give one; the default does nothing. */
void hv_kick(struct cpu *c);

/* ---- local APIC (apic.c) ---- */

enum apic_register {
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0, APIC_ESR = 0x280, APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310, APIC_LVT_TIMER = 0x320, APIC_LVT_PERF = 0x340, APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370, APIC_TIMER_COUNT = 0x380, APIC_TIMER_NOW = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
};
enum apic_command { /* low half of the ICR */
	APIC_FIXED = 0, APIC_NMI = 4 << 8, APIC_INIT = 5 << 8, APIC_STARTUP = 6 << 8, APIC_ASSERT = 1 << 14, APIC_LEVEL = 1 << 15,
	APIC_PENDING = 1 << 12, APIC_ALL_BUT_SELF = 3 << 18,
};

extern bool apic_x2; /* the mode, the same on all processors */
/* Where the xAPIC's registers are mapped, once the early identity map goes. No effect in x2APIC mode. */
void apic_set_base(void *mapped);
u32 apic_read(enum apic_register r);
void apic_write(enum apic_register r, u32 value);
u32 apic_id(void);
void apic_eoi(void);
/* `command`: enum apic_command, the vector in its low byte. */
void apic_send(u32 to_apic_id, u32 command);

/* ---- time (timer.c) ---- */

#define LVT_MASKED 0x10000u
#define TIMER_NEVER (~0ull)

extern struct timer_rates { u64 khz, count_per_tsc; /* 32.32: APIC timer counts in one TSC tick */ } timer_rates;
void timer_interrupt(struct cpu *c);
/* The option probe=: within so many ticks an interrupt is always due; and by how many one came late so far, at most. */
extern u64 timer_probe, timer_late;
/* Busy; before interrupts and for hardware that needs a pause. */
void delay_us(u32 microseconds);

/* ---- other processors (ipi.c) ---- */

/* NMI to all others: for panic. */
void ipi_nmi_others(void);

#endif
