/*
 * console: the virtio console (virtio 1.x, 5.3): one port, two queues, on the VM's console beside COM1.
 *
 * What the operator types goes to whichever of the two the guest last printed with. What the driver has no buffers for waits in a
 * backlog, as at COM1.
 */
#ifndef MONITOR_VIRTIO_CONSOLE_H
#define MONITOR_VIRTIO_CONSOLE_H

#include "monitor/platform/console.h"
#include "monitor/virtio/pci.h"

#define VIRTIO_CONSOLE_BACKLOG 1024u /* a power of two */

struct virtio_console {
	struct virtio_device device;
	struct console *console;
	bool sending;                  /* `out` is a chain that has not been printed to its end */
	struct virtqueue_chain out;
	u32 backlog_head, backlog_count;
	u8 backlog[VIRTIO_CONSOLE_BACKLOG];
};

void virtio_console_init(struct virtio_console *c, const struct virtio_bus *bus, u8 slot, struct console *console);
/* Does it take what is typed? */
bool virtio_console_listens(const struct virtio_console *c);
void virtio_console_input(struct virtio_console *c, const u8 *bytes, u32 count); /* what does not fit into the backlog is lost */

#endif
