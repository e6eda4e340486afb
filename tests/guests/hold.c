/*
 * hold: fills its memory with the pattern of a key and keeps it. The key's word is the last one on the command line.
 *
 * Says `hold WORD: N MiB written, M foreign` when it has; foreign is what was not zero before; then the same of its disk, if it has
 * one, in KiB. The key is in registers too, of the kinds that are kept outside of its memory. Each typed byte makes it compare all and say
 * `hold WORD: N MiB verified, M wrong`; `k` prints the key instead, so that it is in whatever keeps what was printed; `q` ends it.
 */
#include "lib/virtio.h"

#include "lib/key.h"

enum { LOW_END = 16 << 20, NAME = 64, VECTOR = V_FREE, DIVIDE_BY_1 = 0xb, SHORT_WHILE = 5000000, PAGES = 4, PRINTED = 50 };

typedef u64 word_fn(volatile u64 *at, u64 index);
static u64 key;
static char name[NAME];

static u64 count_foreign(volatile u64 *at, u64 index)
{
	u64 before = *at;

	*at = key_pattern(key, index);
	return before != 0;
}

static u64 compare(volatile u64 *at, u64 index)
{
	return *at != key_pattern(key, index);
}

/* Over all RAM between the image's part and 4 GiB; returns the sum, and the bytes by `size`. */
static u64 each_word(word_fn *fn, u64 *size)
{
	u64 sum = 0;

	*size = 0;
	for (unsigned i = 0; i < boot.ranges; i++) {
		u64 from = boot.range[i].base, to = from + boot.range[i].size;
		if (boot.range[i].type != RANGE_RAM || to <= LOW_END || to > 4 * GIB)
			continue;
		from = from < LOW_END ? LOW_END : (from + PAGE_SIZE - 1) & ~(u64)(PAGE_SIZE - 1);
		to &= ~(u64)(PAGE_SIZE - 1);
		for (u64 at = from; at < to; at += sizeof(u64))
			sum += fn((volatile u64 *)at, (*size + at - from) / sizeof(u64));
		*size += to - from;
	}
	return sum;
}

/* --- places of the machine's that are none of its memory --------------------------------------------------------------- */

/* All of the disk, a few pages at a time; 0 where there is none. */
static u64 fill_disk(u64 *size)
{
	static struct virtio_device block;
	u8 *pages[PAGES];
	u64 foreign = 0, chunk = PAGES * PAGE_SIZE / SECTOR, sectors;

	*size = 0;
	if (!virtio_find(&block, TYPE_BLOCK) || !virtio_start(&block, 1))
		return 0;
	for (unsigned i = 0; i < PAGES; i++)
		pages[i] = page_alloc();
	sectors = virtio_capacity(&block);
	for (u64 at = 0; at + chunk <= sectors; at += chunk) {
		if (virtio_request(&block, IN, at, pages, PAGES * PAGE_SIZE) != OK)
			return ~0ull;
		for (unsigned i = 0; i < PAGES * KEY_WORDS; i++)
			foreign += count_foreign((volatile u64 *)pages[i / KEY_WORDS] + i % KEY_WORDS, i);
		if (virtio_request(&block, OUT, at, pages, PAGES * PAGE_SIZE) != OK)
			return ~0ull;
		*size += chunk * SECTOR;
	}
	return foreign;
}

static void fill_registers(void)
{
	write_cr4(read_cr4() | CR4_OSFXSR);
	__asm__ volatile("movq %0, %%xmm0\nmovq %0, %%xmm7\nmovq %0, %%xmm15\nmovddup %%xmm0, %%xmm1" : : "r"(key));
	write_dr0(key);
	write_dr3(key);
	wrmsr(MSR_STAR, key);
}

/* Its digits, so that a search knows them from the pattern. */
static void print_key(void)
{
	for (unsigned i = 0; i < PRINTED; i++)
		say("hold %s: %016llx\n", name, (unsigned long long)key);
}

/* The command line's last word: some loaders put the image's name before it. */
static void read_name(void)
{
	const char *line = boot.cmdline ? boot.cmdline : "";
	size_t end = length(line), begin;

	while (end && line[end - 1] == ' ')
		end--;
	for (begin = end; begin && line[begin - 1] != ' ' && end - begin < NAME - 1; begin--)
		;
	copy(name, line + begin, end - begin);
}

static void on_timer(struct regs *r)
{
	(void)r;
	lapic_eoi();
}

/* Halted between looks: the host's processors are idle then, and that is when they scrub. */
static int wait_typed(void)
{
	int byte;

	handlers[VECTOR] = on_timer;
	lapic_enable();
	lapic_write(APIC_DIVIDE, DIVIDE_BY_1);
	lapic_write(APIC_TIMER, VECTOR);
	while ((byte = typed()) < 0) {
		lapic_write(APIC_TIMER_COUNT, SHORT_WHILE);
		wait_irq();
	}
	return byte;
}

GUEST(hold)
{
	u64 size, found;

	int byte;

	read_name();
	key = ~key_complement(name);
	fill_registers();
	found = each_word(count_foreign, &size);
	say("hold %s: %u MiB written, %lu foreign\n", name, (unsigned)(size >> 20), found);
	found = fill_disk(&size);
	if (size || found)
		say("hold %s: %u KiB of disk written, %lu foreign\n", name, (unsigned)(size >> 10), found);
	while ((byte = wait_typed()) != 'q') {
		if (byte == 'k') {
			print_key();
			continue;
		}
		found = each_word(compare, &size);
		say("hold %s: %u MiB verified, %lu wrong\n", name, (unsigned)(size >> 20), found);
	}
	check("all was right", found == 0);
}
