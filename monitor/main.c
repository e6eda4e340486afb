/*
 * main: the monitor of one VM: an endless loop over what ring 0 hands it.
 *
 *   ring 0 ──MON_NEXT──> queue ──> machine (port and memory maps) ──> platform devices ──> MON_REPLY
 *                          ├────> load (once)
 *                          └────> vcpu_access ──> emulate
 */
#include "monitor/lib/call.h"
#include "monitor/lib/layout.h"
#include "monitor/lib/log.h"
#include "monitor/queue.h"

static_assert(MON_STACK_TOP_ASM == MON_STACK_TOP, "start.S");

static struct machine machine;

int main(void); /* the host build gives it another name */

int main(void)
{
	const struct mon_info *info = ring0_info();

	if (info->version != MON_ABI_VERSION) {
		log_line("error: the monitor speaks version %u of its interface, the hypervisor version %u", MON_ABI_VERSION,
			 info->version);
		ring0_end(MON_END_FAILED, 0);
	}
	machine_init(&machine, info);
	for (;;)
		queue_serve(&machine);
}
