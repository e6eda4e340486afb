/*
 * fmt_host: x86 long-mode tables as ring 0 and monitors run on them. SDM vol. 3, 4.5; APM vol. 2, 5.3.
 * Rights are judged at the leaf: entries that name tables allow everything.
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
#define G   BIT(8)
#define NX  BIT(63)

const struct pt_format fmt_host = {
	.name = "host",
	.levels = 4,
	.leaf_levels = BIT(1) | BIT(2),
	.present = P,
	.table = P | RW | US,
	.leaf = P,
	.large = PS,
	.write = RW,
	.user = US,
	.no_exec = NX,
	.global = G,
	.uncached = PCD,
	.accessed = A,
	.dirty = D,
	.address = BITS(51, 12),
};
