/*
 * test_monitor_block: the block device on a disk of memory and on an image; what is refused; that a request takes turns; and, at the end,
 * random requests against a plain array.
 */
#include "tests/unit/virtio_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define MEMORY (8u << 20)
#define HEADER 0x200000u
#define STATUS 0x201000u
#define DATA   0x300000u
#define SECTOR 512u
#define BLOCK 4096u
#define DISK (BLOCK * 16 + SECTOR * 3) /* its last block is a short one */

enum { IN, OUT, FLUSH = 4, GET_ID = 8, OK = 0, IOERR = 1, UNSUPP = 2, UNTOUCHED = 0x77 };

static struct machine machine;
static struct driver d;
static u8 *image; /* of exactly the disk's size */
static u8 original[DISK];

static int start(u64 bytes, const u8 *from)
{
	fake_reset(MEMORY);
	fake_disk(bytes, from);
	machine_init(&machine, &fake.info);
	driver_find(&d, &machine, SLOT_VIRTIO_BLOCK);
	driver_start(&d, 0, 1);
	return 0;
}

static int memory_disk(void **state)
{
	(void)state;
	return start(DISK, NULL);
}

static int image_disk(void **state)
{
	(void)state;
	for (u32 i = 0; i < DISK; i++)
		image[i] = original[i] = (u8)(i * 7 + i / 251);
	return start(DISK, image);
}

static void offer(u32 type, u64 sector, u32 bytes)
{
	const struct ring_buffer b[] = { { HEADER, 16, false }, { DATA, bytes, type != OUT }, { STATUS, 1, true } };
	const struct ring_buffer bare[] = { b[0], b[2] };

	ring_put(HEADER, 8, type);
	ring_put(HEADER + 8, 8, sector);
	fake.window[STATUS] = UNTOUCHED;
	ring_chain(&d.ring[0], bytes != 0 ? b : bare, bytes != 0 ? 3 : 2);
}

/* One request, to its end; its status. */
static u8 request(u32 type, u64 sector, u32 bytes)
{
	u16 before = ring_used(&d.ring[0]);

	offer(type, sector, bytes);
	driver_notify(&d, 0);
	for (u32 i = 0; ring_used(&d.ring[0]) == before && i < 100; i++)
		driver_timer(&d);
	assert_int_equal((u16)(ring_used(&d.ring[0]) - before), 1);
	return fake.window[STATUS];
}

static u32 last_length(void) { return ring_used_length(&d.ring[0], (u16)(ring_used(&d.ring[0]) - 1)); }

static u8 *data(void) { return fake.window + DATA; }

static void no_disk_no_device(void **state)
{
	(void)state;
	fake_reset(MEMORY);
	machine_init(&machine, &fake.info);
	d = (struct driver){ .machine = &machine, .slot = SLOT_VIRTIO_BLOCK };
	assert_int_equal(driver_config(&d, PCI_VENDOR, 4), 0xffffffff);
	fake_disk(SECTOR - 1, NULL); /* not one sector */
	machine_init(&machine, &fake.info);
	assert_int_equal(driver_config(&d, PCI_VENDOR, 4), 0xffffffff);
}

static void what_it_says_of_itself(void **state)
{
	(void)state;
	assert_int_equal(driver_config(&d, PCI_VENDOR, 4), 0x10421af4);
	assert_int_equal(driver_config(&d, PCI_CLASS, 1), 0);
	assert_int_equal(driver_config(&d, 0x0a, 2), 0x0180);
	assert_int_equal(driver_get(&d, VP_CONFIG, 8), DISK / SECTOR);
	assert_int_equal(driver_get(&d, VP_CONFIG + 12, 4), 126);
	assert_int_equal(driver_get(&d, VP_CONFIG + 20, 4), SECTOR);
	assert_int_equal(driver_get(&d, VP_CONFIG + 0xff8, 8), 0);
	driver_put(&d, VP_DEVICE_SELECT, 4, 0);
	assert_int_equal(driver_get(&d, VP_DEVICE_FEATURE, 4), 0x30000244);
	assert_int_equal(request(GET_ID, 0, 20), OK);
	assert_string_equal((char *)data(), "ringmur-disk");
	assert_int_equal(last_length(), 21);
	assert_int_equal(request(GET_ID, 0, 4), OK);
	assert_int_equal(last_length(), 5);
	assert_int_equal(request(FLUSH, 0, 0), OK);
	assert_int_equal(last_length(), 1);
	assert_int_equal(request(3, 0, SECTOR), UNSUPP);
	assert_int_equal(request(0xffffffff, 0, 0), UNSUPP);
}

static void memory_keeps_what_is_written(void **state)
{
	static const u8 zeros[BLOCK * 3];

	(void)state;
	memset(data(), 0x5a, sizeof(zeros));
	assert_int_equal(request(IN, 7, sizeof(zeros)), OK);
	assert_memory_equal(data(), zeros, sizeof(zeros));
	assert_int_equal(last_length(), sizeof(zeros) + 1);
	memset(data(), 0xa5, SECTOR * 2);
	assert_int_equal(request(OUT, 7, SECTOR * 2), OK); /* over the boundary of two blocks */
	assert_int_equal(last_length(), 1);
	memset(data(), 0, SECTOR * 4);
	assert_int_equal(request(IN, 6, SECTOR * 4), OK);
	assert_memory_equal(data(), zeros, SECTOR);
	assert_int_equal(data()[SECTOR], 0xa5);
	assert_int_equal(data()[3 * SECTOR - 1], 0xa5);
	assert_memory_equal(data() + 3 * SECTOR, zeros, SECTOR);
}

/* A frame is given when the store is touched: reading what was never written must not. */
static void reading_touches_no_memory(void **state)
{
	(void)state;
	memset(fake.disk, 0xee, DISK);
	assert_int_equal(request(IN, 0, DISK), OK);
	for (u32 i = 0; i < DISK; i++)
		assert_int_equal(data()[i], 0);
}

static void an_image_is_never_written(void **state)
{
	(void)state;
	assert_int_equal(request(IN, 0, DISK), OK);
	assert_memory_equal(data(), original, DISK);
	memset(data(), 0xc3, DISK);
	assert_int_equal(request(OUT, 9, SECTOR), OK);
	assert_int_equal(request(OUT, 24, SECTOR * 8), OK);               /* a whole block */
	assert_int_equal(request(OUT, DISK / SECTOR - 1, SECTOR), OK); /* the end of the short one */
	assert_memory_equal(image, original, DISK);
	assert_int_equal(request(IN, 0, DISK), OK);
	for (u32 i = 0; i < DISK; i++) {
		u32 sector = i / SECTOR;
		bool mine = sector == 9 || sector / 8 == 3 || sector == DISK / SECTOR - 1;

		assert_int_equal(data()[i], mine ? 0xc3 : original[i]);
	}
}

static void nothing_beyond_the_end(void **state)
{
	const u64 end = DISK / SECTOR;

	(void)state;
	for (u32 i = 0; i < 2; i++) {
		u32 type = i ? OUT : IN;

		assert_int_equal(request(type, end - 1, SECTOR), OK);
		assert_int_equal(request(type, end, SECTOR), IOERR);
		assert_int_equal(request(type, end - 1, 2 * SECTOR), IOERR);
		assert_int_equal(request(type, ~0ull, SECTOR), IOERR);
		assert_int_equal(request(type, ~0ull / SECTOR, SECTOR), IOERR); /* in bytes it would come round */
		assert_int_equal(request(type, 1ull << 55, SECTOR), IOERR);
		assert_int_equal(request(type, 0, SECTOR - 1), IOERR);
		assert_int_equal(last_length(), 1);
		assert_int_equal(request(type, end, 0), OK); /* nothing at the end is nothing */
	}
}

/* However a request is cut into buffers, it means the same. */
static void any_framing(void **state)
{
	static const struct ring_buffer b[] = {
		{ HEADER, 3, false },  { HEADER + 3, 1, false },	{ HEADER + 4, 12, false },
		{ DATA, 500, true },   { DATA + 1000, 0, true }, { DATA + 2000, 13, true }, /* 512 bytes and the status */
	};

	(void)state;
	ring_put(HEADER, 8, IN);
	ring_put(HEADER + 8, 8, 5);
	fake.window[DATA + 2012] = UNTOUCHED;
	ring_chain(&d.ring[0], b, 6);
	driver_notify(&d, 0);
	assert_int_equal(fake.window[DATA + 2012], OK);
	assert_memory_equal(data(), original + 5 * SECTOR, 500);
	assert_memory_equal(data() + 2000, original + 5 * SECTOR + 500, 12);
}

static void what_cannot_be_answered_breaks_the_queue(void **state)
{
	static const struct ring_buffer wrong[][2] = {
		{ { HEADER, 15, false }, { STATUS, 1, true } },
		{ { HEADER, 16, false }, { STATUS, 0, true } },
	};

	for (u32 i = 0; i < 2; i++) {
		image_disk(state);
		ring_chain(&d.ring[0], wrong[i], 2);
		driver_notify(&d, 0);
		assert_int_equal(driver_get(&d, VP_STATUS, 1), 0x4f);
		assert_int_equal(ring_used(&d.ring[0]), 0);
	}
}

/* A request of 1 MiB is carried in turns with pauses between; one interrupt at its end. */
static void a_long_request_takes_turns(void **state)
{
	const u32 bytes = 1 << 20;
	u32 turns = 1;

	(void)state;
	start(bytes, NULL);
	memset(data(), 0x11, bytes);
	offer(OUT, 0, bytes);
	driver_notify(&d, 0);
	for (; ring_used(&d.ring[0]) == 0; turns++) {
		u64 before = fake.tsc;

		assert_int_equal(machine.interrupts.ioapic.lines, 0);
		assert_int_equal(fake.window[STATUS], UNTOUCHED);
		assert_true(driver_timer(&d));
		assert_int_equal(fake.tsc - before, FAKE_SECOND / VIRTIO_PAUSES_A_SECOND);
	}
	assert_int_equal(turns, bytes / VIRTIO_TURN_BYTES);
	assert_int_equal(fake.window[STATUS], OK);
	assert_int_equal(machine.interrupts.ioapic.lines, 1u << 19);
	assert_int_equal(fake.disk[bytes - 1], 0x11);
}

static void a_reset_amid_a_request(void **state)
{
	const u32 bytes = 1 << 20;

	(void)state;
	start(bytes, NULL);
	offer(OUT, 0, bytes);
	driver_notify(&d, 0);
	driver_put(&d, VP_STATUS, 1, 0);
	while (driver_timer(&d))
		;
	assert_int_equal(fake.window[STATUS], UNTOUCHED);
	driver_start(&d, 0, 1);
	assert_int_equal(request(GET_ID, 0, 20), OK);
	assert_string_equal((char *)data(), "ringmur-disk");
	assert_int_equal(ring_used(&d.ring[0]), 1);
}

static u64 random_state = 0x9e3779b97f4a7c15ull;

static u32 random_below(u32 n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (u32)(random_state >> 20) % n;
}

static void random_requests(void **state)
{
	static u8 model[DISK];

	(void)state;
	memcpy(model, original, DISK);
	for (u32 i = 0; i < 3000; i++) {
		u32 sectors = 1 + random_below(random_below(4) ? 9 : DISK / SECTOR + 2), sector = random_below(DISK / SECTOR + 2);
		u32 bytes = sectors * SECTOR, type = random_below(2);
		bool fits = sector + sectors <= DISK / SECTOR;

		for (u32 j = 0; j < bytes; j++)
			data()[j] = (u8)(i + j);
		assert_int_equal(request(type, sector, bytes), fits ? OK : IOERR);
		if (!fits)
			continue;
		if (type == OUT)
			memcpy(model + sector * SECTOR, data(), bytes);
		else
			assert_memory_equal(data(), model + sector * SECTOR, bytes);
	}
	assert_memory_equal(image, original, DISK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_disk_no_device),
		cmocka_unit_test_setup(what_it_says_of_itself, memory_disk),
		cmocka_unit_test_setup(memory_keeps_what_is_written, memory_disk),
		cmocka_unit_test_setup(reading_touches_no_memory, memory_disk),
		cmocka_unit_test_setup(an_image_is_never_written, image_disk),
		cmocka_unit_test_setup(nothing_beyond_the_end, memory_disk),
		cmocka_unit_test_setup(any_framing, image_disk),
		cmocka_unit_test(what_cannot_be_answered_breaks_the_queue),
		cmocka_unit_test(a_long_request_takes_turns),
		cmocka_unit_test(a_reset_amid_a_request),
		cmocka_unit_test_setup(random_requests, image_disk),
	};

	image = malloc(DISK);
	return image == NULL || cmocka_run_group_tests(tests, NULL, NULL);
}
