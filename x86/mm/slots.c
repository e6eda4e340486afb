#include "x86/mm/slots.h"

#include "core/check.h"
#include "core/pt.h"
#include "x86/asm/insn.h"
#include "x86/cpu/cpu.h"
#include "x86/mm/mm.h"

#define SLOTS_BASE (PRIVATE_CPU_BASE)

u64 slots_scrubbed, slots_scrub_ticks;

static u64 *slot_entry(u32 slot)
{
	return this_cpu()->slot_table + slot;
}

static u8 *slot_address(u32 slot)
{
	return (u8 *)(SLOTS_BASE + slot * PAGE_SIZE);
}

void *slot_map(u32 slot, hfn_t frame)
{
	CHECK(slot < SLOT_COUNT && *slot_entry(slot) == 0);
	*slot_entry(slot) = pt_leaf(&fmt_host, frame, 1, PT_READ | PT_WRITE);
	return slot_address(slot);
}

void slot_unmap(u32 slot)
{
	*slot_entry(slot) = 0;
	invlpg(slot_address(slot));
}

void slots_scrub(hfn_t first, u32 count)
{
	u64 begin = rdtsc();
	CHECK(count <= SCRUB_SLICE_FRAMES);
	for (u32 i = 0; i < count; i++)
		slot_map(i, hfn_add(first, i));
	__builtin_memset(slot_address(0), 0, count * PAGE_SIZE);
	for (u32 i = 0; i < count; i++)
		slot_unmap(i);
	__atomic_fetch_add(&slots_scrubbed, count, __ATOMIC_RELAXED);
	__atomic_fetch_add(&slots_scrub_ticks, rdtsc() - begin, __ATOMIC_RELAXED);
}
