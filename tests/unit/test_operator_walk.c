/*
 * The drawing of a walk: right for every kind of end, and nothing at all changes by looking.
 */
#include "core/bits.h"
#include "hv/operator/walk.h"
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OWNER OWNER_FIRST_VM
#define RAM_FRAMES (2 * BLOCK_FRAMES)
/* Guest frames: tables of a guest, its data, and one that it never touched. */
enum { T4 = SIM_RAM_FIRST, T3, T2, T1, DATA, UNTOUCHED, OUTSIDE = SIM_RAM_FIRST + RAM_FRAMES + 5, DEVICE_PAGE = SIM_RAM_FIRST + RAM_FRAMES };
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };

static struct { struct sim *s; struct gwalk_mode mode; char text[8192]; u32 length; } t;

static void keep(void *context, const char *text, u32 length)
{
	(void)context;
	assert_true(t.length + length < sizeof t.text);
	memcpy(t.text + t.length, text, length);
	t.length += length;
	t.text[t.length] = 0;
}

static u64 read_frame(void *context, hfn_t frame, u32 offset, u32 size)
{
	u64 value = 0;
	(void)context;
	assert_int_equal(frame_of(&t.s->frames, frame)->owner, OWNER);
	memcpy(&value, t.s->ram.at + frame_hpa(frame).v + offset, size);
	return value;
}

static const struct say to = { .write = keep };

static u64 hpa_of(u64 gfn_number)
{
	struct pmap_backing b = pmap_look(&t.s->vm[0].pmap, gfn(gfn_number));
	assert_int_equal(b.state, PMAP_PRESENT);
	return frame_hpa(b.frame).v;
}

static void put(u64 table, u32 index, u64 entry, u32 size)
{
	memcpy(t.s->ram.at + hpa_of(table) + index * size, &entry, size);
}

static u64 entry_to(u64 gfn_number, u64 bits) { return gfn_number << PAGE_SHIFT | bits; }

/* Every byte of the machine, and what core counts. */
struct all { u8 *ram; u64 counted[6]; };

static struct all all_of(struct sim *s)
{
	struct all a = { malloc(s->ram.bytes), { s->alloc.changes, s->pool.used_frames, s->vm[0].pmap.resident, s->vm[0].pmap.changes,
						 s->vm[0].nested.table.changes, s->vm[0].nested.table.tables } };
	memcpy(a.ram, s->ram.at, s->ram.bytes);
	return a;
}

static void draw(u64 at, bool physical)
{
	struct walk w = { .to = &to, .nested = &t.s->vm[0].nested, .read = read_frame };
	struct all before = all_of(t.s);
	t.length = 0;
	if (physical)
		walk_physical(&w, gpa(at));
	else
		walk_virtual(&w, &t.mode, gva(at));
	struct all after = all_of(t.s);
	assert_memory_equal(before.ram, after.ram, t.s->ram.bytes);
	assert_memory_equal(before.counted, after.counted, sizeof before.counted);
	free(before.ram);
	free(after.ram);
}

static void expect(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void expect(const char *format, ...)
{
	char wanted[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(wanted, sizeof wanted, format, arguments);
	va_end(arguments);
	if (!strstr(t.text, wanted))
		fail_msg("no '%s' in:\n%s", wanted, t.text);
}

static void set_mode(u64 cr0, u64 cr4, u64 efer, u64 cr3)
{
	struct gwalk_registers r = { .cr0 = cr0, .cr3 = cr3, .cr4 = cr4, .efer = efer };
	struct gwalk_cpu c = { .maxphyaddr = 40, .nx = true, .pse36 = true };
	t.mode = gwalk_mode_of(&r, &c);
}

static int setup(void **state)
{
	(void)state;
	t.s = sim_new(&(struct sim_config){ .seed = 1, .small = true });
	t.s->quiet = true;
	assert_int_equal(sim_vm_start(t.s, &t.s->vm[0], OWNER, RAM_FRAMES), OK);
	sim_enter(t.s, 0, &t.s->vm[0].vcpu[0]);
	for (u64 f = T4; f <= DATA; f++) {
		assert_int_equal(sim_touch(t.s, 0, f, true), OK);
		memset(t.s->ram.at + hpa_of(f), 0, PAGE_SIZE);
	}
	set_mode(BIT(31) | 1, BIT(5), BIT(10) | BIT(11), entry_to(T4, 0));
	put(T4, 511, entry_to(T3, P | W | U | A), 8);
	put(T3, 510, entry_to(T2, P | W | A), 8);
	put(T2, 8, entry_to(T1, P | W | U), 8);
	put(T1, 3, entry_to(DATA, P | W | U | A | D), 8);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sim_free(t.s);
	return 0;
}

#define AT 0xffffffff81003abcull

static void four_levels(void **state)
{
	(void)state;
	draw(AT, false);
	expect("guest-virtual ffffffff81003abc, 4-level paging, CR3 %x\r\n", T4 << PAGE_SHIFT);
	expect("      4   511  %012x  %012lx  %016x  P W U A - - -  -> table\r\n", T4 << PAGE_SHIFT, hpa_of(T4), T3 << PAGE_SHIFT | P | W | U | A);
	expect("      3   510  %012x  %012lx  ", T3 << PAGE_SHIFT, hpa_of(T3));
	expect("      2     8  %012x  %012lx  %016x  P W U - - - -  -> table\r\n", T2 << PAGE_SHIFT, hpa_of(T2), T1 << PAGE_SHIFT | P | W | U);
	expect("      1     3  %012x  %012lx  %016x  P W U A D - -  -> page\r\n", T1 << PAGE_SHIFT, hpa_of(T1), DATA << PAGE_SHIFT | P | W | U | A | D);
	expect("  = guest-physical %x, page of 4 KiB, writable, supervisor\r\n", DATA << PAGE_SHIFT | 0xabc);
	expect("pmap of gpa %x: present, writable, a frame of 4 KiB, at hpa %lx\r\n", DATA << PAGE_SHIFT, hpa_of(DATA));
	expect("nested tables, by gpa %x\r\n", DATA << PAGE_SHIFT | 0xabc);
	expect("      4     0  %012lx  ", frame_hpa(t.s->vm[0].nested.table.root).v);
	expect("  = host-physical %lx\r\n", hpa_of(DATA) | 0xabc);
}

static void where_it_ends(void **state)
{
	(void)state;
	draw(AT + PAGE_SIZE, false);
	expect("      1     4  %012x  %012lx  0000000000000000  - - - - - - -  not present\r\n", T1 << PAGE_SHIFT, hpa_of(T1));
	expect("  = #PF: the entry is not present\r\n");
	assert_null(strstr(t.text, "pmap"));
	put(T1, 4, entry_to(DATA, P | BIT(45)), 8);
	draw(AT + PAGE_SIZE, false);
	expect("  = #PF: a bit that must be 0 is set\r\n");
	draw(0x0000800000000000ull, false);
	expect("  = #GP: the address is not canonical\r\n");
	put(T2, 8, entry_to(UNTOUCHED, P), 8);
	draw(AT, false);
	expect("untouched     0000000000000000  - - - - - - -  not present\r\n");
	put(T2, 8, entry_to(OUTSIDE, P), 8);
	draw(AT, false);
	expect("not RAM       ");
	expect("  = the table lies outside of the VM's memory\r\n");
}

static void what_the_pmap_says(void **state)
{
	(void)state;
	draw(UNTOUCHED << PAGE_SHIFT, true);
	expect("RAM, never touched\r\n");
	expect("  = not filled: the next access asks the pmap\r\n");
	draw(DEVICE_PAGE << PAGE_SHIFT, true);
	expect("not RAM: a device's, or nobody's\r\n");
	assert_null(strstr(t.text, "nested"));
	draw((u64)OUTSIDE << PAGE_SHIFT, true);
	expect("not RAM: a device's, or nobody's\r\n");
	draw(~0ull, true);
	expect("not RAM: a device's, or nobody's\r\n");
}

static void other_modes(void **state)
{
	(void)state;
	set_mode(1, 0, 0, 0);
	draw(BIT(40) | DATA << PAGE_SHIFT, false);
	expect("paging is off");
	expect("  = guest-physical %x, page of 4 KiB", DATA << PAGE_SHIFT);
	set_mode(BIT(31) | 1, BIT(4), 0, entry_to(T4, 0));
	put(T4, 0x200, entry_to(0, P | U | PS), 4);
	draw(0x80000000ull + (DATA << PAGE_SHIFT), false);
	expect("      2   512  %012x  %012lx  %016x  P - U - - - -  -> page\r\n", T4 << PAGE_SHIFT, hpa_of(T4), P | U | PS);
	expect("  = guest-physical %x, page of 4096 KiB, read-only, user\r\n", DATA << PAGE_SHIFT);
	set_mode(BIT(31) | 1, BIT(5), BIT(11), entry_to(T4, 0x40));
	put(T4, 8 + 2, entry_to(T2, P), 8);
	put(T2, 2, entry_to(BLOCK_FRAMES, P | W | PS | BIT(63)), 8);
	draw(0x80200000ull + (DATA << PAGE_SHIFT), false);
	expect("PAE paging");
	expect("      3     2  %012x  %012lx  ", T4 << PAGE_SHIFT | 0x40, hpa_of(T4) | 0x40);
	expect("P W - - - - NX -> page\r\n");
	expect("page of 2048 KiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(four_levels, setup, teardown), cmocka_unit_test_setup_teardown(where_it_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_pmap_says, setup, teardown), cmocka_unit_test_setup_teardown(other_modes, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
