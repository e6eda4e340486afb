/*
 * ioapic: the I/O APIC (82093AA, with the EOI register of version 20h): 24 pins, each with a redirection entry.
 *
 * A pin that is to interrupt becomes an interrupt message to the local APICs (MON_SEND_MSI). A level-triggered one sets remote IRR and is
 * not sent again until its EOI (MON_ENTRY_EOI, or a write to the EOI register); then again if the line is still up.
 */
#ifndef MONITOR_PLATFORM_IOAPIC_H
#define MONITOR_PLATFORM_IOAPIC_H

#include "abi/types.h"

#define IOAPIC_PINS 24u

struct ioapic {
	u64 redirection[IOAPIC_PINS];
	u32 lines; /* levels of the pins, before polarity: 1 is asserted */
	u32 irr;   /* edges that came while masked are lost; a level line's request */
	u8 select, id;
};

void ioapic_init(struct ioapic *a);
void ioapic_set_pin(struct ioapic *a, u32 pin, bool asserted);
bool ioapic_masked(const struct ioapic *a, u32 pin);
void ioapic_eoi(struct ioapic *a, u32 vector);
u64 ioapic_read(struct ioapic *a, u32 offset, u32 size);
void ioapic_write(struct ioapic *a, u32 offset, u32 size, u64 value);

#endif
