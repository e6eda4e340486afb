/* triple: an exception without a table to handle it: the processor shuts down, and this machine ends, no other. */
#include "lib/guest.h"

GUEST(triple)
{
	static const struct table_pointer none;

	say("# a triple fault follows\n");
	__asm__ volatile("lidt %0\nint3" : : "m"(none));
	check("the machine ended", false);
}
