/*
 * fuzz_pt: the page-table engine against a plain model: an array with one element for each page that says where it leads, with which rights.
 *
 * The first byte chooses the format; steps of 6 bytes map, drop, split, merge, take memory away, read and write as a processor does. After
 * each the independent MMU must find exactly what the model says, in both formats, and every table must be accounted for.
 */
#include "core/bits.h"
#include "sim/sim.h"
#include "tests/fuzz/must.h"

#include <string.h>

#define OWNER ((owner_t)OWNER_FIRST_VM)
#define FRAMES (6 * BLOCK_FRAMES) /* the least that has a block for the pool and one for a guest */
#define AREAS 3u
#define AREA_BLOCKS 2u
#define AREA_PAGES (AREA_BLOCKS * BLOCK_FRAMES)
#define STEP_BYTES 6u
#define STEPS_MOST 64u
#define TRIES_MOST 400u
#define COMPARE_EACH 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Beside one another, in another entry of the top table, and in the upper half of the addresses. */
static const u64 area_at[AREAS] = { 5ull << 30, (5ull << 40) + BLOCK_SIZE, 0xffffff8000000000ull };

struct page { u64 frame; enum pt_rights rights; bool written; }; /* frame 0: there is nothing */

static struct {
	struct sim *s;
	struct pt pt;
	struct view view;
	hfn_t block; /* 2 MiB of the guest's: what everything leads to */
	bool failing; /* an allocation of this step may fail */
	struct page page[AREAS][AREA_PAGES];
} f;

static u8 ram[FRAMES * PAGE_SIZE] __attribute__((aligned(BLOCK_SIZE)));

static u64 address_of(u32 area, u32 page) { return area_at[area] + ((u64)page << PAGE_SHIFT); }

static struct mmu_translation look(u64 address) { return mmu_walk_from(&f.s->ram, frame_hpa(f.pt.root).v, 4, address); }

/* ---- what the MMU sees ---- */

static void compare_page(const struct mmu_translation *t, const struct page *p, u64 further)
{
	must(t->present == (p->frame != 0), p->frame ? "a page is gone" : "a page is there");
	if (!p->frame)
		return;
	must(t->frame + further == p->frame, "a page leads elsewhere");
	must(t->write == !!(p->rights & PT_WRITE) && t->exec == !!(p->rights & PT_EXEC), "a page has other rights");
	must(t->user == (f.pt.format == &fmt_npt || (p->rights & PT_USER)), "a page is whose it was not");
	must(!p->written || (*t->entry & f.pt.format->dirty), "a page was written, and D is lost");
}

/* Only level 1 tables have an entry for each page: what ends above is the same for the whole block. */
static void compare_block(u32 area, u32 first)
{
	struct mmu_translation t = look(address_of(area, first));
	bool whole = t.table_count < 4;
	for (u32 i = 0; i < BLOCK_FRAMES; i++) {
		if (!whole)
			t = look(address_of(area, first + i));
		compare_page(&t, &f.page[area][first + i], whole ? i : 0);
	}
}

static bool count_table(void *context, hfn_t table, u8 level, u64 address)
{
	const struct frame *frame = frame_of(&f.s->frames, table);
	(void)level, (void)address;
	must(frame->kind == FRAME_TABLE && frame->owner == OWNER, "a table's frame is something else");
	++*(u64 *)context;
	return true;
}

static bool count_leaf(void *context, u64 address, u64 entry, u8 level)
{
	(void)address, (void)entry;
	*(u64 *)context += pt_frames(level);
	return true;
}

static void compare_all(void)
{
	u64 tables = 0;
	for (u32 area = 0; area < AREAS; area++) {
		u64 leaves = 0, pages = 0;
		for (u32 block = 0; block < AREA_BLOCKS; block++)
			compare_block(area, block * BLOCK_FRAMES);
		for (u32 i = 0; i < AREA_PAGES; i++)
			pages += f.page[area][i].frame != 0;
		pt_visit(&f.pt, area_at[area], AREA_BLOCKS * BLOCK_SIZE, count_leaf, &leaves);
		must(leaves == pages, "a visit of the leaves finds another number of them");
	}
	pt_visit_tables(&f.pt, f.pt.format->levels, 0, count_table, &tables);
	must(tables == f.pt.tables && tables == f.s->pool.used_frames, "tables are lost, or counted twice");
}

/* ---- steps ---- */

static bool block_is(u32 area, u32 first, bool (*good)(const struct page *p, const struct page *begins, u32 i))
{
	for (u32 i = 0; i < BLOCK_FRAMES; i++)
		if (!good(&f.page[area][first + i], &f.page[area][first], i))
			return false;
	return true;
}

static bool follows(const struct page *p, const struct page *begins, u32 i)
{
	return p->frame == begins->frame + i && begins->frame % BLOCK_FRAMES == 0 && p->rights == begins->rights && begins->frame;
}

static void map_small(u32 area, u32 page, u32 frame, enum pt_rights rights)
{
	struct page *p = &f.page[area][page], new = { f.block.v + frame, rights, false };
	struct mmu_translation before = look(address_of(area, page));
	status st = pt_map(&f.pt, address_of(area, page), hfn(new.frame), 1, rights);
	bool same = p->frame == new.frame && p->rights == rights && before.page_shift == PAGE_SHIFT;
	if (st == NO_MEMORY && f.failing && !p->frame)
		return;
	must(st == (!p->frame || same ? OK : IN_USE), "mapping a page is answered wrongly");
	if (st == OK && !p->frame)
		*p = new;
}

static void map_large(u32 area, u32 first, enum pt_rights rights)
{
	struct page *p = &f.page[area][first];
	struct mmu_translation before = look(address_of(area, first));
	bool hole = !before.present && before.table_count < 4;
	bool same = before.present && before.page_shift == BLOCK_SHIFT && p->frame == f.block.v && p->rights == rights;
	status st = pt_map(&f.pt, address_of(area, first), f.block, 2, rights);
	if (st == NO_MEMORY && f.failing && hole)
		return;
	must(st == (hole || same ? OK : IN_USE), "mapping a block is answered wrongly");
	for (u32 i = 0; st == OK && hole && i < BLOCK_FRAMES; i++)
		p[i] = (struct page){ f.block.v + i, rights, false };
}

static void drop(u32 area, u32 first, u32 count, u32 budget)
{
	count = (u32)min_u64(count, budget * TRIES_MOST / 2);
	for (u32 tries = 0;; tries++) {
		u64 done = 0;
		SETTLEMENT(debt, &f.s->settler);
		status st = pt_drop(&f.pt, &f.view, address_of(area, first), (u64)count << PAGE_SHIFT, budget, &debt, &done);
		settle(&debt);
		must(done % PAGE_SIZE == 0 && done >> PAGE_SHIFT <= count, "more is dropped than was asked for");
		memset(&f.page[area][first], 0, (done >> PAGE_SHIFT) * sizeof(struct page));
		first += (u32)(done >> PAGE_SHIFT);
		count -= (u32)(done >> PAGE_SHIFT);
		must(st == AGAIN || st == NO_MEMORY || count == 0, "less is dropped than was answered");
		if (st != AGAIN)
			return;
		must(tries < TRIES_MOST, "a drop makes no progress");
		if (tries % COMPARE_EACH == 0)
			compare_all();
	}
}

static void reach(u32 area, u32 page, u8 level)
{
	struct pt_slot slot;
	status st = pt_reach(&f.pt, address_of(area, page), level, &slot);
	must(st == OK || (st == NO_MEMORY && f.failing), "a way down is refused");
	must(st != OK || slot.level == level, "a way down ends elsewhere");
}

static void merge(u32 area, u32 first)
{
	bool has_table = look(address_of(area, first)).table_count == 4;
	SETTLEMENT(debt, &f.s->settler);
	status st = pt_merge(&f.pt, &f.view, address_of(area, first), 2, &debt);
	settle(&debt);
	must(st == (has_table && block_is(area, first, follows) ? OK : NOT_THERE), "merging is answered wrongly");
}

static void access(u32 area, u32 page, bool write)
{
	struct page *p = &f.page[area][page];
	u32 first = page - page % BLOCK_FRAMES;
	struct mmu_translation t = mmu_access(&f.s->ram, frame_hpa(f.pt.root).v, address_of(area, page), write);
	if (!write || !t.present || !t.write)
		return;
	p->written = true;
	for (u32 i = 0; t.page_shift == BLOCK_SHIFT && i < BLOCK_FRAMES; i++)
		f.page[area][first + i].written = true; /* one D for all of them */
}

static void destroy(void)
{
	status st;
	u32 tries = 0;
	do {
		SETTLEMENT(debt, &f.s->settler);
		st = pt_destroy(&f.pt, &f.view, &debt);
		settle(&debt);
		must(tries++ < TRIES_MOST, "a destroy makes no progress");
	} while (st == AGAIN);
	/* It splits nothing: it needs no memory. */
	must(st == OK && f.s->pool.used_frames == 0, "a destroyed tree leaves tables");
	memset(f.page, 0, sizeof(f.page));
}

static void step(const u8 *b)
{
	f.failing = f.s->alloc.fail_after >= 0;
	u32 area = b[1] % AREAS, page = (b[2] | (u32)b[3] << 8) % AREA_PAGES, first = page - page % BLOCK_FRAMES;
	u32 more = PT_WRITE | PT_EXEC | (f.pt.format == &fmt_npt ? 0 : PT_USER); /* in nested tables every page is a user's */
	enum pt_rights rights = (enum pt_rights)(PT_READ | (b[4] & more));
	switch (b[0] % 12) {
	case 0: map_small(area, page, page % BLOCK_FRAMES, rights); break;
	case 1: map_small(area, page, b[5], rights); break;
	case 2: map_large(area, first, rights); break;
	case 3: drop(area, page, 1 + (u32)(b[4] | b[5] << 8) % (AREA_PAGES - page), 1 + (b[0] >> 4) * 40u); break;
	case 4: drop(area, first, b[5] & 1 && first == 0 ? AREA_PAGES : BLOCK_FRAMES, 1 + b[4]); break;
	case 5: reach(area, page, 1 + b[5] % 3); break;
	case 6: merge(area, first); break;
	case 7: access(area, page, b[5] & 1); break;
	case 8: f.s->alloc.fail_after = b[5] & 1 ? b[4] % 4 : -1; break;
	case 9: f.pt.keep = b[5] & 1 ? 3 : 0; break;
	case 10: /* a run of pages, as faults one after the other leave them */
		for (u32 i = page; i < first + BLOCK_FRAMES; i++)
			map_small(area, i, i % BLOCK_FRAMES, rights);
		break;
	default:
		f.s->alloc.fail_after = -1;
		destroy();
		must(pt_init(&f.pt, f.pt.format, &f.s->pool, OWNER) == OK, "no memory for a table");
	}
}

static void begin(const struct pt_format *format)
{
	struct alloc_preparing p = { .first = HFN_NONE };
	status st;
	memset(f.page, 0, sizeof(f.page));
	f.s = sim_new(&(struct sim_config){ .seed = 1, .frames = FRAMES, .ram = ram });
	f.s->quiet = true;
	do
		st = alloc_block_clean(&f.s->alloc, &p, FRAME_GUEST, OWNER, &f.block);
	while (st == AGAIN);
	must(st == OK && pt_init(&f.pt, format, &f.s->pool, OWNER) == OK, "no memory to begin with");
	view_init(&f.view, "fuzzed", &f.s->settler.clock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	begin(data[0] & 1 ? &fmt_host : &fmt_npt);
	for (size_t at = 1, n = 0; at + STEP_BYTES <= size && n < STEPS_MOST; at += STEP_BYTES, n++) {
		step(data + at);
		compare_all();
	}
	destroy();
	sim_free(f.s);
	return 0;
}
