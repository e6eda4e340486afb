/*
 * virtio: the console and the block device by PCI, as a driver finds them: capabilities, features, queues, interrupts by message; and
 * what a driver can do wrong. Without a disk that half is skipped.
 */
#include "lib/virtio.h"

enum { PAGES = 4, LONG_PIECES = 6, LONG_PIECE = 12 * PAGE_SIZE };

static struct virtio_device console, block;
static volatile u32 interrupts;

static void on_interrupt(struct regs *r)
{
	(void)r;
	interrupts++;
	lapic_eoi();
}

/* --- the console -------------------------------------------------------------------------------------- */

static void print(const char *text)
{
	virtio_describe(&console.ring[1], 0, text, (u32)length(text), 0, 0);
	virtio_offer(&console, 1);
}

static void messages(void)
{
	volatile u32 *control = (volatile u32 *)console.messages + 3;

	interrupts = 0;
	print("# a line by the virtio console\n");
	check("what is printed comes back", virtio_done(&console, 1) != ~0u);
	check("and a message with it", wait_count(&interrupts, 1, PATIENCE_MS));
	*control = 1;
	print("# and one with the message masked\n");
	virtio_done(&console, 1);
	wait_count(&interrupts, 2, 20);
	check_equal("a masked message waits", interrupts, 1);
	*control = 0;
	check("and comes when it may", wait_count(&interrupts, 2, PATIENCE_MS));
}

static void rules(void)
{
	struct virtio_ring *r = &console.ring[1];

	virtio_set8(&console, STATUS, 0);
	check_equal("a reset shows", virtio_get8(&console, STATUS), 0);
	virtio_set8(&console, STATUS, ACKNOWLEDGE | DRIVER);
	virtio_set32(&console, DRIVER_SELECT, 1);
	virtio_set32(&console, DRIVER_FEATURE, 0);
	virtio_set8(&console, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	check_but_tcg("no agreement without VERSION_1", !(virtio_get8(&console, STATUS) & FEATURES_OK));
	virtio_start(&console, 2);
	virtio_describe(r, 0, "x", 1, NEXT, 0);
	virtio_offer(&console, 1);
	for (unsigned ms = 0; !(virtio_get8(&console, STATUS) & NEEDS_RESET) && ms < PATIENCE_MS; ms++)
		delay_us(1000);
	check("a chain in a circle needs a reset", virtio_get8(&console, STATUS) & NEEDS_RESET);
	check_equal("and is not given back", *r->used_index, 0);
	check("after which all is well", virtio_start(&console, 2));
	print("# as new\n");
	check("again", virtio_done(&console, 1) != ~0u);
}

/* --- the block device --------------------------------------------------------------------------------- */

static u8 *buffer[PAGES];

static u8 request(u32 type, u64 sector, u32 bytes)
{
	return virtio_request(&block, type, sector, buffer, bytes);
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
	virtio_set8(&block, STATUS, 0);
	virtio_set8(&block, STATUS, ACKNOWLEDGE | DRIVER);
	virtio_set32(&block, DRIVER_SELECT, 0);
	virtio_set32(&block, DRIVER_FEATURE, 1u << F_INDIRECT);
	virtio_set32(&block, DRIVER_SELECT, 1);
	virtio_set32(&block, DRIVER_FEATURE, 1);
	virtio_set8(&block, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	virtio_queue(&block, 0);
	virtio_set8(&block, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

/* One long request, whatever memory it writes out: more than a monitor carries at a time. */
static void a_long_one(u64 capacity)
{
	static struct virtio_request_header header;
	static volatile u8 status;
	struct virtio_descriptor *table = page_alloc();

	virtio_set32(&block, FEATURE_SELECT, 0);
	check("indirect tables and the event index are offered", (virtio_get32(&block, FEATURE) >> F_INDIRECT & 3) == 3);
	if (capacity * SECTOR < LONG_PIECES * LONG_PIECE) {
		skip("a long request", "the disk is too small");
		return;
	}
	start_indirect();
	header.type = OUT;
	header.sector = 0;
	status = UNTOUCHED;
	table[0] = (struct virtio_descriptor){ (u64)&header, sizeof(header), NEXT, 1 };
	for (unsigned i = 1; i <= LONG_PIECES; i++)
		table[i] = (struct virtio_descriptor){ (u64)image_start, LONG_PIECE, NEXT, (u16)(i + 1) };
	table[LONG_PIECES + 1] = (struct virtio_descriptor){ (u64)&status, 1, WRITE, 0 };
	virtio_describe(&block.ring[0], 0, table, (LONG_PIECES + 2) * sizeof(*table), INDIRECT, 0);
	virtio_offer(&block, 0);
	check_equal("a long request", virtio_done(&block, 0), 1);
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
	check("the block device starts", virtio_start(&block, 1));
	capacity = virtio_capacity(&block);
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
	handlers[VIRTIO_VECTOR] = on_interrupt;
	check("there is a console", virtio_find(&console, TYPE_CONSOLE));
	check("it starts", virtio_start(&console, 2));
	messages();
	rules();
	if (virtio_find(&block, TYPE_BLOCK))
		disk();
	else
		skip("the block device", "this machine has no disk");
}
