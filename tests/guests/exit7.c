/* exit7: the smallest guest: its status is 7. */
#include "lib/guest.h"

GUEST(exit7)
{
	exit_with(7);
}
