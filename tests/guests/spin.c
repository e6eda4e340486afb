/* spin: a machine that wants a processor and nothing else: no exit, no interrupt. */
#include "lib/guest.h"

GUEST(spin)
{
	for (;;)
		;
}
