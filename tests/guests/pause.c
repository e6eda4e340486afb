/*
 * pause: loops of PAUSE, long enough for a hypervisor's filter to look at one of them: each goes on behind its PAUSE, changes no flag,
 * and ends, in all forms, at CPL 3, and where the instruction lies across two pages.
 */
#include "lib/guest.h"

#define FAR 0x200000000ull
enum { PAUSES = 10000 };

static u32 carry, left;
/* LOOP counts and changes no flag. */
#define PAUSING(fn, insn)                                                                                           \
	static void fn(void *arg)                                                                                   \
	{                                                                                                           \
		u64 count = PAUSES;                                                                                 \
		u32 flag = 0;                                                                                       \
		__asm__ volatile("stc\n1: " insn "\nloop 1b\nadcl $0, %1" : "+c"(count), "+r"(flag) : "a"(arg) : "memory", "cc"); \
		left = (u32)count;                                                                                  \
		carry = flag;                                                                                       \
	}
PAUSING(plain, "pause")
PAUSING(with_66, ".byte 0x66\npause")
PAUSING(with_rex, ".byte 0xf3, 0x40, 0x90")
PAUSING(called, "call *%2")

static void all_done(const char *name, bool trapped)
{
	check(name, !trapped && !left && carry == 1);
	left = carry = PAUSES;
}

GUEST(pause)
{
	u8 *first = page_alloc(), *second = page_alloc();

	left = carry = PAUSES;
	all_done("10,000 times PAUSE", guarded(plain, NULL));
	all_done("  with an operand size", guarded(with_66, NULL));
	all_done("  with REX", guarded(with_rex, NULL));
	all_done("  at CPL 3", guarded_user(plain, NULL));
	first[PAGE_SIZE - 1] = 0xf3;
	second[0] = 0x90;
	second[1] = 0xc3;
	map(FAR, (u64)first, PTE_P | PTE_W | PTE_U, 1);
	map(FAR + PAGE_SIZE, (u64)second, PTE_P | PTE_W | PTE_U, 1);
	all_done("  across two pages", guarded(called, (void *)(FAR + PAGE_SIZE - 1)));
}
