/*
 * machine: see machine.h.
 *
 * Each row of the tables names small adapters that know which device they are for; an access wider than a row's registers is
 * taken apart into accesses of that width, as a PC's buses do.
 */
#include "monitor/machine.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"
#include "monitor/platform/ports.h"

typedef u32 (*port_read)(struct machine *m, u32 offset, u32 size);
typedef void (*port_write)(struct machine *m, u32 offset, u32 size, u32 value);

/* ---- the adapters ---- */

static u32 pic_master_in(struct machine *m, u32 offset, u32 size)
{
	(void)size;
	pit_update(&m->pit); /* an edge of the masked timer shows in the request register */
	return pic_read(&m->interrupts.pic, 0, offset);
}

static void pic_master_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)size;
	pic_write(&m->interrupts.pic, 0, offset, (u8)value);
	pit_update(&m->pit); /* its mask may have changed */
}

static u32 pic_slave_in(struct machine *m, u32 offset, u32 size)
{
	(void)size;
	return pic_read(&m->interrupts.pic, 1, offset);
}

static void pic_slave_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)size;
	pic_write(&m->interrupts.pic, 1, offset, (u8)value);
}

static u32 elcr_in(struct machine *m, u32 offset, u32 size)
{
	(void)size;
	return pic_elcr_read(&m->interrupts.pic, offset);
}

static void elcr_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)size;
	pic_elcr_write(&m->interrupts.pic, offset, (u8)value);
}

static u32 pit_in(struct machine *m, u32 offset, u32 size)
{
	(void)size;
	return pit_read(&m->pit, offset);
}

static void pit_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)size;
	pit_write(&m->pit, offset, (u8)value);
}

static u32 port61_in(struct machine *m, u32 offset, u32 size)
{
	(void)offset, (void)size;
	return pit_port61_read(&m->pit);
}

static void port61_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)offset, (void)size;
	pit_port61_write(&m->pit, (u8)value);
}

static u32 rtc_in(struct machine *m, u32 offset, u32 size)
{
	(void)size;
	return rtc_read(&m->rtc, offset);
}

static void rtc_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)size;
	rtc_write(&m->rtc, offset, (u8)value);
}

static u32 uart_in(struct machine *m, u32 offset, u32 size)
{
	(void)size;
	return uart_read(&m->uart, offset);
}

static void uart_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)size;
	uart_write(&m->uart, offset, (u8)value);
}

static u32 pci_address_in(struct machine *m, u32 offset, u32 size) { return pci_address_read(&m->pci, offset, size); }

static void pm_act(struct machine *m)
{
	if (m->pm.request == PM_POWER_OFF)
		machine_end(m, MON_END_POWER_OFF, 0);
	else if (m->pm.request == PM_RESET)
		machine_end(m, MON_END_RESET, 0);
	m->pm.request = PM_NOTHING;
}

/* CF9h, the reset register, lies within the four bytes of CF8h: a byte access there is for it. */
#define RESET_OFFSET (RESET_PORT - PORT_PCI_ADDRESS)

static u32 pci_or_reset_in(struct machine *m, u32 offset, u32 size)
{
	if (offset == RESET_OFFSET && size == 1)
		return pm_reset_read(&m->pm);
	return pci_address_in(m, offset, size);
}

static void pci_or_reset_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	if (offset != RESET_OFFSET || size != 1) {
		pci_address_write(&m->pci, offset, size, value);
		return;
	}
	pm_reset_write(&m->pm, (u8)value);
	pm_act(m);
}

static u32 pci_data_in(struct machine *m, u32 offset, u32 size) { return pci_data_read(&m->pci, offset, size); }

static void pci_data_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	pci_data_write(&m->pci, offset, size, value);
}

static u32 pm_event_in(struct machine *m, u32 offset, u32 size)
{
	return pm_event_read(&m->pm, offset & 2u) >> (offset & 1u) * 8 & (u32)all_ones(size);
}

/* A byte of a 16-bit register: the other byte stays (of the status, zeros clear nothing). */
static void pm_event_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	u32 shift = (offset & 1u) * 8, keep = offset >= 2 && size == 1 ? pm_event_read(&m->pm, 2) & ~(0xffu << shift) : 0;

	pm_event_write(&m->pm, offset & 2u, (u16)(keep | value << shift));
}

static u32 pm_control_in(struct machine *m, u32 offset, u32 size)
{
	return pm_control_read(&m->pm) >> offset * 8 & (u32)all_ones(size);
}

static void pm_control_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	u32 keep = size == 1 ? pm_control_read(&m->pm) & ~(0xffu << offset * 8) : 0;

	pm_control_write(&m->pm, (u16)(keep | value << offset * 8));
	pm_act(m);
}

static u32 pm_timer_in(struct machine *m, u32 offset, u32 size)
{
	return pm_timer_read(&m->pm) >> offset * 8 & (u32)all_ones(size);
}

static u32 a20_in(struct machine *m, u32 offset, u32 size)
{
	(void)offset, (void)size;
	return pm_a20_read(&m->pm);
}

static void a20_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)offset, (void)size;
	pm_a20_write(&m->pm, (u8)value);
	pm_act(m);
}

/* There is no keyboard: never anything to read, and always ready for a command, of which one is carried out and none answered. */
static u32 keyboard_in(struct machine *m, u32 offset, u32 size)
{
	(void)m, (void)offset, (void)size;
	return 0;
}

static void keyboard_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)offset, (void)size;
	pm_keyboard_write(&m->pm, (u8)value);
	pm_act(m);
}

static u32 post_in(struct machine *m, u32 offset, u32 size)
{
	(void)offset, (void)size;
	return m->post;
}

static void post_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)offset, (void)size;
	m->post = (u8)value;
}

static u32 debug_in(struct machine *m, u32 offset, u32 size)
{
	(void)m, (void)offset, (void)size;
	return PORT_DEBUG; /* how a guest finds that it is there */
}

static void debug_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)offset, (void)size;
	console_put(&m->console, m->console.last, (u8)value); /* nobody listens there */
}

static void test_out(struct machine *m, u32 offset, u32 size, u32 value)
{
	(void)offset, (void)size;
	machine_end(m, MON_END_TEST, value & 0xff);
}

/* ---- the port map ---- */

struct port_range {
	u16 first, count;
	u8 width;         /* of its registers: wider accesses are taken apart; 4: any access, whole */
	port_read read;   /* NULL: all ones */
	port_write write; /* NULL: lost */
};

/* Ranges lie below PORTS_MAPPED; row 0 is for every port that is in no other. */
static const struct port_range ranges[] = {
	{ 0, 0, 4, NULL, NULL },
	{ PORT_COM1, 8, 1, uart_in, uart_out },
	{ PORT_PIC_MASTER, 2, 1, pic_master_in, pic_master_out },
	{ PORT_PIC_SLAVE, 2, 1, pic_slave_in, pic_slave_out },
	{ PORT_ELCR, 2, 1, elcr_in, elcr_out },
	{ PORT_PIT, 4, 1, pit_in, pit_out },
	{ PORT_SYSTEM_B, 1, 1, port61_in, port61_out },
	{ PORT_RTC, 2, 1, rtc_in, rtc_out },
	{ PORT_PCI_ADDRESS, 4, 4, pci_or_reset_in, pci_or_reset_out },
	{ PORT_PCI_DATA, 4, 4, pci_data_in, pci_data_out },
	{ PM1A_EVENT, 4, 2, pm_event_in, pm_event_out },
	{ PM1A_CONTROL, 2, 2, pm_control_in, pm_control_out },
	{ PM_TIMER, 4, 4, pm_timer_in, NULL },
	{ FAST_A20_PORT, 1, 1, a20_in, a20_out },
	{ KEYBOARD_COMMAND_PORT, 1, 1, keyboard_in, keyboard_out },
	{ PORT_POST, 1, 1, post_in, post_out },
	{ PORT_DEBUG, 1, 1, debug_in, debug_out },
	{ PORT_TEST_EXIT, 1, 4, NULL, test_out },
};

/* Port to row, so that an exit costs one look. */
static u8 row_of[PORTS_MAPPED];

static void map_ports(void)
{
	for (u32 row = 0; row < ARRAY_SIZE(ranges); row++)
		for (u32 i = 0; i < ranges[row].count; i++)
			row_of[ranges[row].first + i] = (u8)row;
}

static const struct port_range *range_of(u32 port) { return &ranges[port < PORTS_MAPPED ? row_of[port] : 0]; }

/* An access that fits the registers of its range goes there whole. */
static bool fits(const struct port_range *r, u32 port, u32 size)
{
	return size <= r->width && (r->width == 4 || (port - r->first) % size == 0);
}

u32 machine_in(struct machine *m, u16 port, u32 size)
{
	const struct port_range *r = range_of(port);
	u32 value = 0;

	if (size == 1 || fits(r, port, size))
		return r->read != NULL ? r->read(m, (u32)port - r->first, size) : (u32)all_ones(size);
	for (u32 i = 0; i < size; i++)
		value |= machine_in(m, (u16)(port + i), 1) << 8 * i;
	return value;
}

void machine_out(struct machine *m, u16 port, u32 size, u32 value)
{
	const struct port_range *r = range_of(port);

	if (port == m->mark_port && port != 0) {
		ring0_mark(value);
		return;
	}
	value &= (u32)all_ones(size);
	if (size == 1 || fits(r, port, size)) {
		if (r->write != NULL)
			r->write(m, (u32)port - r->first, size, value);
		return;
	}
	for (u32 i = 0; i < size && !m->ended; i++)
		machine_out(m, (u16)(port + i), 1, value >> 8 * i);
}

/* ---- the map of device memory: fixed places here, BARs as the guest places them ---- */

static u64 ioapic_mmio_read(struct machine *m, u64 offset, u32 size)
{
	return ioapic_read(&m->interrupts.ioapic, (u32)offset, size);
}

static void ioapic_mmio_write(struct machine *m, u64 offset, u32 size, u64 value)
{
	ioapic_write(&m->interrupts.ioapic, (u32)offset, size, value);
	pit_update(&m->pit); /* its mask may have changed */
}

static const struct mmio_range {
	u64 first, count;
	u64 (*read)(struct machine *m, u64 offset, u32 size);
	void (*write)(struct machine *m, u64 offset, u32 size, u64 value);
} regions[] = {
	{ MON_IOAPIC, PAGE_SIZE, ioapic_mmio_read, ioapic_mmio_write },
};

static const struct mmio_range *region_of(u64 address, u32 size)
{
	for (u32 i = 0; i < ARRAY_SIZE(regions); i++)
		if (address >= regions[i].first && address - regions[i].first <= regions[i].count - size)
			return &regions[i];
	return NULL;
}

u64 machine_mmio_read(struct machine *m, u64 address, u32 size)
{
	const struct mmio_range *r = region_of(address, size);

	u64 value = all_ones(size);

	if (r != NULL)
		return r->read(m, address - r->first, size);
	pci_memory_read(&m->pci, address, size, &value);
	return value;
}

void machine_mmio_write(struct machine *m, u64 address, u32 size, u64 value)
{
	const struct mmio_range *r = region_of(address, size);

	if (r != NULL)
		r->write(m, address - r->first, size, value);
	else
		pci_memory_write(&m->pci, address, size, value);
}

/* ---- the whole ---- */

static void init_virtio(struct machine *m, const struct mon_info *info)
{
	const struct virtio_bus bus = { &m->pci, &m->timers, &m->memory, info->tsc_khz };
	struct disk disk;

	virtio_console_init(&m->virtio_console, &bus, SLOT_VIRTIO_CONSOLE, &m->console);
	disk_init(&disk, info);
	m->has_disk = disk.bytes != 0;
	if (m->has_disk)
		virtio_block_init(&m->virtio_block, &bus, SLOT_VIRTIO_BLOCK, &disk);
}

void machine_init(struct machine *m, const struct mon_info *info)
{
	m->ended = false;
	m->post = 0;
	m->mark_port = info->mark_port;
	map_ports();
	guest_memory_init(&m->memory, ring0_window(), info->memory);
	timers_init(&m->timers);
	console_init(&m->console, &m->timers, info->tsc_khz);
	pic_init(&m->interrupts.pic);
	ioapic_init(&m->interrupts.ioapic);
	uart_init(&m->uart, &m->console, &m->interrupts);
	pit_init(&m->pit, &m->timers, &m->interrupts, info->tsc_khz);
	rtc_init(&m->rtc, &m->timers, &m->interrupts, info->tsc_khz, info->wall_clock, info->memory);
	pm_init(&m->pm, &m->timers, &m->interrupts, info->tsc_khz);
	pci_init(&m->pci, &m->interrupts);
	init_virtio(m, info);
}

void machine_timer(struct machine *m)
{
	u64 now = ring0_tsc();

	timers_fired(&m->timers);
	if (timer_take(&m->timers, TIMER_PIT, now))
		pit_update(&m->pit);
	if (timer_take(&m->timers, TIMER_RTC, now))
		rtc_update(&m->rtc);
	if (timer_take(&m->timers, TIMER_PM, now))
		pm_update(&m->pm);
	if (timer_take(&m->timers, TIMER_CONSOLE, now))
		console_flush(&m->console);
	if (timer_take(&m->timers, TIMER_VIRTIO_CONSOLE, now))
		virtio_work(&m->virtio_console.device);
	if (m->has_disk && timer_take(&m->timers, TIMER_VIRTIO_BLOCK, now))
		virtio_work(&m->virtio_block.device);
}

void machine_input(struct machine *m, const u8 *bytes, u32 count)
{
	if (virtio_console_listens(&m->virtio_console))
		virtio_console_input(&m->virtio_console, bytes, count);
	else
		uart_input(&m->uart, bytes, count);
}

void machine_end(struct machine *m, enum mon_end how, u32 code)
{
	if (m->ended)
		return;
	console_flush(&m->console);
	m->ended = true;
	ring0_end(how, code);
}
