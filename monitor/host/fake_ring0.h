/*
 * fake_ring0: the other side of lib/call.h in a host process: what the monitor asks for is remembered, what it is told is set here.
 *
 * One VM, as in the real thing. Time stands still unless a test moves it.
 */
#ifndef MONITOR_HOST_FAKE_RING0_H
#define MONITOR_HOST_FAKE_RING0_H

#include "monitor/lib/call.h"

#define FAKE_MSIS 16u
#define FAKE_TEXT 4096u
#define FAKE_TSC_KHZ 1000000u /* one tick is a nanosecond */
#define FAKE_SECOND 1000000000ull

enum fake_answer { FAKE_NOTHING, FAKE_REPLIED, FAKE_EMULATED, FAKE_RETRIED, FAKE_FAULTED };

struct fake_ring0 {
	/* what the monitor is told */
	struct mon_info info;
	struct mon_comm comm;
	u8 *window;
	u64 tsc;
	const u8 *module[MON_MAX_MODULES + 1];
	u8 *disk, *heap; /* fake_disk() */
	u64 gva_fault_at; /* not 0: an access to this linear address is a page fault with error 4 */
	u32 next_kind; /* answer of ring0_next(), once */
	/* what it asked for */
	enum fake_answer answer;
	u64 value;            /* of the reply */
	u64 fault_error, fault_cr2;
	u32 fault_vector;
	struct mon_vcpu vcpu; /* by MON_SET_VCPU or MON_EMULATED */
	bool vcpu_set, running, modules_done, ended;
	enum mon_end end;
	u32 end_code;
	bool pic_asserted;
	u32 pic_vector, pic_calls;
	u64 timer;            /* last MON_SET_TIMER */
	u32 timer_calls, console_calls, marks;
	u32 mark;
	u32 lapic_writes;
	u32 msis;             /* all of them; the first FAKE_MSIS are kept */
	struct { u64 address; u32 data; } msi[FAKE_MSIS];
	u32 console_count, log_count;
	char console[FAKE_TEXT], log[FAKE_TEXT]; /* NUL-terminated; lines of the log end with \n */
};

extern struct fake_ring0 fake;

/* Begin anew, with `memory` bytes of RAM, zeroed. The last call's memory is freed. */
void fake_reset(u64 memory);

/* A disk of that many bytes, before machine_init(): of memory, or the image. Both are freed by fake_reset(). */
void fake_disk(u64 bytes, const u8 *image);

/* Let the monitor see one entry: fake.comm.entry must be filled, its kind included. */
struct machine;
void fake_enter(struct machine *m);

#endif
