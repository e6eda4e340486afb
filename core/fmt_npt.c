/*
 * fmt_npt: AMD's nested tables. APM vol. 2, 15.25.5: every nested access is a user access, so each entry has U/S; there
 * are no global ones.
 */
#include "core/bits.h"
#include "core/pt.h"

#define P   BIT(0)
#define RW  BIT(1)
#define US  BIT(2)
#define PCD BIT(4)
#define A   BIT(5)
#define D   BIT(6)
#define PS  BIT(7)
#define NX  BIT(63)

const struct pt_format fmt_npt = {
	.name = "npt",
	.levels = 4,
	.leaf_levels = BIT(1) | BIT(2),
	.present = P,
	.table = P | RW | US,
	.leaf = P | US,
	.large = PS,
	.write = RW,
	.user = 0,
	.no_exec = NX,
	.global = 0,
	.uncached = PCD,
	.accessed = A,
	.dirty = D,
	.address = BITS(51, 12),
};
