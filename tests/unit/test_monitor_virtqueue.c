/*
 * test_monitor_virtqueue: chains as they should be, and every way in which a driver can get them wrong.
 */
#include "monitor/virtio/virtqueue.h"
#include "tests/unit/virtio_ring.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <cmocka.h>

#define MEMORY (64u << 20)
#define DESCRIPTORS 0x1000u
#define AVAILABLE 0x2000u
#define USED 0x3000u
#define TABLE 0x4000u
#define BUFFER 0x10000u
#define SIZE 8u

static struct guest_memory memory;
static struct virtqueue q;
static struct virtqueue_chain chain;
static struct ring ring;

static void enable(u64 used, u16 size)
{
	virtqueue_reset(&q);
	ring = (struct ring){ .descriptors = DESCRIPTORS, .available = AVAILABLE, .used = used, .size = size };
	q.descriptors_at = ring.descriptors;
	q.available_at = ring.available;
	q.used_at = ring.used;
	q.size = size;
}

static int setup(void **state)
{
	(void)state;
	fake_reset(MEMORY);
	guest_memory_init(&memory, fake.window, MEMORY);
	enable(USED, SIZE);
	assert_true(virtqueue_enable(&q, &memory));
	return 0;
}

static bool take(void) { return virtqueue_take(&q, &memory, &chain); }

static void a_chain_is_read_and_written(void **state)
{
	static const struct ring_buffer buffers[] = { { BUFFER, 3, false }, { BUFFER + 0x100, 5, false }, { BUFFER + 0x200, 4, true },
						      { BUFFER + 0x300, 0, true }, { BUFFER + 0x400, 2, true } };
	char text[16] = "";

	(void)state;
	assert_false(take());
	assert_false(q.broken);
	memcpy(fake.window + BUFFER, "abc", 3);
	memcpy(fake.window + BUFFER + 0x100, "defgh", 5);
	ring.free = 6; /* around the table's end */
	ring_chain(&ring, buffers, 5);
	assert_true(take());
	assert_int_equal(chain.head, 6);
	assert_int_equal(chain.out.left, 8);
	assert_int_equal(chain.in.left, 6);
	assert_int_equal(virtqueue_read(&chain, text, 4), 4);
	assert_int_equal(virtqueue_read(&chain, text + 4, 9), 4);
	assert_string_equal(text, "abcdefgh");
	assert_int_equal(virtqueue_write(&chain, "123456789", 9), 6);
	assert_int_equal(chain.in.left, 0);
	assert_memory_equal(fake.window + BUFFER + 0x200, "1234\0", 5);
	assert_memory_equal(fake.window + BUFFER + 0x400, "56\0", 3);
	virtqueue_give(&q, &chain, 6);
	assert_int_equal(ring_used(&ring), 1);
	assert_int_equal(ring_used_head(&ring, 0), 6);
	assert_int_equal(ring_used_length(&ring, 0), 6);
	assert_false(take());
}

static void indices_run_over(void **state)
{
	static const struct ring_buffer buffer = { BUFFER, 1, true };

	(void)state;
	for (u32 i = 0; i < 70000; i++) {
		u16 head = ring_chain(&ring, &buffer, 1);

		assert_true(take());
		assert_int_equal(chain.head, head);
		virtqueue_give(&q, &chain, i);
		assert_int_equal(ring_used_length(&ring, (u16)i), i);
	}
	for (u32 i = 0; i < SIZE; i++) /* a full ring */
		ring_chain(&ring, &buffer, 1);
	for (u32 i = 0; i < SIZE; i++)
		assert_true(take());
	assert_false(take());
	assert_false(q.broken);
}

static void indirect_tables(void **state)
{
	(void)state;
	ring_describe(TABLE, 0, BUFFER, 10, RING_NEXT, 2);
	ring_describe(TABLE, 2, BUFFER + 0x100, 20, RING_WRITE, 0);
	ring_describe(DESCRIPTORS, 0, BUFFER + 0x200, 30, RING_NEXT, 1); /* ordinary ones may come first */
	ring_describe(DESCRIPTORS, 1, TABLE, 3 * RING_DESCRIPTOR, RING_INDIRECT, 0);
	ring_offer(&ring, 0);
	assert_true(take());
	assert_int_equal(chain.count, 3);
	assert_int_equal(chain.out.left, 40);
	assert_int_equal(chain.in.left, 20);
}

static void rings_must_lie_in_ram(void **state)
{
	static const struct { u64 descriptors, available, used; u32 size; bool right; } cases[] = {
		{ DESCRIPTORS, AVAILABLE, USED, 128, true },
		{ DESCRIPTORS, AVAILABLE, USED, 0, false },
		{ DESCRIPTORS, AVAILABLE, USED, 12, false },
		{ DESCRIPTORS, AVAILABLE, USED, 256, false },
		{ DESCRIPTORS + 8, AVAILABLE, USED, 8, false },
		{ DESCRIPTORS, AVAILABLE + 1, USED, 8, false },
		{ DESCRIPTORS, AVAILABLE, USED + 2, 8, false },
		{ MEMORY - 128, MEMORY - 22, USED, 8, true },
		{ MEMORY - 112, AVAILABLE, USED, 8, false },
		{ DESCRIPTORS, MEMORY - 20, USED, 8, false },
		{ DESCRIPTORS, AVAILABLE, MEMORY - 72, 8, true },
		{ DESCRIPTORS, AVAILABLE, MEMORY - 68, 8, false },
		{ ~0ull << 4, AVAILABLE, USED, 8, false },
		{ MON_PCI_MMIO, AVAILABLE, USED, 8, false },
	};

	(void)state;
	for (u32 i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		virtqueue_reset(&q);
		q.descriptors_at = cases[i].descriptors;
		q.available_at = cases[i].available;
		q.used_at = cases[i].used;
		q.size = (u16)cases[i].size;
		assert_int_equal(virtqueue_enable(&q, &memory), cases[i].right);
		assert_int_equal(q.broken, !cases[i].right);
		assert_int_equal(q.enabled, cases[i].right);
	}
}

/* What was described as descriptor 0 and offered must not be taken, and nothing after it either. */
static void is_refused(void)
{
	static const struct ring_buffer right = { BUFFER, 1, true };

	ring_offer(&ring, 0);
	assert_false(take());
	assert_true(q.broken);
	ring.free = 4;
	ring_chain(&ring, &right, 1);
	assert_false(take());
	assert_int_equal(ring_used(&ring), 0);
	setup(NULL);
}

static void wrong_descriptors(void **state)
{
	(void)state;
	ring_offer(&ring, SIZE); /* a head that is none */
	is_refused();
	ring_describe(DESCRIPTORS, 0, BUFFER, 1, RING_NEXT, SIZE);
	is_refused();
	ring_describe(DESCRIPTORS, 0, BUFFER, 1, RING_NEXT, 0); /* a loop */
	is_refused();
	ring_describe(DESCRIPTORS, 0, BUFFER, 1, RING_NEXT, 1);
	ring_describe(DESCRIPTORS, 1, BUFFER, 1, RING_NEXT, 0);
	is_refused();
	ring_describe(DESCRIPTORS, 0, BUFFER, 1, RING_WRITE | RING_NEXT, 1); /* written before read */
	ring_describe(DESCRIPTORS, 1, BUFFER, 1, 0, 0);
	is_refused();
	ring_put(AVAILABLE + 2, 2, SIZE + 1); /* more than the ring holds; is_refused() adds one */
	is_refused();
}

static void buffers_must_lie_in_ram(void **state)
{
	static const struct { u64 at; u32 length; } wrong[] = {
		{ MEMORY, 1 }, { MEMORY - 1, 2 }, { ~0ull, 2 }, { ~0ull, 1 }, { BUFFER, 0xffffffff }, { MON_LAPIC, 4 }, { 1ull << 63, 1 },
	};

	(void)state;
	for (u32 i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ring_describe(DESCRIPTORS, 0, wrong[i].at, wrong[i].length, RING_WRITE, 0);
		is_refused();
	}
	ring_describe(DESCRIPTORS, 0, MEMORY - 1, 1, RING_WRITE, 0);
	ring_offer(&ring, 0);
	assert_true(take());
}

static void wrong_indirect_tables(void **state)
{
	static const struct { u64 at; u32 length, flags; } wrong[] = {
		{ TABLE, 0, RING_INDIRECT }, { TABLE, 24, RING_INDIRECT }, { TABLE, 16, RING_INDIRECT | RING_NEXT },
		{ MEMORY - 16, 32, RING_INDIRECT }, { ~0ull - 15, 16, RING_INDIRECT },
	};

	(void)state;
	for (u32 i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ring_describe(TABLE, 0, BUFFER, 1, 0, 0);
		ring_describe(DESCRIPTORS, 0, wrong[i].at, wrong[i].length, wrong[i].flags, 1);
		ring_describe(DESCRIPTORS, 1, BUFFER, 1, 0, 0);
		is_refused();
	}
	ring_describe(DESCRIPTORS, 0, TABLE, 32, RING_INDIRECT, 0);
	ring_describe(TABLE, 0, TABLE + 16, 16, RING_INDIRECT, 0); /* one within another */
	is_refused();
	ring_describe(DESCRIPTORS, 0, TABLE, 32, RING_INDIRECT, 0);
	ring_describe(TABLE, 0, BUFFER, 1, RING_NEXT, 2); /* out of the table */
	ring_describe(TABLE, 2, BUFFER, 1, 0, 0);
	is_refused();
	ring_describe(DESCRIPTORS, 0, TABLE, 32, RING_INDIRECT, 0);
	ring_describe(TABLE, 0, BUFFER, 1, RING_NEXT, 1); /* a loop */
	ring_describe(TABLE, 1, BUFFER, 1, RING_NEXT, 0);
	is_refused();
	ring_describe(DESCRIPTORS, 0, TABLE, (SIZE + 1) * RING_DESCRIPTOR, RING_INDIRECT, 0); /* longer than the queue */
	for (u32 i = 0; i <= SIZE; i++)
		ring_describe(TABLE, i, BUFFER, 1, i < SIZE ? RING_NEXT : 0, i + 1);
	is_refused();
}

static void a_chain_has_at_most_4_gib(void **state)
{
	(void)state;
	enable(USED, 128);
	assert_true(virtqueue_enable(&q, &memory));
	for (u32 i = 0; i < 128; i++)
		ring_describe(DESCRIPTORS, i, 0, MEMORY, i < 63 ? RING_NEXT : 0, i + 1);
	ring_offer(&ring, 0);
	assert_true(take());
	assert_int_equal(chain.out.left, 1ull << 32);
	ring_describe(DESCRIPTORS, 63, 0, MEMORY, RING_NEXT, 64);
	ring_offer(&ring, 0);
	assert_false(take());
	assert_true(q.broken);
}

/* ---- the order of what the driver sees ---- */

static u8 *watched_page;
static u16 index_at_element;
static u32 elements_written;

static void element_is_written(int number)
{
	(void)number;
	elements_written++;
	memcpy(&index_at_element, watched_page - 2, sizeof(index_at_element));
	mprotect(watched_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

/* The ring's index ends one page and its first element begins the next, which is read-only: the signal sees which comes first. */
static void the_element_comes_before_the_index(void **state)
{
	static const struct ring_buffer buffer = { BUFFER, 1, true };
	u64 gpa = PAGE_SIZE * 8 - ((u64)(uintptr_t)fake.window & PAGE_MASK) - 4;
	struct sigaction action = { .sa_handler = element_is_written }, before;

	(void)state;
	enable(gpa, SIZE);
	assert_true(virtqueue_enable(&q, &memory));
	watched_page = fake.window + gpa + 4;
	ring_chain(&ring, &buffer, 1);
	assert_true(take());
	sigaction(SIGSEGV, &action, &before);
	assert_int_equal(mprotect(watched_page, PAGE_SIZE, PROT_READ), 0);
	virtqueue_give(&q, &chain, 1);
	mprotect(watched_page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &before, NULL);
	assert_int_equal(elements_written, 1);
	assert_int_equal(index_at_element, 0);
	assert_int_equal(ring_used(&ring), 1);
}

/* ---- when to interrupt ---- */

static void give(u32 count)
{
	static const struct ring_buffer buffer = { BUFFER, 1, true };

	for (u32 i = 0; i < count; i++) {
		ring_chain(&ring, &buffer, 1);
		assert_true(take());
		virtqueue_give(&q, &chain, 0);
	}
}

static void interrupts_by_flag(void **state)
{
	(void)state;
	assert_false(virtqueue_interrupts(&q));
	give(3);
	assert_true(virtqueue_interrupts(&q));
	assert_false(virtqueue_interrupts(&q)); /* once for all of them */
	ring_put(AVAILABLE, 2, 1);
	give(1);
	assert_false(virtqueue_interrupts(&q));
	ring_put(AVAILABLE, 2, 0);
	give(1);
	assert_true(virtqueue_interrupts(&q));
}

static void interrupts_by_event_index(void **state)
{
	const u64 used_event = AVAILABLE + 4 + 2 * SIZE, avail_event = USED + 4 + 8 * SIZE;

	(void)state;
	q.event_index = true;
	give(1);
	assert_true(virtqueue_interrupts(&q)); /* wished for element 0 */
	ring_put(used_event, 2, 3);
	give(2);
	assert_false(virtqueue_interrupts(&q)); /* 1 and 2 */
	give(1);
	assert_true(virtqueue_interrupts(&q));
	give(1);
	assert_false(virtqueue_interrupts(&q)); /* passed already */
	ring_put(used_event, 2, 6);
	give(4);
	assert_true(virtqueue_interrupts(&q)); /* 6 is among them */
	assert_int_equal(ring_get(avail_event, 2), 0);
	assert_false(take());
	assert_int_equal(ring_get(avail_event, 2), 9); /* say when there is a tenth */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_chain_is_read_and_written, setup),
		cmocka_unit_test_setup(indices_run_over, setup),
		cmocka_unit_test_setup(indirect_tables, setup),
		cmocka_unit_test_setup(rings_must_lie_in_ram, setup),
		cmocka_unit_test_setup(wrong_descriptors, setup),
		cmocka_unit_test_setup(buffers_must_lie_in_ram, setup),
		cmocka_unit_test_setup(wrong_indirect_tables, setup),
		cmocka_unit_test_setup(a_chain_has_at_most_4_gib, setup),
		cmocka_unit_test_setup(the_element_comes_before_the_index, setup),
		cmocka_unit_test_setup(interrupts_by_flag, setup),
		cmocka_unit_test_setup(interrupts_by_event_index, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
