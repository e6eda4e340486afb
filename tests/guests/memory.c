/*
 * memory: every page of the RAM that the map promises is there, is zero at first, is one page only, and keeps what is written.
 */
#include "lib/guest.h"

enum { LOW_END = 16 << 20 }; /* below: the image, the loader's gifts, the firmware's leavings */
#define KEY 0x9e3779b97f4a7c15ull

static bool page_is_zero(u64 at)
{
	u64 count = PAGE_SIZE / 8;
	bool zero;

	__asm__ volatile("xorl %%eax, %%eax\nrepe scasq" : "+D"(at), "+c"(count), "=@ccz"(zero) : : "rax", "memory");
	return zero;
}

/* Modules, and what describes them, belong to someone. */
static bool is_taken(u64 at)
{
	for (unsigned i = 0; i < boot.modules; i++) {
		u64 from = (u64)boot.module[i].data & ~0xfffull;
		if (at >= from && at < (u64)boot.module[i].data + boot.module[i].size)
			return true;
	}
	return at < LOW_END;
}

typedef void page_fn(u64 at, u64 *count);

static void zero_check(u64 at, u64 *count) { *count += !page_is_zero(at); }
static void write_key(u64 at, u64 *count)
{
	volatile u64 *p = (volatile u64 *)at;
	p[0] = at * KEY;
	p[256] = at;
	p[511] = ~(at * KEY);
	(*count)++;
}
static void check_key(u64 at, u64 *count)
{
	volatile u64 *p = (volatile u64 *)at;
	*count += p[0] != at * KEY || p[511] != ~(at * KEY) || p[256] != at;
}

static u64 each_page(page_fn *fn)
{
	u64 count = 0;

	for (unsigned i = 0; i < boot.ranges; i++) {
		u64 from = (boot.range[i].base + 0xfff) & ~0xfffull, to = (boot.range[i].base + boot.range[i].size) & ~0xfffull;
		if (boot.range[i].type != RANGE_RAM)
			continue;
		for (u64 at = from; at < to; at += PAGE_SIZE)
			if (!is_taken(at))
				fn(at, &count);
	}
	return count;
}

GUEST(memory)
{
	u64 top = 0, total = 0, pages;
	unsigned overlaps = 0;

	for (unsigned i = 0; i < boot.ranges; i++) {
		const struct range *r = &boot.range[i];
		say("# %llx + %llx type %u\n", (unsigned long long)r->base, (unsigned long long)r->size, r->type);
		for (unsigned k = 0; k < i; k++)
			overlaps += r->base < boot.range[k].base + boot.range[k].size && boot.range[k].base < r->base + r->size;
		if (r->type != RANGE_RAM)
			continue;
		total += r->size;
		if (r->base + r->size > top)
			top = r->base + r->size;
	}
	check("the map has RAM", total > LOW_END);
	check_equal("no two ranges overlap", overlaps, 0);
	if (top > 4 * GIB)
		map_identity(4 * GIB, top);
	/* QEMU's firmware leaves traces of itself at the end of RAM. */
	check_but_tcg("every page is zero at first", each_page(zero_check) == 0);
	pages = each_page(write_key);
	say("# %u MiB written\n", (unsigned)(pages >> 8));
	check("nearly all that the map promises was written", pages * PAGE_SIZE + LOW_END + MIB >= total);
	check_equal("every page keeps its own key", each_page(check_key), 0);
}
