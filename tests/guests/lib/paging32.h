/*
 * paging32.h: what the two 32-bit paging tests share: accesses under guard at both levels of privilege, and the checks that read
 * the same whatever the width of an entry is.
 */
#ifndef GUEST_PAGING32_H
#define GUEST_PAGING32_H

#include "lib/guest.h"

enum { WINDOW = 0x80000000u - 0x400000u * 16, RIGHTS = PTE_P | PTE_W | PTE_U };

static inline void touch_read(void *arg)
{
	__asm__ volatile(MARK "movb (%0), %%al" : : "r"(arg) : "eax", "memory");
}
static inline void touch_write(void *arg)
{
	__asm__ volatile(MARK "movb $0x5a, (%0)" : : "r"(arg) : "memory");
}
static inline void touch_run(void *arg)
{
	__asm__ volatile("movl %0, expected_ip\ncall *%0" : : "r"(arg) : "memory");
}
static inline bool reads(u32 va) { return !guarded(touch_read, (void *)va); }
static inline bool writes(u32 va) { return !guarded(touch_write, (void *)va); }

#endif
