/*
 * mm: what core asks of the machine, and the end of the start. How memory is taken over: boot/memory.c.
 */
#include "x86/mm/mm.h"

#include "x86/asm/access.h"
#include "x86/asm/insn.h"
#include "x86/cpu/regs.h"
#include "x86/mm/slots.h"
#include "x86/mm/space.h"

extern u8 image_start[], init_end[], image_end[];

#define EARLY_LIMIT (4ull << 30) /* what the early map reaches */

struct mm mm;

static void env_scrub(void *context, hfn_t first, u32 count)
{
	(void)context;
	slots_scrub(first, count);
}

static bool env_pool_map(void *context, hfn_t first)
{
	(void)context;
	if (!mm.mapped)
		return frame_hpa(first).v < EARLY_LIMIT;
	/* The tables down to this level were made at boot: this cannot need memory. */
	return pt_map(&mm.kernel, POOL_BASE + frame_hpa(first).v, first, 2, PT_READ | PT_WRITE | PT_GLOBAL) == OK;
}

static void env_kick(void *context, unsigned cpu)
{
	(void)context;
	kick_cpu(cpu);
}

static void env_relax(void *context)
{
	(void)context;
	space_serve(this_cpu());
	pause();
}

static void env_breathe(void *context)
{
	(void)context;
	interrupts_take();
}

static void env_flush_here(void *context, struct view *view)
{
	(void)context;
	space_flush_here(this_cpu(), view);
}

static unsigned env_this_cpu(void *context)
{
	(void)context;
	return this_cpu()->id;
}

const struct mem_env mm_env = {
	.scrub = env_scrub, .pool_map = env_pool_map, .kick = env_kick, .relax = env_relax, .breathe = env_breathe,
	.flush_here = env_flush_here, .this_cpu = env_this_cpu,
};

void mm_cpu_load(struct cpu *c)
{
	u64 generation = view_enter(&mm.shared, c->id);
	write_cr4(read_cr4() & ~(u64)CR4_PGE); /* global entries of the early map go too */
	write_cr3(c->top_hpa.v);
	write_cr4(read_cr4() | (features.pge ? CR4_PGE : 0));
	view_flushed(&mm.shared, c->id, generation);
}

/*
 * No lock is held over the tree: one entry goes, and nobody else's store meets it. Its tables stand since boot, each block of the pool has an
 * entry of its own, and this block is the pool's no more, and free only once the debt is settled: env_pool_map is not asked for it before.
 */
bool mm_shrink_pool(void)
{
	hfn_t first;
	u64 done;
	SETTLEMENT(s, &mm.settler);
	if (!pool_leave(&mm.pool, &first))
		return false;
	CHECK(pt_drop(&mm.kernel, &mm.shared, POOL_BASE + frame_hpa(first).v, BLOCK_SIZE, 1, &s, &done) == OK);
	settle_add_frames(&s, first, BLOCK_FRAMES);
	settle(&s);
	return true;
}

/*
 * The final map never had an entry for these, and whoever loads it (mm_cpu_load) has forgotten the early map, global entries
 * included: once all processors have, no translation of them is left anywhere, and there is nothing to flush. Reading must fault: tried.
 */
static void forget(u64 first, u64 end)
{
	u64 word;
	SETTLEMENT(s, &mm.settler);
	for (u64 at = first; at < end; at += PAGE_SIZE)
		CHECK(!load64_or_fault((const u64 *)at, &word));
	settle_add_frames(&s, hpa_frame(image_hpa((const void *)first)), (u32)((end - first) >> PAGE_SHIFT));
	settle(&s);
}

void mm_forget_boot(void)
{
	forget((u64)image_start, (u64)init_end);
	if (mm.image_end < image_end)
		forget((u64)mm.image_end, (u64)image_end);
}
