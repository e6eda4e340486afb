/* hello: it starts, in long mode, knows its loader, and can be heard. */
#include "lib/guest.h"

GUEST(hello)
{
	u64 ram = 0;

	say("Hello from a guest of Ringmur's own.\n");
	check("the loader left its mark", boot.multiboot || boot.pvh);
	for (unsigned i = 0; i < boot.ranges; i++)
		if (boot.range[i].type == RANGE_RAM)
			ram += boot.range[i].size;
	check("the memory map holds at least 8 MiB", ram >= 8 * MIB);
	check("long mode is active", rdmsr(MSR_EFER) & EFER_LMA);
}
