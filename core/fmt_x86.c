/*
 * fmt_x86: long-mode tables, twice. SDM vol. 3, 4.5; APM vol. 2, 5.3, 15.25.5.
 *
 * host  as ring 0 and monitors run on them; rights are judged at the leaf: entries that name tables allow everything
 * npt   AMD's nested tables: every nested access is a user access, so each entry has U/S; there are no global ones
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
#define LONG_MODE .levels = 4, .leaf_levels = BIT(1) | BIT(2), .address = BITS(51, 12), .present = P, .table = P | RW | US, \
	.large = PS, .write = RW, .no_exec = NX, .uncached = PCD, .accessed = A, .dirty = D

const struct pt_format fmt_host = { LONG_MODE, .leaf = P, .user = US, .global = G };
const struct pt_format fmt_npt = { LONG_MODE, .leaf = P | US };
