/*
 * virtio: the console and the block device by PCI, as a driver finds them: capabilities, features, queues, interrupts by message; and
 * what a driver can do wrong. Without a disk that half is skipped.
 */
#include "lib/guest.h"

enum { ADDRESS = 0xcf8, DATA = 0xcfc, SLOTS = 32, VENDOR = 0x1af4, TYPE_BLOCK = 0x1042, TYPE_CONSOLE = 0x1043 };
enum { COMMAND = 4, MEMORY_AND_MASTER = 6, BAR0 = 0x10, CAPABILITIES = 0x34, BAR_64 = 4, CAP_VENDOR = 9, CAP_MSIX = 0x11, MSIX_ON = 0x8000 };
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_KINDS };
enum { /* offsets in the common structure */
	FEATURE_SELECT = 0, FEATURE = 4, DRIVER_SELECT = 8, DRIVER_FEATURE = 12, STATUS = 20, SELECT = 22, QUEUE_SIZE = 24, QUEUE_VECTOR = 26,
	QUEUE_ENABLE = 28, NOTIFY_OFF = 30, QUEUE_DESC = 32, QUEUE_DRIVER = 40, QUEUE_DEVICE = 48,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { F_INDIRECT = 28, NEXT = 1, WRITE = 2, INDIRECT = 4, RING = 8, PATIENCE_MS = 2000, SECTOR = 512 };
enum { IN, OUT, FLUSH = 4, GET_ID = 8, NO_TYPE = 99, OK = 0, IOERR, UNSUPP, UNTOUCHED = 0x77 };
enum { VECTOR = V_FREE, PAGES = 4, LONG_PIECES = 6, LONG_PIECE = 12 * PAGE_SIZE };

struct descriptor {
	u64 address;
	u32 length;
	u16 flags, next;
};
struct ring { /* one page each, to be simple */
	volatile struct descriptor *table;
	volatile u16 *available; /* flags, index, ring */
	volatile u16 *used_index;
	volatile u32 *used; /* id, length, ... */
	u16 seen;
};
struct device {
	unsigned slot, msix;
	volatile u8 *part[CAP_KINDS], *messages;
	u32 multiplier;
	struct ring ring[2];
};

static struct device console, block;
static volatile u32 interrupts;

/* --- the function ------------------------------------------------------------------------------------- */

static u32 config(const struct device *d, unsigned at)
{
	outl(ADDRESS, 0x80000000u | d->slot << 11 | (at & 0xfc));
	return inl(DATA) >> at % 4 * 8;
}

static void config_word(const struct device *d, unsigned at, u16 value)
{
	outl(ADDRESS, 0x80000000u | d->slot << 11 | (at & 0xfc));
	outw((u16)(DATA + at % 4), value);
}

static volatile u8 *place(const struct device *d, unsigned bar, u32 offset)
{
	u32 low = config(d, BAR0 + bar * 4);
	u64 at = (low & ~15u) | (low & BAR_64 ? (u64)config(d, BAR0 + bar * 4 + 4) << 32 : 0);

	map_identity(at + offset, at + offset + PAGE_SIZE);
	return (volatile u8 *)(at + offset);
}

static bool find(struct device *d, u16 type)
{
	for (d->slot = 0; d->slot < SLOTS; d->slot++)
		if (config(d, 0) == (VENDOR | (u32)type << 16))
			break;
	if (d->slot == SLOTS)
		return false;
	config_word(d, COMMAND, MEMORY_AND_MASTER);
	for (unsigned at = config(d, CAPABILITIES) & 0xff, i = 0; at && i < SLOTS; at = config(d, at + 1) & 0xff, i++) {
		unsigned id = config(d, at) & 0xff, kind = config(d, at + 3) & 0xff;

		if (id == CAP_MSIX) {
			u32 table = config(d, at + 4);
			d->msix = at;
			d->messages = place(d, table & 7, table & ~7u);
		} else if (id == CAP_VENDOR && kind < CAP_KINDS && !d->part[kind]) {
			d->part[kind] = place(d, config(d, at + 4) & 0xff, config(d, at + 8));
			if (kind == CAP_NOTIFY)
				d->multiplier = config(d, at + 16);
		}
	}
	return d->part[CAP_COMMON] && d->part[CAP_NOTIFY] && d->part[CAP_ISR] && d->part[CAP_DEVICE] && d->messages;
}

static u8 get8(struct device *d, unsigned at) { return d->part[CAP_COMMON][at]; }
static u16 get16(struct device *d, unsigned at) { return *(volatile u16 *)(d->part[CAP_COMMON] + at); }
static u32 get32(struct device *d, unsigned at) { return *(volatile u32 *)(d->part[CAP_COMMON] + at); }
static void set8(struct device *d, unsigned at, u8 v) { d->part[CAP_COMMON][at] = v; }
static void set16(struct device *d, unsigned at, u16 v) { *(volatile u16 *)(d->part[CAP_COMMON] + at) = v; }
static void set32(struct device *d, unsigned at, u32 v) { *(volatile u32 *)(d->part[CAP_COMMON] + at) = v; }
static void set64(struct device *d, unsigned at, u64 v) { set32(d, at, (u32)v), set32(d, at + 4, (u32)(v >> 32)); }

/* --- the driver --------------------------------------------------------------------------------------- */

static void queue(struct device *d, unsigned i)
{
	struct ring *r = &d->ring[i];
	u8 *used = page_alloc();

	r->table = page_alloc();
	r->available = page_alloc();
	r->used_index = (volatile u16 *)(used + 2);
	r->used = (volatile u32 *)(used + 4);
	r->seen = 0;
	set16(d, SELECT, (u16)i);
	set16(d, QUEUE_SIZE, RING);
	set16(d, QUEUE_VECTOR, 0);
	set64(d, QUEUE_DESC, (u64)r->table);
	set64(d, QUEUE_DRIVER, (u64)r->available);
	set64(d, QUEUE_DEVICE, (u64)used);
	set16(d, QUEUE_ENABLE, 1);
}

/* The statuses that 3.1.1 prescribes, with VERSION_1 as the only feature; queues with message 0. */
static bool start(struct device *d, unsigned queues)
{
	volatile u32 *message = (volatile u32 *)d->messages;

	set8(d, STATUS, 0);
	set8(d, STATUS, ACKNOWLEDGE | DRIVER);
	set32(d, DRIVER_SELECT, 0);
	set32(d, DRIVER_FEATURE, 0);
	set32(d, DRIVER_SELECT, 1);
	set32(d, DRIVER_FEATURE, 1);
	set8(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	if (!(get8(d, STATUS) & FEATURES_OK))
		return false;
	config_word(d, d->msix + 2, MSIX_ON);
	message[0] = LAPIC_ADDRESS | lapic_read(APIC_ID) >> 24 << 12;
	message[1] = 0;
	message[2] = VECTOR;
	message[3] = 0;
	for (unsigned i = 0; i < queues; i++)
		queue(d, i);
	set8(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	return get8(d, STATUS) == (ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void describe(struct ring *r, unsigned i, const volatile void *at, u32 length, unsigned flags, unsigned next)
{
	r->table[i].address = (u64)at;
	r->table[i].length = length;
	r->table[i].flags = (u16)flags;
	r->table[i].next = (u16)next;
}

static void offer(struct device *d, unsigned i)
{
	struct ring *r = &d->ring[i];

	r->available[2 + r->available[1] % RING] = 0;
	r->available[1]++;
	set16(d, SELECT, (u16)i);
	*(volatile u16 *)(d->part[CAP_NOTIFY] + get16(d, NOTIFY_OFF) * d->multiplier) = (u16)i;
}

/* The device has given one chain back; its length, or ~0. */
static u32 done(struct device *d, unsigned i)
{
	struct ring *r = &d->ring[i];

	for (unsigned ms = 0; *r->used_index == r->seen && ms < PATIENCE_MS; ms++)
		delay_us(1000);
	return *r->used_index == r->seen ? ~0u : r->used[r->seen++ % RING * 2 + 1];
}

static void on_interrupt(struct regs *r)
{
	(void)r;
	interrupts++;
	lapic_eoi();
}

/* --- the console -------------------------------------------------------------------------------------- */

static void print(const char *text)
{
	describe(&console.ring[1], 0, text, (u32)length(text), 0, 0);
	offer(&console, 1);
}

static void messages(void)
{
	volatile u32 *control = (volatile u32 *)console.messages + 3;

	interrupts = 0;
	print("# a line by the virtio console\n");
	check("what is printed comes back", done(&console, 1) != ~0u);
	check("and a message with it", wait_count(&interrupts, 1, PATIENCE_MS));
	*control = 1;
	print("# and one with the message masked\n");
	done(&console, 1);
	wait_count(&interrupts, 2, 20);
	check_equal("a masked message waits", interrupts, 1);
	*control = 0;
	check("and comes when it may", wait_count(&interrupts, 2, PATIENCE_MS));
}

static void rules(void)
{
	struct ring *r = &console.ring[1];

	set8(&console, STATUS, 0);
	check_equal("a reset shows", get8(&console, STATUS), 0);
	set8(&console, STATUS, ACKNOWLEDGE | DRIVER);
	set32(&console, DRIVER_SELECT, 1);
	set32(&console, DRIVER_FEATURE, 0);
	set8(&console, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	check_but_tcg("no agreement without VERSION_1", !(get8(&console, STATUS) & FEATURES_OK));
	start(&console, 2);
	describe(r, 0, "x", 1, NEXT, 0);
	offer(&console, 1);
	for (unsigned ms = 0; !(get8(&console, STATUS) & NEEDS_RESET) && ms < PATIENCE_MS; ms++)
		delay_us(1000);
	check("a chain in a circle needs a reset", get8(&console, STATUS) & NEEDS_RESET);
	check_equal("and is not given back", *r->used_index, 0);
	check("after which all is well", start(&console, 2));
	print("# as new\n");
	check("again", done(&console, 1) != ~0u);
}

/* --- the block device --------------------------------------------------------------------------------- */

static struct { u32 type, reserved; u64 sector; } header;
static volatile u8 status;
static u8 *buffer[PAGES];

/* One request with so many bytes of data, a page a descriptor; the device's status. */
static u8 request(u32 type, u64 sector, u32 bytes)
{
	struct ring *r = &block.ring[0];
	unsigned n = 0;

	header.type = type;
	header.sector = sector;
	status = UNTOUCHED;
	describe(r, n, &header, sizeof(header), NEXT, n + 1);
	for (u32 at = 0; at < bytes; at += PAGE_SIZE) {
		u32 part = bytes - at < PAGE_SIZE ? bytes - at : PAGE_SIZE;
		n++;
		describe(r, n, buffer[at / PAGE_SIZE], part, NEXT | (type == OUT ? 0 : WRITE), n + 1);
	}
	n++;
	describe(r, n, &status, 1, WRITE, 0);
	offer(&block, 0);
	done(&block, 0);
	return status;
}

static bool all_are(const u8 *at, u8 value, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (at[i] != value)
			return false;
	return true;
}

static void reads_and_writes(void)
{
	u8 *before = page_alloc();

	check_equal("a read", request(IN, 0, PAGE_SIZE), OK);
	copy(before, buffer[0], PAGE_SIZE);
	check("nobody has written here before", !all_are(before + 3 * SECTOR, 0xa5, SECTOR));
	fill(buffer[0], 0xa5, 2 * SECTOR);
	check_equal("a write", request(OUT, 3, 2 * SECTOR), OK);
	check_equal("a flush", request(FLUSH, 0, 0), OK);
	check_equal("read again", request(IN, 0, PAGE_SIZE), OK);
	check("what was written is there", all_are(buffer[0] + 3 * SECTOR, 0xa5, 2 * SECTOR));
	check("what was not is as before", same(buffer[0], before, 3 * SECTOR) &&
						   same(buffer[0] + 5 * SECTOR, before + 5 * SECTOR, 3 * SECTOR));
	for (unsigned i = 0; i < 4; i++)
		fill(buffer[i], (u8)(i + 1), PAGE_SIZE);
	check_equal("four pages at once", request(OUT, 9, 4 * PAGE_SIZE), OK);
	for (unsigned i = 0; i < 4; i++)
		fill(buffer[i], 0, PAGE_SIZE);
	check_equal("and back", request(IN, 9, 4 * PAGE_SIZE), OK);
	check("in order", all_are(buffer[0], 1, PAGE_SIZE) && all_are(buffer[3], 4, PAGE_SIZE));
}

/* The same driver, with indirect tables. */
static void start_indirect(void)
{
	set8(&block, STATUS, 0);
	set8(&block, STATUS, ACKNOWLEDGE | DRIVER);
	set32(&block, DRIVER_SELECT, 0);
	set32(&block, DRIVER_FEATURE, 1u << F_INDIRECT);
	set32(&block, DRIVER_SELECT, 1);
	set32(&block, DRIVER_FEATURE, 1);
	set8(&block, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	queue(&block, 0);
	set8(&block, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

/* One long request, whatever memory it writes out: more than a monitor carries at a time. */
static void a_long_one(u64 capacity)
{
	struct descriptor *table = page_alloc();

	set32(&block, FEATURE_SELECT, 0);
	check("indirect tables and the event index are offered", (get32(&block, FEATURE) >> F_INDIRECT & 3) == 3);
	if (capacity * SECTOR < LONG_PIECES * LONG_PIECE) {
		skip("a long request", "the disk is too small");
		return;
	}
	start_indirect();
	header.type = OUT;
	header.sector = 0;
	status = UNTOUCHED;
	table[0] = (struct descriptor){ (u64)&header, sizeof(header), NEXT, 1 };
	for (unsigned i = 1; i <= LONG_PIECES; i++)
		table[i] = (struct descriptor){ (u64)image_start, LONG_PIECE, NEXT, (u16)(i + 1) };
	table[LONG_PIECES + 1] = (struct descriptor){ (u64)&status, 1, WRITE, 0 };
	describe(&block.ring[0], 0, table, (LONG_PIECES + 2) * sizeof(*table), INDIRECT, 0);
	offer(&block, 0);
	check_equal("a long request", done(&block, 0), 1);
	check_equal("is done", status, OK);
}

static void refusals(u64 capacity)
{
	check_equal("the last sector", request(IN, capacity - 1, SECTOR), OK);
	check_equal("none after it", request(IN, capacity, SECTOR), IOERR);
	check_equal("none after it to write", request(OUT, capacity - 1, 2 * SECTOR), IOERR);
	check_equal("nor far away", request(IN, ~0ull >> 9, SECTOR), IOERR);
	check_equal("no part of a sector", request(OUT, 0, SECTOR - 1), IOERR);
	check_equal("an unknown request", request(NO_TYPE, 0, SECTOR), UNSUPP);
	check_equal("its name", request(GET_ID, 0, 20), OK);
}

static void disk(void)
{
	u64 capacity;

	for (unsigned i = 0; i < PAGES; i++)
		buffer[i] = page_alloc();
	check("the block device starts", start(&block, 1));
	capacity = *(volatile u32 *)block.part[CAP_DEVICE] | (u64) * (volatile u32 *)(block.part[CAP_DEVICE] + 4) << 32;
	say("# a disk of %u sectors\n", (unsigned)capacity);
	check("it has sectors", capacity >= 64);
	interrupts = 0;
	reads_and_writes();
	check("interrupts came", wait_count(&interrupts, 1, PATIENCE_MS));
	refusals(capacity);
	a_long_one(capacity);
}

GUEST(virtio)
{
	lapic_enable();
	handlers[VECTOR] = on_interrupt;
	check("there is a console", find(&console, TYPE_CONSOLE));
	check("it starts", start(&console, 2));
	messages();
	rules();
	if (find(&block, TYPE_BLOCK))
		disk();
	else
		skip("the block device", "this machine has no disk");
}
