/*
 * memory: taking memory over from the loader.
 *
 * 1. The early tables get two more entries: the pool map (the identity map seen from POOL_BASE) and the frame table.
 * 2. The frame table is filled from the memory map; what is free goes to the allocator. Where there is no RAM it is one page of zeros, read-only.
 * 3. The final map is built with the page-table engine, in pool frames: without the start. Each processor then loads its own top-level table.
 */
#include "core/bits.h"
#include "x86/asm/insn.h"
#include "x86/boot/framebuffer.h"
#include "x86/boot/memory_map.h"
#include "x86/boot/start.h"
#include "x86/cpu/log.h"
#include "x86/cpu/stacks.h"
#include "x86/mm/mm.h"

#define TOP_SHIFT      39
#define TOP_INDEX(a)   ((a) >> TOP_SHIFT & 511)
#define RAM_MOST       (1ul << TOP_SHIFT) /* what the pool's part of the addresses reaches */
#define FRAMES_TABLES  3u /* for the frame table and the allocator's bitmaps of so much */
#define ENTRY_TABLE    (BIT(0) | BIT(1)) /* present, writable: the two tables that exist before the engine */

KEPT static u64 frames_pdpt[512] __attribute__((aligned(4096)));
KEPT static u64 frames_pd[FRAMES_TABLES * 512] __attribute__((aligned(4096)));
KEPT static u64 hole_pt[512] __attribute__((aligned(4096))); /* all of it the page of zeros */
KEPT static u64 tail_pt[512] __attribute__((aligned(4096))); /* the last part, which fills no 2 MiB */
KEPT static u8 zeros[PAGE_SIZE] __attribute__((aligned(4096)));

extern u8 init_end[], text_end[], rodata_end[];

/* ---- the frame table ---- */

static u64 ram_limit(const struct boot_info *boot)
{
	u64 limit = 0;
	for (u32 i = 0; i < boot->range_count; i++)
		if (boot->range[i].ram)
			limit = max_u64(limit, boot->range[i].first.v + boot->range[i].bytes);
	if (limit > RAM_MOST)
		log_line("memory above %lu GiB is not used: the last of it ends at %lu GiB", RAM_MOST >> 30, limit >> 30);
	return min_u64(limit, RAM_MOST) >> PAGE_SHIFT;
}

/* For the frame table. */
static hpa_t carve(const struct boot_info *boot, u64 bytes)
{
	u64 at = memory_map_free_block(boot, bytes, RAM_MOST);
	if (!at)
		panic("this machine has not %lu MiB of contiguous memory for the frame table", bytes >> 20);
	return hpa(at);
}

static void mark(u64 first, u64 end, enum frame_kind kind, owner_t owner)
{
	for (u64 f = first; f < end && f < mm.frames.limit; f++)
		mm.frames.at[f] = (struct frame){ .kind = (u8)kind, .owner = owner, .flags = FRAME_DIRTY };
}

static void fill_frame_table(const struct boot_info *boot, hpa_t table, u64 bytes)
{
	for (u32 i = 0; i < boot->range_count; i++) {
		const struct boot_range *r = &boot->range[i];
		u64 first = r->first.v >> PAGE_SHIFT, end = (r->first.v + r->bytes) >> PAGE_SHIFT;
		if (r->ram)
			mark(max_u64(first, LOW_MEMORY_END >> PAGE_SHIFT), end, FRAME_FREE, OWNER_NONE);
	}
	for (u32 i = 0; i < boot->module_count; i++)
		mark(boot->module[i].first.v >> PAGE_SHIFT,
		     align_up(boot->module[i].first.v + boot->module[i].bytes, PAGE_SIZE) >> PAGE_SHIFT, FRAME_BOOT,
		     OWNER_HYPERVISOR);
	mark(boot->image_first.v >> PAGE_SHIFT, align_up(boot->image_end.v, PAGE_SIZE) >> PAGE_SHIFT, FRAME_IMAGE,
	     OWNER_HYPERVISOR);
	mark(table.v >> PAGE_SHIFT, (table.v + bytes) >> PAGE_SHIFT, FRAME_IMAGE, OWNER_HYPERVISOR);
}

/* Of the table's `i`th 2 MiB: whether it describes nothing but holes. */
static bool is_hole(const struct boot_info *boot, u64 i, u64 table_bytes)
{
	u64 frames = BLOCK_SIZE / sizeof(struct frame), first = i * frames << PAGE_SHIFT, end = (i + 1) * frames << PAGE_SHIFT;
	for (u32 k = 0; k < boot->range_count; k++)
		if (boot->range[k].ram && boot->range[k].first.v < end && boot->range[k].first.v + boot->range[k].bytes > first)
			return false;
	return (i + 1) * BLOCK_SIZE <= table_bytes;
}

static void map_page(u64 *entry, hfn_t frame, u32 rights)
{
	*entry = pt_leaf(&fmt_host, frame, 1, (enum pt_rights)(rights | PT_GLOBAL));
}

/* `from`: 2 MiB-aligned. Answers the bytes that it takes there; without `map` only that. */
static u64 map_frame_table(const struct boot_info *boot, u64 table_bytes, u64 bytes, hpa_t from, bool map)
{
	u64 used = 0;
	for (u64 i = 0; i * BLOCK_SIZE < bytes; i++) {
		u64 here = min_u64(bytes - i * BLOCK_SIZE, BLOCK_SIZE);
		hfn_t frame = hpa_frame(hpa(from.v + used));
		if (is_hole(boot, i, table_bytes)) {
			frames_pd[i] = image_hpa(hole_pt).v | ENTRY_TABLE;
			continue;
		}
		used += here;
		if (map && here == BLOCK_SIZE)
			frames_pd[i] = pt_leaf(&fmt_host, frame, 2, PT_READ | PT_WRITE | PT_GLOBAL);
		if (!map || here == BLOCK_SIZE)
			continue;
		for (u64 k = 0; k < here >> PAGE_SHIFT; k++)
			map_page(&tail_pt[k], hfn_add(frame, k), PT_READ | PT_WRITE);
		frames_pd[i] = image_hpa(tail_pt).v | ENTRY_TABLE;
	}
	return used;
}

static void clear_frame_table(const struct boot_info *boot, u64 table_bytes, u64 bytes)
{
	for (u64 at = 0; at < bytes; at += BLOCK_SIZE)
		if (!is_hole(boot, at >> BLOCK_SHIFT, table_bytes))
			__builtin_memset((u8 *)FRAMES_BASE + at, 0, min_u64(bytes - at, BLOCK_SIZE));
}

static void make_frame_table(const struct boot_info *boot, u64 *top)
{
	u64 limit = ram_limit(boot);
	u64 table_bytes = limit * sizeof(struct frame);
	u64 bytes = align_up(align_up(table_bytes, PAGE_SIZE) + alloc_bytes(limit), PAGE_SIZE);
	CHECK(bytes >> BLOCK_SHIFT < ARRAY_SIZE(frames_pd));
	u64 taken = map_frame_table(boot, table_bytes, bytes, hpa(0), false);
	hpa_t at = carve(boot, taken);

	for (u32 i = 0; i < ARRAY_SIZE(hole_pt); i++)
		map_page(&hole_pt[i], hpa_frame(image_hpa(zeros)), PT_READ);
	(void)map_frame_table(boot, table_bytes, bytes, at, true);
	for (u32 i = 0; i < FRAMES_TABLES; i++)
		frames_pdpt[i] = image_hpa(&frames_pd[i * 512]).v | ENTRY_TABLE;
	top[TOP_INDEX(FRAMES_BASE)] = image_hpa(frames_pdpt).v | ENTRY_TABLE;

	clear_frame_table(boot, table_bytes, bytes);
	mm.frames = (struct frame_table){ .at = (struct frame *)FRAMES_BASE, .limit = limit };
	fill_frame_table(boot, at, taken);
	alloc_init(&mm.alloc, mm.frames, (u8 *)FRAMES_BASE + align_up(table_bytes, PAGE_SIZE), &mm_env);
}

/* ---- the shared map ---- */

static void map_image(u8 *first, u8 *end, enum pt_rights rights)
{
	for (u8 *at = first; at < end; at += PAGE_SIZE)
		if (!stack_is_guard((u64)at) && pt_map(&mm.kernel, (u64)at, hpa_frame(image_hpa(at)), 1, rights | PT_GLOBAL) != OK)
			panic("out of memory while mapping Ringmur itself");
}

static void map_xapic(const struct boot_info *boot)
{
	hfn_t page = hpa_frame(hpa(boot->lapic_address));
	if (!features.x2apic && pt_map(&mm.kernel, DEVICES_BASE, page, 1, PT_READ | PT_WRITE | PT_UNCACHED | PT_GLOBAL) != OK)
		panic("out of memory while mapping the local APIC");
}

/* Its own frames and none beside them; nobody else ever gets them, for they are no memory (framebuffer.c). */
static void map_screen(void)
{
	u8 level;
	for (u64 at = screen_first; at < screen_end; at += pt_span(level)) {
		u64 place = SCREEN_BASE + at - align_down(screen_first, BLOCK_SIZE);
		level = !(at & (BLOCK_SIZE - 1)) && screen_end - at >= BLOCK_SIZE ? 2 : 1;
		if (pt_map(&mm.kernel, place, hpa_frame(hpa(at)), level, PT_READ | PT_WRITE | PT_UNCACHED | PT_GLOBAL) != OK)
			panic("out of memory while mapping the screen");
	}
}

static void map_kernel(const struct boot_info *boot, u64 *top)
{
	struct pt_slot slot;
	if (pt_init(&mm.kernel, &fmt_host, &mm.pool, OWNER_HYPERVISOR) != OK)
		panic("out of memory for the first page table");
	mm.kernel.keep = 2; /* processors hold copies of the top entries; growing the pool needs no table */
	map_image(init_end, text_end, PT_READ | PT_EXEC);
	map_image(text_end, rodata_end, PT_READ);
	mm.image_end = (u8 *)&cpu_stacks[boot->cpu_count]; /* stacks of processors that the machine has */
	map_image(rodata_end, mm.image_end, PT_READ | PT_WRITE);

	/* All tables that pool_map may ever need, so that growing the pool needs none. */
	for (u64 at = 0; at < mm.frames.limit << PAGE_SHIFT; at += 1ull << 30)
		if (pt_reach(&mm.kernel, POOL_BASE + at, 2, &slot) != OK)
			panic("out of memory for the pool's tables");
	mm.mapped = true;
	for (u32 i = 0; i < mm.pool.blocks; i++)
		CHECK(mm_env.pool_map(NULL, mm.pool.block[i].first));
	u64 *kernel_top = pool_at(&mm.pool, frame_hpa(mm.kernel.root));
	kernel_top[TOP_INDEX(FRAMES_BASE)] = top[TOP_INDEX(FRAMES_BASE)];
	map_xapic(boot);
	map_screen();
}

void mm_init(const struct boot_info *boot)
{
	u64 *top = early_at(hpa(read_cr3() & ~PAGE_MASK));
	/* Until the final map is loaded the pool's addresses are the identity map's: the first blocks lie below 4 GiB. */
	top[TOP_INDEX(POOL_BASE)] = top[0];
	make_frame_table(boot, top);
	mm.settler.alloc = &mm.alloc;
	mm.settler.pool = &mm.pool;
	mm.settler.env = &mm_env;
	view_init(&mm.shared, "shared", &mm.settler.clock);
	pool_init(&mm.pool, &mm.alloc, (void *)POOL_BASE);
	map_kernel(boot, top);
}

/* ---- one processor ---- */

static hfn_t take(enum frame_kind kind)
{
	hfn_t f;
	if (pool_take(&mm.pool, kind, OWNER_HYPERVISOR, &f) != OK)
		panic("out of memory while starting a processor");
	return f;
}

static void map_private(struct cpu *c)
{
	struct pt private = { .format = &fmt_host, .pool = &mm.pool, .owner = OWNER_HYPERVISOR, .root = hpa_frame(c->top_hpa) };
	struct pt_slot slot;
	for (u64 at = CPU_STACK_TOP - CPU_STACK_SIZE; at < CPU_STACK_TOP; at += PAGE_SIZE)
		if (pt_map(&private, at, take(FRAME_POOL), 1, PT_READ | PT_WRITE) != OK)
			panic("out of memory for a processor's stack");
	if (pt_reach(&private, PRIVATE_CPU_BASE, 1, &slot) != OK)
		panic("out of memory for a processor's slots");
	c->slot_table = (u64 *)slot.entry;
}

void mm_cpu_init(struct cpu *c)
{
	c->top_hpa = frame_hpa(take(FRAME_TABLE));
	c->top = pool_at(&mm.pool, c->top_hpa);
	__builtin_memcpy(c->top, pool_at(&mm.pool, frame_hpa(mm.kernel.root)), PAGE_SIZE);
	map_private(c);
	c->host_save = frame_hpa(take(FRAME_POOL));
	c->host_vmcb = frame_hpa(take(FRAME_POOL));
}
