/*
 * console: see console.h.
 */
#include "monitor/virtio/console.h"
#include "monitor/lib/bits.h"

#define DEVICE_CONSOLE 3u
#define CLASS_COMMUNICATION_OTHER 0x078000u

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, QUEUES };

static struct virtio_console *console_of(struct virtio_device *d)
{
	static_assert(offsetof(struct virtio_console, device) == 0, "a console begins with its device");
	return (struct virtio_console *)d;
}

/* The backlog into the driver's buffers, each time as much as lies together. True: the budget was spent. */
static bool receive(struct virtio_console *c, u64 budget)
{
	struct virtqueue *q = &c->device.queue[QUEUE_RECEIVE];
	struct virtqueue_chain in;

	for (u64 spent = 0; spent < budget; spent += VIRTIO_CHAIN_COST) {
		u32 part = (u32)min_u64(c->backlog_count, VIRTIO_CONSOLE_BACKLOG - c->backlog_head);
		u32 written;

		if (part == 0 || !virtqueue_take(q, c->device.memory, &in))
			return false;
		written = (u32)virtqueue_write(&in, c->backlog + c->backlog_head, part);
		c->backlog_head = (c->backlog_head + written) % VIRTIO_CONSOLE_BACKLOG;
		c->backlog_count -= written;
		virtqueue_give(q, &in, written);
	}
	return true;
}

/* Print what is left of a chain, within the budget; how many bytes. */
static u64 print(struct virtio_console *c, u64 budget)
{
	u64 done = 0, part;

	for (u8 *at; (at = virtqueue_piece(&c->out, &c->out.out, budget - done, &part)) != NULL; done += part)
		console_write(c->console, CONSOLE_VIRTIO, at, part);
	return done;
}

/* True: the budget was spent. */
static bool transmit(struct virtio_console *c, u64 budget)
{
	struct virtqueue *q = &c->device.queue[QUEUE_TRANSMIT];
	u64 spent = 0;

	while (spent < budget) {
		if (!c->sending && !virtqueue_take(q, c->device.memory, &c->out))
			return false;
		c->sending = true;
		spent += max_u64(print(c, budget - spent), VIRTIO_CHAIN_COST);
		if (c->out.out.left != 0)
			continue;
		c->sending = false;
		virtqueue_give(q, &c->out, 0);
	}
	return true;
}

static bool work(struct virtio_device *d, u64 budget)
{
	struct virtio_console *c = console_of(d);
	bool more = receive(c, budget);

	return transmit(c, budget) || more;
}

/* What was typed and not taken is for the next driver. */
static void reset(struct virtio_device *d) { console_of(d)->sending = false; }

static const struct virtio_type type = {
	.id = DEVICE_CONSOLE,
	.class = CLASS_COMMUNICATION_OTHER,
	.queues = QUEUES,
	.timer = TIMER_VIRTIO_CONSOLE,
	.work = work,
	.reset = reset,
};

void virtio_console_init(struct virtio_console *c, const struct virtio_bus *bus, u8 slot, struct console *console)
{
	c->console = console;
	c->backlog_head = c->backlog_count = 0;
	virtio_pci_init(&c->device, &type, bus, slot);
}

bool virtio_console_listens(const struct virtio_console *c)
{
	return virtio_is_live(&c->device) && c->console->last == CONSOLE_VIRTIO;
}

void virtio_console_input(struct virtio_console *c, const u8 *bytes, u32 count)
{
	for (u32 i = 0; i < count && c->backlog_count < VIRTIO_CONSOLE_BACKLOG; i++)
		c->backlog[(c->backlog_head + c->backlog_count++) % VIRTIO_CONSOLE_BACKLOG] = bytes[i];
	virtio_work(&c->device);
}
