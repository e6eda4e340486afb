/*
 * irq: the wires from devices to the interrupt controllers.
 *
 * An ISA interrupt reaches both the PIC and the I/O APIC, the timer's on pin 2 there (as the MADT says); each controller's masks decide.
 */
#ifndef MONITOR_PLATFORM_IRQ_H
#define MONITOR_PLATFORM_IRQ_H

#include "monitor/platform/ioapic.h"
#include "monitor/platform/pic.h"

#define IRQ_TIMER 0u
#define IRQ_COM1  4u
#define IRQ_RTC   8u
#define IRQ_SCI   9u

#define TIMER_PIN 2u /* IRQ_TIMER's at the I/O APIC */

struct interrupts {
	struct pic pic;
	struct ioapic ioapic;
};

static inline u32 irq_pin(u32 irq) { return irq == IRQ_TIMER ? TIMER_PIN : irq; }

static inline void irq_set(struct interrupts *i, u32 irq, bool level)
{
	pic_set_line(&i->pic, irq, level);
	ioapic_set_pin(&i->ioapic, irq_pin(irq), level);
}

/* Could a vCPU notice this interrupt now? If not, a device need not keep time for it. */
static inline bool irq_visible(const struct interrupts *i, u32 irq)
{
	return !pic_masked(&i->pic, irq) || !ioapic_masked(&i->ioapic, irq_pin(irq));
}

#endif
