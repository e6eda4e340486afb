/*
 * silent: a device model that starts its machine, takes the first exit and then computes for ever. Its machine must be over when its budget is;
 * nobody else may have to wait for it.
 */
#include "tests/monitors/real_mode.h"

int main(void);

int main(void)
{
	static const u8 reads_a_port[] = { 0xe4, 0x80, 0xeb, 0xfc }; /* 1: in al, 0x80; jmp 1b */

	ring0_next();
	ring0_modules_done();
	start_real_mode(reads_a_port, sizeof reads_a_port);
	ring0_next();
	for (volatile u32 i = 0;; i++)
		;
}
