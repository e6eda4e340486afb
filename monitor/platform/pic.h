/*
 * pic: the two 8259A interrupt controllers of a PC (Intel 8259A data sheet), and the edge/level registers 4D0h and 4D1h.
 *
 *   lines 0..7 ──> master ──INTR──> MON_PIC_LINE
 *                     ^ 2
 *   lines 8..15 ─> slave
 *
 * Ring 0 holds the published request (asserted, vector) and gives that vector when vCPU 0 takes it; the INTA cycle is then performed
 * here, on MON_ENTRY_PIC_ACK. So that both always speak of the same request, a request once published stays until it is taken, unless
 * vCPU 0 waits for us (taker_stopped): then it cannot be taking it, and what it does shows at once.
 */
#ifndef MONITOR_PLATFORM_PIC_H
#define MONITOR_PLATFORM_PIC_H

#include "abi/types.h"

#define PIC_LINES 16u
#define PIC_CASCADE 2u

struct pic_chip {
	u8 irr, imr, isr;
	u8 lines;       /* levels of the inputs, for edges */
	u8 elcr;        /* 1: level-triggered */
	u8 vector_base;
	u8 lowest;      /* the input with lowest priority; 7 after initialisation */
	u8 init_step;   /* 0: operating; else which ICW the next write to the odd port is (2, 3, 4) */
	bool needs_icw4, single, level_all; /* from ICW1 */
	bool auto_eoi, rotate_auto, special_nested;
	bool special_mask, poll, read_isr;
};

struct pic {
	struct pic_chip chip[2]; /* master, slave */
	bool taker_stopped;      /* an exit of vCPU 0, which alone takes the PIC's interrupts, is being served */
	bool published;          /* what ring 0 was told last ... */
	u32 published_line;      /* ... and whose request it was */
	u32 published_vector;
};

void pic_init(struct pic *p);
void pic_set_line(struct pic *p, u32 line, bool level);
bool pic_masked(const struct pic *p, u32 line); /* by its own mask or the cascade's, or never initialised */
void pic_acknowledge(struct pic *p);            /* MON_ENTRY_PIC_ACK */

/* Ports: offset 0 (A0 = 0) and 1 of each chip; ELCR: offset 0 and 1. */
u32 pic_read(struct pic *p, u32 chip, u32 offset);
void pic_write(struct pic *p, u32 chip, u32 offset, u8 value);
u32 pic_elcr_read(struct pic *p, u32 chip);
void pic_elcr_write(struct pic *p, u32 chip, u8 value);

#endif
