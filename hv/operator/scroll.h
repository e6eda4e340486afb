/*
 * scroll: a ring of the last bytes that were written: of a VM's console, in the VM's own private part; of what is typed; of notes.
 *
 * Zeroed memory is an empty ring. A position counts bytes from the first ever written; what has been overwritten reads as the oldest that is left.
 */
#ifndef HV_OPERATOR_SCROLL_H
#define HV_OPERATOR_SCROLL_H

#include "abi/types.h"
#include "core/check.h"

#define SCROLL_PAGES 4u
#define SCROLL_BYTES (SCROLL_PAGES * (u32)PAGE_SIZE - (u32)sizeof(u64))

struct scroll {
	u64 written; /* bytes ever */
	u8 bytes[SCROLL_BYTES];
};
static_assert(sizeof(struct scroll) == SCROLL_PAGES * PAGE_SIZE, "whole pages");

void scroll_add(struct scroll *s, const void *bytes, u32 count);
/* Where the last `lines` lines begin, the unfinished one not counted, but at most `most` bytes back. */
u64 scroll_last(const struct scroll *s, u32 lines, u32 most);
/* Up to `room` bytes from *at on, which moves behind them; 0: nothing more. */
u32 scroll_read(const struct scroll *s, u64 *at, void *to, u32 room);

#endif
