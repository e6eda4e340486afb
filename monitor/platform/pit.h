/*
 * pit: the 8254 interval timer and the port 61h that gates its channel 2.
 *
 * No tick is ever counted: a channel's counter and output are functions of the time since it was loaded. Channel 0's edges become
 * interrupt 0, and a timer runs for them only while somebody could see one (irq_visible); edges that pass meanwhile are made up by one when it can be seen again,
 * as an edge that a masked controller keeps.
 */
#ifndef MONITOR_PLATFORM_PIT_H
#define MONITOR_PLATFORM_PIT_H

#include "monitor/platform/clock.h"
#include "monitor/platform/irq.h"
#include "monitor/platform/timers.h"

#define PIT_HZ 1193182u
#define PIT_CHANNELS 3u

struct pit_channel {
	u8 mode;        /* 0 to 5 */
	u8 access;      /* 1: low byte, 2: high byte, 3: low then high */
	bool bcd, gate;
	bool loaded;    /* a full count has been written since the mode was; before, nothing counts */
	bool triggered; /* modes 1 and 5: the gate has risen since */
	bool write_high, read_high; /* access 3: which byte is next */
	bool status_latched;
	u8 count_latched; /* bytes of `latch` still to be read */
	u8 status;
	u16 latch;
	u8 write_low;
	u32 reload;     /* 1 to 65536 (10000 under BCD) */
	u64 start;      /* PIT ticks at which counting of `reload` began */
	u64 stopped_at; /* modes 0 and 4 with the gate low: ticks that had passed */
};

struct pit {
	struct clock clock;
	struct timers *timers;
	struct interrupts *interrupts;
	struct pit_channel channel[PIT_CHANNELS];
	u64 edges;     /* of channel 0 since it was loaded, that became interrupts or were dropped */
	bool speaker;  /* bit 1 of port 61h */
	u8 refresh;    /* bit 4 of port 61h, toggled by each read */
};

void pit_init(struct pit *p, struct timers *timers, struct interrupts *interrupts, u64 tsc_khz);
u32 pit_read(struct pit *p, u32 offset);
void pit_write(struct pit *p, u32 offset, u8 value);
u32 pit_port61_read(struct pit *p);
void pit_port61_write(struct pit *p, u8 value);

/* Deliver channel 0's edge if one is due, and arm the timer for the next. Call after its time came and after masks changed. */
void pit_update(struct pit *p);

#endif
