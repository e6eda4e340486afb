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

/*
 * Rights over two levels: W and U of the lower entry are bits 0 and 1 of `way`, those of the upper one bits 2 and 3; bit 4: at CPL 3.
 * E, UPPER: the entries, of either width. How many of a read and a write went wrong.
 */
#define RIGHTS_WRONG(way, wp, e, upper, table, page)                                                                    \
	(*(upper) = (u32)(table) | rights_of((way) >> 2), *(e) = (u32)(page) | rights_of(way), reload_cr3(),            \
	 accesses_wrong((way), (wp)))
static inline u32 rights_of(unsigned way) { return PTE_P | (way & 1 ? PTE_W : 0u) | (way & 2 ? PTE_U : 0u); }

static inline unsigned accesses_wrong(unsigned way, bool wp)
{
	bool w = (way & 5) == 5, u = (way & 10) == 10, user = way & 16;
	bool want_w = user ? w && u : w || !wp;
	bool got_r = user ? !guarded_user(touch_read, (void *)WINDOW) : reads(WINDOW);
	bool got_w = user ? !guarded_user(touch_write, (void *)WINDOW) : writes(WINDOW);

	return got_r != (!user || u) || got_w != want_w ||
	       (!got_w && (trap.error != (PF_P | PF_W | (user ? PF_U : 0u)) || trap.cr2 != WINDOW));
}

/* How often WINDOW, which shows A, did not, or A itself did not, while paging goes off and on 20 times; `between`: done while it is off. */
static inline unsigned off_and_on_wrong(volatile u32 *a, void (*between)(unsigned turn))
{
	unsigned wrong = 0;

	*a = 0x1234;
	for (unsigned i = 0; i < 20; i++) {
		write_cr0(read_cr0() & ~CR0_PG);
		between(i);
		wrong += *a != 0x1234;
		write_cr0(read_cr0() | CR0_PG);
		wrong += *(volatile u32 *)WINDOW != 0x1234;
	}
	return wrong;
}

#endif
