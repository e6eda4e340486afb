/*
 * view: what every view begins as. The protocol itself is inline, in the header.
 */
#include "core/view.h"

void view_init(struct view *v, const char *name, struct flush_clock *clock)
{
	*v = (struct view){ .name = name, .clock = clock };
}
