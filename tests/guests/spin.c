/* spin: a machine that wants a processor and nothing else: no exit, no interrupt. One that is told `while` ends after half a second or so. */
#include "lib/guest.h"

enum { WHILE_MS = 600 };

GUEST(spin)
{
	bool forever = !boot.cmdline || !ends_with(boot.cmdline, "while");

	for (u64 end = rdtsc() + WHILE_MS * tsc_per_ms(); forever || rdtsc() < end;)
		;
	check("it has spun", true);
	finish();
}
