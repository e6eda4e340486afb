/*
 * real_mode: a monitor's machine gets a few bytes of code and runs them, in real mode, at CODE.
 */
#ifndef TESTS_MONITORS_REAL_MODE_H
#define TESTS_MONITORS_REAL_MODE_H

#include "monitor/lib/call.h"

enum { CODE = 0x1000 };

static inline void start_real_mode(const u8 *code, u32 bytes)
{
	struct mon_comm *comm = ring0_comm();

	for (u32 i = 0; i < bytes; i++)
		ring0_window()[CODE + i] = code[i];
	ring0_get_vcpu(0);
	comm->vcpu.cs.selector = 0;
	comm->vcpu.cs.base = 0;
	comm->vcpu.rip = CODE;
	ring0_set_vcpu(0);
	ring0_run(0);
}

#endif
