/* jump-nowhere: executes where no memory is, with no table for exceptions: the machine must be ended, with a record. */
#include "lib/guest.h"

GUEST(jump_nowhere)
{
	static const struct table_pointer none;

	say("# a jump into nothing follows\n");
	__asm__ volatile("lidt %0\njmp *%1" : : "m"(none), "r"(0xfd000000ull));
	check("the machine ended", false);
}
