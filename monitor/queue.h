/*
 * queue: the entries that ring 0 hands over, one at a time, by a table of handlers.
 */
#ifndef MONITOR_QUEUE_H
#define MONITOR_QUEUE_H

#include "monitor/machine.h"

/* Take one entry and see to it; false when there was none of a known kind. */
bool queue_serve(struct machine *m);

#endif
