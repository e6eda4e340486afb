/*
 * check: what a failing CHECK does in a host process: tells, and aborts; or, where a test expects it, comes back to the test.
 */
#include "sim/check.h"
#include "core/check.h"

#include <stdio.h>
#include <stdlib.h>

struct sim_check sim_check;

void check_failed(const char *file, int line, const char *what)
{
	if (sim_check.expected) {
		sim_check.expected = false;
		longjmp(sim_check.back, 1);
	}
	fprintf(stderr, "CHECK failed: %s:%d: %s\n", file, line, what);
	if (sim_check.tell)
		sim_check.tell();
	abort();
}
