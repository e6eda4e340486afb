/*
 * machine: all devices of one VM, and the maps from ports and addresses to them.
 *
 * A port or address range is a row of a const table: where it is, which of the device's functions answer. The tables are in machine.c.
 */
#ifndef MONITOR_MACHINE_H
#define MONITOR_MACHINE_H

#include "monitor/memory.h"
#include "monitor/platform/console.h"
#include "monitor/platform/irq.h"
#include "monitor/platform/pci.h"
#include "monitor/platform/pit.h"
#include "monitor/platform/pm.h"
#include "monitor/platform/rtc.h"
#include "monitor/platform/timers.h"
#include "monitor/platform/uart.h"
#include "monitor/virtio/block.h"
#include "monitor/virtio/console.h"

struct machine {
	struct guest_memory memory;
	struct timers timers;
	struct console console;
	struct interrupts interrupts;
	struct uart uart;
	struct pit pit;
	struct rtc rtc;
	struct pm pm;
	struct pci pci;
	struct virtio_console virtio_console;
	struct virtio_block virtio_block;
	bool has_disk; /* else there is no block device */
	u32 mark_port; /* 0: none */
	u8 post;       /* last byte to port 80h */
	bool ended;    /* MON_END was called: no exit is answered any more */
};

/* All devices as after power-on, from what ring 0 says. */
void machine_init(struct machine *m, const struct mon_info *info);

/* One access of 1, 2 or 4 bytes to a port. Nobody there: all ones, and writes are lost. */
u32 machine_in(struct machine *m, u16 port, u32 size);
void machine_out(struct machine *m, u16 port, u32 size, u32 value);

/* One access of 1, 2, 4 or 8 bytes to a guest-physical address that is not RAM. */
u64 machine_mmio_read(struct machine *m, u64 address, u32 size);
void machine_mmio_write(struct machine *m, u64 address, u32 size, u64 value);

/* Time has passed: let every device whose deadline has come act. */
void machine_timer(struct machine *m);

/* Bytes that the operator typed, to the device that the guest last printed with. */
void machine_input(struct machine *m, const u8 *bytes, u32 count);

/* The VM is over: what is left for the console first. */
void machine_end(struct machine *m, enum mon_end how, u32 code);

#endif
