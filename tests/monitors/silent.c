/*
 * silent: a device model that starts its machine, takes the first exit and then computes for ever. Its machine must be over when its budget is;
 * nobody else may have to wait for it.
 */
#include "monitor/lib/call.h"

int main(void);

enum { CODE = 0x1000 };

int main(void)
{
	static const u8 reads_a_port[] = { 0xe4, 0x80, 0xeb, 0xfc }; /* 1: in al, 0x80; jmp 1b */
	struct mon_comm *comm = ring0_comm();

	ring0_next();
	for (u32 i = 0; i < sizeof reads_a_port; i++)
		ring0_window()[CODE + i] = reads_a_port[i];
	ring0_get_vcpu(0);
	comm->vcpu.cs.selector = 0;
	comm->vcpu.cs.base = 0;
	comm->vcpu.rip = CODE;
	ring0_set_vcpu(0);
	ring0_modules_done();
	ring0_run(0);
	ring0_next();
	for (volatile u32 i = 0;; i++)
		;
}
