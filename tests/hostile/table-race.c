/*
 * table-race: each time ring 0 has walked the guest's tables for the emulator and is about to mark an entry, another processor changes that
 * entry: the walk begins anew, and not for ever. (MV-45)
 *
 * The machine is ended for it; table-race.sh looks how.
 */
#include "points.h"

#define WINDOW 0x200000000ull
#define RAM_AT (WINDOW + PAGE_SIZE)
#define IGNORED (1ull << 9) /* a bit of an entry that means nothing */
#define RIGHTS (PTE_P | PTE_W | PTE_U)
enum { IOAPIC = 0xfec00000 };

static volatile u64 *entry;
static volatile u32 times;

static void change_it_each_time(void)
{
	for (;;)
		if (is_stopped()) {
			*entry ^= IGNORED;
			times++;
			points(POINTS_LET_GO, 0, 0);
		}
}

GUEST(table_race)
{
	u32 *ram = page_alloc();
	u64 from = WINDOW, to = RAM_AT;

	if (!points_are_there() || !start_others(1, other_main))
		return;
	map(RAM_AT, (word)ram, RIGHTS, 1);
	*(volatile u32 *)RAM_AT = 1; /* the tables above are marked */
	map(WINDOW, IOAPIC, RIGHTS | PTE_A | PTE_D, 1);
	map(RAM_AT, (word)ram, RIGHTS, 1);
	entry = pte_at(read_cr3(), RAM_AT, 1);
	points(POINTS_STOP, POINT_WALK_JUDGED, points_order(0, POINTS_GO, 1));
	meanwhile(change_it_each_time);
	__asm__ volatile("movsl" : "+S"(from), "+D"(to) : : "memory");
	check_equal("the walk never ends", points(POINTS_STATE, 0, 0), POINTS_STOPPED);
	say("# %u times changed\n", times);
}
