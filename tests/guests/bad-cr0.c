/*
 * bad-cr0: a CR0 that cannot be: NW without CD, bits in the upper half. A processor says #GP, and the guest ends with 0. TCG takes
 * them, and then no entry into this guest is possible: it is ended with a record (125), and nothing else is.
 */
#include "lib/guest.h"

static void load_cr0(void *arg)
{
	__asm__ volatile(MARK "movq %0, %%cr0" : : "r"(arg) : "memory");
}

GUEST(bad_cr0)
{
	word was = read_cr0();

	expect("#GP by the upper half of CR0", load_cr0, (void *)(was | 1ul << 32), V_GP, 0);
	expect("#GP by CR0.NW without CD", load_cr0, (void *)((was & ~(word)CR0_CD) | CR0_NW), V_GP, 0);
}
