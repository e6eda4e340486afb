/*
 * memory_map: all borders, sorted; between two neighbours nothing changes, so one look decides what lies there. Pure, builds hosted.
 */
#include "x86/boot/memory_map.h"

#include "core/bits.h"
#include "x86/mm/mm.h"

#define LOW_MEMORY_LIMIT 0xa0000u /* video memory and ROMs above */
#define FAVOURITE_LOW_PAGE 0x8000u

void raw_map_add(struct raw_map *map, u64 first, u64 bytes, bool ram)
{
	u64 end = first + bytes < first ? ~PAGE_MASK : first + bytes;
	if (end <= first)
		return;
	if (map->count == RAW_RANGES) {
		map->lost++;
		for (u32 i = 0; i < map->count && !ram; i++) /* what must not be used wins, also where it finds no room */
			if (map->at[i].ram && map->at[i].first < end && map->at[i].end > first)
				map->at[i].end = map->at[i].first;
		return;
	}
	map->at[map->count].first = first;
	map->at[map->count].end = end;
	map->at[map->count++].ram = ram;
}

struct borders { u32 count; u64 at[2 * RAW_RANGES + 4]; };

/* Insertion keeps them sorted and single. */
static void border_add(struct borders *b, u64 value)
{
	u32 i = b->count;
	while (i && b->at[i - 1] > value)
		i--;
	if (i && b->at[i - 1] == value)
		return;
	for (u32 j = b->count; j > i; j--)
		b->at[j] = b->at[j - 1];
	b->at[i] = value;
	b->count++;
}

/* Rounds inward what may be used and outward what may not; false if nothing is left. */
static bool entry_clip(const struct raw_map *map, u32 i, u64 limit, u64 *first, u64 *end)
{
	bool ram = map->at[i].ram;
	*first = ram ? align_up(map->at[i].first, PAGE_SIZE) : align_down(map->at[i].first, PAGE_SIZE);
	*end = ram ? align_down(map->at[i].end, PAGE_SIZE) : align_up(map->at[i].end, PAGE_SIZE);
	if (*first < map->at[i].first && ram) /* rounded up past the end of the address space */
		return false;
	if (*end < map->at[i].end && !ram)
		*end = ~PAGE_MASK;
	*end = min_u64(*end, limit);
	return *first < *end;
}

enum what { WHAT_HOLE, WHAT_RAM, WHAT_RESERVED };

static enum what what_is_at(const struct raw_map *map, u64 limit, u64 address)
{
	enum what what = WHAT_HOLE;
	u64 first, end;
	if (address < PAGE_SIZE)
		return WHAT_RESERVED;
	for (u32 i = 0; i < map->count; i++) {
		if (!entry_clip(map, i, limit, &first, &end) || address < first || address >= end)
			continue;
		if (!map->at[i].ram)
			return WHAT_RESERVED;
		what = WHAT_RAM;
	}
	return what;
}

struct writer { struct boot_info *boot; bool ram_only; bool full; u64 pages_lost; };

static void range_add(struct writer *w, u64 first, u64 end, enum what what)
{
	struct boot_info *boot = w->boot;
	struct boot_range *last = boot->range_count ? &boot->range[boot->range_count - 1] : NULL;
	bool ram = what == WHAT_RAM;
	if (what == WHAT_HOLE || (w->ram_only && !ram))
		return;
	if (last && last->ram == ram && last->first.v + last->bytes == first) {
		last->bytes += end - first;
	} else if (boot->range_count < BOOT_MAX_RANGES) {
		boot->range[boot->range_count++] = (struct boot_range){ hpa(first), end - first, ram };
	} else {
		w->full = true;
		w->pages_lost += ram ? (end - first) >> PAGE_SHIFT : 0;
	}
}

static struct writer write_ranges(const struct raw_map *map, const struct borders *b, u64 limit, struct boot_info *boot, bool ram_only)
{
	struct writer w = { boot, ram_only, false, 0 };
	boot->range_count = 0;
	for (u32 i = 0; i + 1 < b->count; i++)
		range_add(&w, b->at[i], b->at[i + 1], what_is_at(map, limit, b->at[i]));
	return w;
}

u64 memory_map_resolve(const struct raw_map *map, u32 phys_bits, struct boot_info *boot)
{
	struct borders b = { 0 };
	u64 limit = 1ull << phys_bits, first, end;
	border_add(&b, 0);
	border_add(&b, PAGE_SIZE);
	for (u32 i = 0; i < map->count; i++) {
		if (entry_clip(map, i, limit, &first, &end)) {
			border_add(&b, first);
			border_add(&b, end);
		}
	}
	struct writer w = write_ranges(map, &b, limit, boot, false);
	if (w.full)
		w = write_ranges(map, &b, limit, boot, true);
	return w.pages_lost;
}

static bool is_ram(const struct boot_info *boot, u64 first, u64 bytes)
{
	for (u32 i = 0; i < boot->range_count; i++) {
		const struct boot_range *r = &boot->range[i];
		if (r->ram && first >= r->first.v && first - r->first.v <= r->bytes && bytes <= r->bytes - (first - r->first.v))
			return true;
	}
	return false;
}

u64 memory_map_low_page(const struct boot_info *boot)
{
	if (is_ram(boot, FAVOURITE_LOW_PAGE, PAGE_SIZE))
		return FAVOURITE_LOW_PAGE;
	for (u64 page = PAGE_SIZE; page < LOW_MEMORY_LIMIT; page += PAGE_SIZE)
		if (is_ram(boot, page, PAGE_SIZE))
			return page;
	return 0;
}

/* Its whole pages; none of an empty one. */
static void module_pages(const struct boot_module *m, u64 *first, u64 *end)
{
	*first = align_down(m->first.v, PAGE_SIZE);
	*end = m->bytes ? align_up(m->first.v + m->bytes, PAGE_SIZE) : *first;
}

/* Whether the pages [first, first + bytes) touch what must stay: the image, one of the first `modules`. Answers where to go on. */
static u64 in_the_way(const struct boot_info *boot, u64 first, u64 bytes, u32 modules)
{
	u64 start, end;
	if (first < align_up(boot->image_end.v, PAGE_SIZE) && first + bytes > align_down(boot->image_first.v, PAGE_SIZE))
		return boot->image_end.v;
	for (u32 i = 0; i < modules; i++) {
		module_pages(&boot->module[i], &start, &end);
		if (start < end && first < end && first + bytes > start)
			return end;
	}
	return 0;
}

u64 memory_map_free_block(const struct boot_info *boot, u64 bytes, u64 limit)
{
	for (u32 i = 0; i < boot->range_count; i++) {
		const struct boot_range *r = &boot->range[i];
		u64 at = align_up(max_u64(r->first.v, LOW_MEMORY_END), BLOCK_SIZE), blocked;
		while (r->ram && at + bytes <= min_u64(r->first.v + r->bytes, limit) && at + bytes > at) {
			blocked = in_the_way(boot, at, align_up(bytes, PAGE_SIZE), boot->module_count);
			if (!blocked)
				return at;
			at = align_up(blocked, BLOCK_SIZE);
		}
	}
	return 0;
}

bool memory_map_lift(struct boot_info *boot, void (*move)(u64 to, u64 from, u64 bytes))
{
	for (u32 i = 0; i < boot->module_count; i++) {
		struct boot_module *m = &boot->module[i];
		if (m->first.v >= LOW_MEMORY_END || !m->bytes)
			continue;
		u64 to = memory_map_free_block(boot, m->bytes, EARLY_LIMIT);
		if (!to)
			return false;
		move(to, m->first.v, m->bytes);
		m->first = hpa(to);
	}
	return true;
}

const struct boot_module *memory_map_misplaced(const struct boot_info *boot)
{
	u64 first, end;
	for (u32 i = 0; i < boot->module_count; i++) {
		module_pages(&boot->module[i], &first, &end);
		if (first < end && (!is_ram(boot, first, end - first) || in_the_way(boot, first, end - first, i)))
			return &boot->module[i];
	}
	return NULL;
}

void memory_map_trim(const struct boot_info *boot, void (*clear)(u64 first, u64 bytes))
{
	u64 first, end;
	for (u32 i = 0; i < boot->module_count; i++) {
		const struct boot_module *m = &boot->module[i];
		module_pages(m, &first, &end);
		if (first == end)
			continue;
		clear(first, m->first.v - first);
		clear(m->first.v + m->bytes, end - m->first.v - m->bytes);
	}
}

u64 early_address(u64 address, u64 bytes)
{
	if (address >= EARLY_LIMIT || bytes > EARLY_LIMIT - address)
		return 0;
	return bytes <= HIGH_ALIAS && address <= HIGH_ALIAS - bytes ? IMAGE_BASE + address : address;
}
