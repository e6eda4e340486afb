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

void pic_disable(void);

/* ---- local APIC (apic.c) ---- */

enum apic_register {
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0, APIC_ESR = 0x280, APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310, APIC_LVT_TIMER = 0x320, APIC_LVT_THERMAL = 0x330, APIC_LVT_PERF = 0x340, APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370, APIC_TIMER_COUNT = 0x380, APIC_TIMER_NOW = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
};
enum apic_command { /* low half of the ICR */
	APIC_FIXED = 0, APIC_NMI = 4 << 8, APIC_INIT = 5 << 8, APIC_STARTUP = 6 << 8, APIC_ASSERT = 1 << 14, APIC_LEVEL = 1 << 15,
	APIC_PENDING = 1 << 12, APIC_ALL_BUT_SELF = 3 << 18,
};

/* This processor's APIC. The first call, on the boot processor, fixes the mode: x2APIC where there is one. */
void apic_init_cpu(u64 lapic_address);
/* Where the xAPIC's registers are mapped, once the early identity map goes. No effect in x2APIC mode. */
void apic_set_base(void *mapped);
u32 apic_read(enum apic_register r);
void apic_write(enum apic_register r, u32 value);
u32 apic_id(void);
void apic_eoi(void);
/* `command`: enum apic_command, the vector in its low byte. */
void apic_send(u32 to_apic_id, u32 command);

/* ---- I/O APICs (ioapic.c) ---- */

/* Masks every input of every I/O APIC. */
void ioapic_init(const struct boot_info *boot);
void ioapic_set_base(u32 index, void *mapped);
/* The ISA line `irq` as its override in the MADT says; false: no I/O APIC has it. */
bool ioapic_route_isa(const struct boot_info *boot, u32 irq, u32 vector, u32 to_apic_id);

/* ---- time (timer.c) ---- */

/* Measures TSC and APIC timer against the PM timer, or the PIT; fills tsc_khz. Some 10 ms. */
void timer_calibrate(struct boot_info *boot);
void timer_init_cpu(void);
void timer_interrupt(struct cpu *c);
u64 tsc_khz(void);
/* Busy; before interrupts and for hardware that needs a pause. */
void delay_us(u32 microseconds);
/* Whether the TSC runs on through HLT at the rate it has otherwise; interrupts on for some ms. */
bool timer_tsc_survives_halt(void);

/* ---- other processors (ipi.c) ---- */

/* NMI to all others: for panic. */
void ipi_nmi_others(void);

#endif
