/*
 * emulation-race: while ring 0 holds a processor between an exit and what it makes of it, another rewrites the instruction, the page tables or
 * the operand; ring 3 must not get by the emulation what the processor would have refused it. (MV-45)
 *
 * The first processor runs some bytes of code that end in a device's page; it is stopped on the way (tests/points), and the second
 * one acts. Whatever is there then is either what was there before as a whole, or what is there now, judged anew.
 */
#include "points.h"

#define WINDOW 0x200000000ull
#define RAM_AT (WINDOW + PAGE_SIZE)
#define RIGHTS (PTE_P | PTE_W | PTE_U)
enum { IOAPIC = 0xfec00000, PIC_MASK = 0x21, VALUE = 3, KEY = 0x5a5a1234, ALL = 0xff };

static u8 *code;
static u32 *ram;
static u64 source, target, value;
static const u8 *becomes;
static unsigned becomes_bytes;
static u64 table_entry;

static void run_code(void *arg)
{
	u64 from = source, to = target, a = value;

	(void)arg;
	__asm__ volatile("call *%3" : "+a"(a), "+S"(from), "+D"(to) : "r"(code) : "memory", "cc");
}

static void put_code(const u8 *bytes, unsigned n)
{
	copy(code, bytes, n);
	code[n] = 0xc3; /* ret */
}

/* --- what the other processor does when the first one is stopped ------------------------------------------- */

static volatile bool was_stopped;

static volatile u32 *select_register(void) { return (volatile u32 *)(word)IOAPIC; }

static void rewrite_code(void)
{
	was_stopped = is_stopped();
	copy(code, becomes, becomes_bytes);
	points(POINTS_LET_GO, 0, 0);
}

/* The other one's own access to the device is what lets the first one go on: it comes to HV_POINT_FETCH, too. */
static void rewrite_code_then_fetch(void)
{
	was_stopped = is_stopped();
	copy(code, becomes, becomes_bytes);
	(void)*select_register();
}

static void rewrite_table(void)
{
	was_stopped = is_stopped();
	*(volatile u64 *)pte_at(read_cr3(), RAM_AT, 1) = table_entry;
	points(POINTS_LET_GO, 0, 0);
}

/* Runs `bytes` in ring 3, stopped at the point; true: an exception ended it. */
static bool attack(const u8 *bytes, unsigned n, unsigned point, void (*other)(void))
{
	bool trapped;

	put_code(bytes, n);
	was_stopped = false;
	stop_until(point, 0, other == rewrite_code_then_fetch ? HV_POINT_FETCH : POINTS_GO);
	meanwhile(other);
	trapped = guarded_user(run_code, NULL);
	points(POINTS_FORGET, 0, 0);
	check("stopped on the way, and went on", is_over() && was_stopped && points(POINTS_STATE, 0, 0) == POINTS_WENT_ON);
	return trapped;
}

static void becomes_code(const u8 *bytes, unsigned n)
{
	becomes = bytes;
	becomes_bytes = n;
}

/* --- the attacks ------------------------------------------------------------------------------------------- */

static const u8 load[] = { 0x8b, 0x07 }, store[] = { 0x89, 0x07 }, add[] = { 0x01, 0x07 }, out[] = { 0xe6, PIC_MASK }, nops[] = { 0x90, 0x90 },
		moves[] = { 0xa5 };

/* The page may be read by ring 3; the load that exits becomes a store. */
static void read_becomes_write(void)
{
	bool trapped;

	say("# a load from a device becomes a store\n");
	map(WINDOW, IOAPIC, PTE_P | PTE_U, 1);
	*select_register() = 0;
	target = WINDOW;
	value = VALUE;
	becomes_code(store, sizeof store);
	trapped = attack(load, sizeof load, HV_POINT_FETCH, rewrite_code_then_fetch);
	trap_was("it is refused as a store", trapped, V_PF, PF_P | PF_W | PF_U);
	check_equal("  the device has not heard of it", *select_register(), 0);
}

static void read_of_apic_becomes_write(void)
{
	bool trapped;

	if (lapic_x2())
		return;
	say("# the same with the local APIC\n");
	map(WINDOW, LAPIC_ADDRESS, PTE_P | PTE_U, 1);
	target = WINDOW + APIC_TPR;
	value = VALUE << 4;
	becomes_code(store, sizeof store);
	trapped = attack(load, sizeof load, HV_POINT_FETCH, rewrite_code);
	trap_was("it is refused as a store", trapped, V_PF, PF_P | PF_W | PF_U);
	check_equal("  its register is as it was", lapic_read(APIC_TPR), 0);
}

/* Ring 3 may use the device's page, and no port. */
static void access_becomes_out(void)
{
	bool trapped;
	u8 before = inb(PIC_MASK);

	say("# an access to a device becomes an OUT\n");
	map(WINDOW, IOAPIC, RIGHTS, 1);
	target = WINDOW;
	value = (u8)~before;
	becomes_code(out, sizeof out);
	trapped = attack(add, sizeof add, HV_POINT_FETCH, rewrite_code);
	trap_was("ring 3 may not", trapped, V_GP, 0);
	check_equal("  the port has not heard of it", inb(PIC_MASK), before);
}

/* From a device's register to a page of ring 3's; the page becomes ring 0's, before the emulator looks or while it does. */
static void page_becomes_supervisors(const char *when, unsigned point)
{
	bool trapped;

	say("# the page that is stored to becomes the kernel's, %s\n", when);
	map(RAM_AT, (word)ram, RIGHTS, 1);
	*(volatile u32 *)RAM_AT = KEY; /* and the tables above are marked */
	map(WINDOW, IOAPIC, RIGHTS | PTE_A | PTE_D, 1);
	map(RAM_AT, (word)ram, RIGHTS, 1);
	table_entry = (word)ram | PTE_P | PTE_W;
	source = WINDOW;
	target = RAM_AT;
	trapped = attack(moves, sizeof moves, point, rewrite_table);
	trap_was("ring 3 may not", trapped, V_PF, PF_P | PF_W | PF_U);
	check_equal("  at that page", trap.cr2, RAM_AT);
	check_equal("  which is as it was", *ram, KEY);
}

/* The bytes that were fetched are carried out, once. */
static void fetched_once(void)
{
	bool trapped;

	say("# what is being emulated becomes something else\n");
	map(WINDOW, IOAPIC, RIGHTS, 1);
	*select_register() = VALUE;
	target = WINDOW;
	value = VALUE;
	becomes_code(nops, sizeof nops);
	trapped = attack(add, sizeof add, HV_POINT_OPERAND, rewrite_code);
	check("nothing is wrong with it", !trapped);
	check_equal("  it happened as it was, once", *select_register(), 2 * VALUE);
	*select_register() = 0;
}

GUEST(emulation_race)
{
	code = page_alloc();
	ram = page_alloc();
	if (!points_are_there() || !start_others(1, other_main))
		return;
	read_becomes_write();
	read_of_apic_becomes_write();
	access_becomes_out();
	page_becomes_supervisors("before the emulator looks", HV_POINT_FETCH);
	page_becomes_supervisors("between its look and the access", POINT_WALK_JUDGED);
	fetched_once();
}
