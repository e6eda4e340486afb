/*
 * queue: see queue.h.
 *
 * What a device wants of the timer is told to ring 0 before the vCPU is let go, once, whatever was changed on the way.
 */
#include "monitor/queue.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"
#include "monitor/lib/log.h"
#include "monitor/load/load.h"
#include "monitor/vcpu_access.h"

static void reply(struct machine *m, u32 vcpu, u64 value)
{
	if (m->ended)
		return;
	timers_commit(&m->timers);
	ring0_reply(vcpu, value);
}

static void on_start(struct machine *m, const struct mon_entry *e)
{
	(void)e;
	if (load_guest(m, ring0_info()))
		ring0_run(0);
	else
		machine_end(m, MON_END_FAILED, 0);
}

static bool is_size(u32 size, u32 most) { return size != 0 && size <= most && (size & (size - 1)) == 0; }

static void on_io(struct machine *m, const struct mon_entry *e)
{
	u32 vcpu = e->vcpu, size = e->io.size, value = 0;

	if (!is_size(size, 4))
		value = (u32)all_ones(4);
	else if (e->io.out)
		machine_out(m, e->io.port, size, (u32)e->io.value);
	else
		value = machine_in(m, e->io.port, size);
	reply(m, vcpu, value);
}

static void on_mmio(struct machine *m, const struct mon_entry *e)
{
	u32 vcpu = e->vcpu, size = e->mmio.size;
	u64 value = 0;

	if (!is_size(size, 8))
		value = all_ones(8);
	else if (e->mmio.write)
		machine_mmio_write(m, e->mmio.address, size, e->mmio.value);
	else
		value = machine_mmio_read(m, e->mmio.address, size);
	reply(m, vcpu, value);
}

static void on_emulate(struct machine *m, const struct mon_entry *e) { vcpu_emulate(m, e); }

static void on_timer(struct machine *m, const struct mon_entry *e)
{
	(void)e;
	machine_timer(m);
}

static void on_eoi(struct machine *m, const struct mon_entry *e) { ioapic_eoi(&m->interrupts.ioapic, e->eoi.vector); }

static void on_pic_ack(struct machine *m, const struct mon_entry *e)
{
	(void)e;
	pic_acknowledge(&m->interrupts.pic);
}

static void on_console(struct machine *m, const struct mon_entry *e)
{
	machine_input(m, e->console.bytes, (u32)min_u64(e->console.count, MON_CONSOLE_BYTES));
}

static void on_power_button(struct machine *m, const struct mon_entry *e)
{
	(void)e;
	pm_power_button(&m->pm);
}

static void (*const handlers[])(struct machine *m, const struct mon_entry *e) = {
	[MON_ENTRY_START] = on_start,
	[MON_ENTRY_IO] = on_io,
	[MON_ENTRY_MMIO] = on_mmio,
	[MON_ENTRY_EMULATE] = on_emulate,
	[MON_ENTRY_TIMER] = on_timer,
	[MON_ENTRY_EOI] = on_eoi,
	[MON_ENTRY_PIC_ACK] = on_pic_ack,
	[MON_ENTRY_CONSOLE] = on_console,
	[MON_ENTRY_POWER_BUTTON] = on_power_button,
};

static bool is_exit(u32 kind) { return kind == MON_ENTRY_IO || kind == MON_ENTRY_MMIO || kind == MON_ENTRY_EMULATE; }

bool queue_serve(struct machine *m)
{
	const struct mon_entry *e = &ring0_comm()->entry;
	u32 kind = ring0_next();

	if (kind >= ARRAY_SIZE(handlers) || handlers[kind] == NULL)
		return false;
	m->interrupts.pic.taker_stopped = is_exit(kind) && e->vcpu == 0;
	handlers[kind](m, e);
	if (!m->ended)
		timers_commit(&m->timers);
	return true;
}
