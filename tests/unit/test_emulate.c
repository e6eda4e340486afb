/*
 * test_emulate: the instruction emulator against the manual, where it cannot be compared with a processor (test_emulate_native): modes,
 * segments, devices, faults in the middle, strings, and whatever bytes there are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/emulate_world.h"

static void test_rip_relative_and_width(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.rip = DATA;
	poke(w, DATA + 6 + 0x100, 0x12345678, 4);
	assert_int_equal(EMULATE(w, &c, "\x8b\x05\x00\x01\x00\x00", &f), EMULATE_DONE); /* mov eax,[rip+0x100] */
	assert_int_equal(c.gpr[MON_RAX], 0x12345678);
	c.gpr[MON_R13] = 4; /* mov eax,[disp32] with 67, REX.B and a SIB without base: R13 does not count (seen on a processor) */
	c.gpr[MON_RAX] = 0;
	assert_int_equal(EMULATE(w, &c, "\x67\x41\x8b\x04\x25\x06\x01\x00\x10", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RAX], 0x12345678);
	set_mode(&c, 16);
	c.rip = 0xffff;
	c.ds.base = DATA;
	c.gpr[MON_RBX] = 0xabcd0010;
	assert_int_equal(EMULATE(w, &c, "\x88\x07", &f), EMULATE_DONE); /* mov [bx],al: IP wraps */
	assert_int_equal(c.rip, 1);
	assert_int_equal(peek(w, DATA + 0x10, 1), 0x78);
	set_mode(&c, 32);
	c.rip = 0xffffffff;
	c.gpr[MON_RBX] = DATA + 0x20;
	assert_int_equal(EMULATE(w, &c, "\x89\x03", &f), EMULATE_DONE);
	assert_int_equal(c.rip, 1);
	free(w);
}

static void test_legacy_modes(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 16);
	c.ds.base = DATA;
	c.es.base = DATA + 0x2000;
	c.gpr[MON_RSI] = 0xffff0ffe;
	c.gpr[MON_RDI] = 0x77770010;
	c.gpr[MON_RCX] = 0x12340003; /* CX counts: the rest of the registers stays */
	poke(w, DATA + 0xffe, 0x665544332211, 6);
	assert_int_equal(EMULATE(w, &c, "\xf3\xa5", &f), EMULATE_DONE); /* rep movsw */
	assert_int_equal(c.gpr[MON_RSI], 0xffff1004);
	assert_int_equal(c.gpr[MON_RDI], 0x77770016);
	assert_int_equal(c.gpr[MON_RCX], 0x12340000);
	assert_int_equal(peek(w, DATA + 0x2010, 6), 0x665544332211);
	c.ss = (struct mon_segment){ 0x18, 0x93, 0xffff, DATA }; /* a 16-bit stack: SP wraps below 0, what lies above stays */
	c.gpr[MON_RSP] = 0xabcd2000;
	c.gpr[MON_RBX] = 0x2010;
	assert_int_equal(EMULATE(w, &c, "\x66\xff\x37", &f), EMULATE_DONE); /* push dword [bx] */
	assert_int_equal(c.gpr[MON_RSP], 0xabcd1ffc);
	assert_int_equal(peek(w, DATA + 0x1ffc, 4), 0x44332211);
	assert_int_equal(EMULATE(w, &c, "\x26\x8f\x07", &f), EMULATE_DONE); /* pop word es:[bx] */
	assert_int_equal(c.gpr[MON_RSP], 0xabcd1ffe);
	assert_int_equal(peek(w, DATA + 0x4010, 2), 0x2211); /* ES:BX */
	set_mode(&c, 32);
	c.gpr[MON_RSP] = DATA + 0x3000;
	poke(w, DATA + 0x3000, 0x99, 4);
	assert_int_equal(EMULATE(w, &c, "\x8f\x44\x24\x08", &f), EMULATE_DONE); /* pop [esp+8]: with ESP already moved */
	assert_int_equal(peek(w, DATA + 0x300c, 4), 0x99);
	c.gpr[MON_RBX] = DATA + 0x20;
	poke(w, DATA + 0x20, 0xff, 1);
	assert_int_equal(EMULATE(w, &c, "\x40\xfe\x03", &f), EMULATE_DONE); /* 40 is no REX here, but INC EAX */
	assert_int_equal(c.gpr[MON_RAX], 1);
	assert_int_equal(EMULATE(w, &c, "\xfe\x03", &f), EMULATE_DONE);
	assert_int_equal(peek(w, DATA + 0x20, 1), 0);
	assert_true(c.rflags & RFLAGS_ZF);
	c.ds.base = 0xfffff000; /* segment arithmetic is 32 bits wide */
	c.gpr[MON_RBX] = DATA + 0x1040;
	assert_int_equal(EMULATE(w, &c, "\xc6\x03\x5a", &f), EMULATE_DONE);
	assert_int_equal(peek(w, DATA + 0x40, 1), 0x5a);
	free(w);
}

static void expect_fault(enum emulate_result r, const struct emulate_fault *f, u32 vector, bool has_error)
{
	assert_int_equal(r, EMULATE_FAULT);
	assert_int_equal(f->vector, vector);
	assert_int_equal(f->has_error, has_error);
	assert_int_equal(f->error, 0);
}

static void test_segment_checks(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 32);
	c.ds = (struct mon_segment){ 0x10, DATA_32, 0xfff, DATA };
	c.gpr[MON_RBX] = 0xffc;
	assert_int_equal(EMULATE(w, &c, "\x89\x03", &f), EMULATE_DONE);
	c.gpr[MON_RBX] = 0xffd; /* the last byte is outside */
	expect_fault(EMULATE(w, &c, "\x89\x03", &f), &f, VECTOR_GP, true);
	c.ds.attributes = DATA_32 | SEGMENT_TYPE_EXPAND_DOWN;
	c.gpr[MON_RBX] = 0xfff;
	expect_fault(EMULATE(w, &c, "\x89\x03", &f), &f, VECTOR_GP, true);
	c.gpr[MON_RBX] = 0x1000;
	assert_int_equal(EMULATE(w, &c, "\x89\x03", &f), EMULATE_DONE);
	c.ds.attributes = DATA_32 & ~SEGMENT_TYPE_WRITABLE;
	c.gpr[MON_RBX] = 0x10;
	expect_fault(EMULATE(w, &c, "\x89\x03", &f), &f, VECTOR_GP, true);
	assert_int_equal(EMULATE(w, &c, "\x8b\x03", &f), EMULATE_DONE); /* reading is allowed */
	c.ds.attributes = 0;
	expect_fault(EMULATE(w, &c, "\x8b\x03", &f), &f, VECTOR_GP, true);
	c.ss.limit = 0xfff;
	c.gpr[MON_RBP] = 0x1000;
	expect_fault(EMULATE(w, &c, "\x8b\x45\x00", &f), &f, VECTOR_SS, true); /* [ebp]: #SS */
	c.cs.attributes = CODE_32 & ~SEGMENT_TYPE_WRITABLE; /* execute only */
	c.gpr[MON_RBX] = DATA;
	expect_fault(EMULATE(w, &c, "\x2e\x8b\x03", &f), &f, VECTOR_GP, true);
	set_mode(&c, 16);
	c.cr0 = 0; /* real mode: no error code */
	c.ds = (struct mon_segment){ 0, 0x93, 0xffff, DATA };
	c.gpr[MON_RBX] = 0xffff;
	expect_fault(EMULATE(w, &c, "\x89\x07", &f), &f, VECTOR_GP, false);
	free(w);
}

static void test_canonical_addresses(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 }, before;
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.gpr[MON_RBX] = 0x800000000000ull;
	before = c;
	expect_fault(EMULATE(w, &c, "\x8b\x03", &f), &f, VECTOR_GP, true);
	c.gpr[MON_RBX] = 0x7ffffffffffdull; /* the last byte is not canonical */
	expect_fault(EMULATE(w, &c, "\x8b\x03", &f), &f, VECTOR_GP, true);
	c.gpr[MON_RBX] = before.gpr[MON_RBX];
	assert_memory_equal(&c, &before, sizeof(c));
	c.gpr[MON_RBP] = 0x800000000000ull;
	expect_fault(EMULATE(w, &c, "\x8b\x45\x00", &f), &f, VECTOR_SS, true);
	c.fs.base = DATA; /* FS and GS have bases, DS has none */
	c.ds.base = 0x1000000;
	poke(w, DATA + 8, 77, 8);
	c.gpr[MON_RBX] = 8;
	assert_int_equal(EMULATE(w, &c, "\x64\x48\x8b\x03", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RAX], 77);
	c.cpl = 3;
	c.cr0 |= CR0_AM_BIT;
	c.rflags |= RFLAGS_AC;
	c.gpr[MON_RBX] = DATA + 1;
	expect_fault(EMULATE(w, &c, "\x8b\x03", &f), &f, VECTOR_AC, true);
	free(w);
}

static void test_devices(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.gpr[MON_RBX] = DEVICE + 8;
	c.gpr[MON_RAX] = 0x1122334455667788ull;
	assert_int_equal(EMULATE(w, &c, "\x48\x89\x03", &f), EMULATE_DONE);
	assert_int_equal(w->device_writes, 1);
	assert_memory_equal(w->device + 8, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	assert_int_equal(EMULATE(w, &c, "\x80\x0b\x07", &f), EMULATE_DONE); /* or byte [rbx],7: one read, one write */
	assert_int_equal(w->device_reads, 1);
	assert_int_equal(w->device_writes, 2);
	assert_int_equal(w->device[8], 0x8f);
	c.gpr[MON_RSI] = DEVICE + 8;
	c.gpr[MON_RDI] = DATA + 0x100;
	c.gpr[MON_RCX] = 2;
	assert_int_equal(EMULATE(w, &c, "\xf3\xa5", &f), EMULATE_DONE); /* rep movsd out of the device */
	assert_int_equal(peek(w, DATA + 0x100, 8), 0x112233445566778full);
	assert_int_equal(w->device_reads, 3);
	c.gpr[MON_RBX] = 0x50000000; /* nothing: all ones, writes lost */
	assert_int_equal(EMULATE(w, &c, "\x8b\x03", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RAX], 0xffffffff);
	assert_int_equal(EMULATE(w, &c, "\x89\x03", &f), EMULATE_DONE);
	w->device[0xffe] = 0xaa;
	w->device[0xfff] = 0xbb;
	c.gpr[MON_RBX] = DEVICE + 0xffe; /* device, then nothing */
	assert_int_equal(EMULATE(w, &c, "\x8b\x03", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RAX], 0xffffbbaa);
	free(w);
}

static void test_page_crossing_faults_whole(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 }, before;
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	w->read_only = DATA + 0x1000;
	c.gpr[MON_RBX] = DATA + 0xffe;
	c.gpr[MON_RAX] = 0xffffffff;
	before = c;
	assert_int_equal(EMULATE(w, &c, "\x01\x03", &f), EMULATE_FAULT); /* add [rbx],eax */
	assert_int_equal(f.vector, 14);
	assert_int_equal(f.cr2, DATA + 0x1000);
	assert_int_equal(f.error, 3);
	assert_int_equal(peek(w, DATA + 0xffe, 2), 0);
	assert_memory_equal(&c, &before, sizeof(c));
	c.gpr[MON_RSP] = DATA + 0x100;
	c.gpr[MON_RBX] = DATA + 0x1000;
	assert_int_equal(EMULATE(w, &c, "\x8f\x03", &f), EMULATE_FAULT); /* pop [rbx]: RSP as before */
	assert_int_equal(c.gpr[MON_RSP], DATA + 0x100);
	free(w);
}

static void test_string_stops_at_a_fault(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	w->read_only = DATA + 0x1000;
	c.gpr[MON_RDI] = DATA + 0xff0;
	c.gpr[MON_RCX] = 10;
	c.gpr[MON_RAX] = 0xa5a5a5a5;
	assert_int_equal(EMULATE(w, &c, "\xf3\xab", &f), EMULATE_FAULT); /* rep stosd: four fit */
	assert_int_equal(c.gpr[MON_RCX], 6);
	assert_int_equal(c.gpr[MON_RDI], DATA + 0x1000);
	assert_int_equal(c.rip, 0x1000);
	assert_int_equal(peek(w, DATA + 0xffc, 4), 0xa5a5a5a5);
	free(w);
}

static void test_string_is_bounded(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.gpr[MON_RDI] = DATA;
	c.gpr[MON_RCX] = ~0ull;
	assert_int_equal(EMULATE(w, &c, "\xf3\xaa", &f), EMULATE_DONE);
	assert_int_equal(c.gpr[MON_RCX], ~0ull - EMULATE_BATCH);
	assert_int_equal(c.gpr[MON_RDI], DATA + EMULATE_BATCH);
	assert_int_equal(c.rip, 0x1000); /* it is run again */
	c.gpr[MON_RCX] = 0;
	assert_int_equal(EMULATE(w, &c, "\xf3\xaa", &f), EMULATE_DONE);
	assert_int_equal(c.rip, 0x1002);
	c.gpr[MON_RCX] = EMULATE_BATCH;
	c.rip = 0x1000;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6e", &f), EMULATE_DONE); /* rep outsb, exactly a batch */
	assert_int_equal(c.rip, 0x1002);
	c.gpr[MON_RCX] = 2;
	c.rip = 0x1000;
	c.rflags |= 1 << 8; /* TF */
	assert_int_equal(EMULATE(w, &c, "\xf3\x6e", &f), EMULATE_DONE); /* each is a step */
	assert_int_equal(c.gpr[MON_RCX], 1);
	assert_int_equal(c.rip, 0x1000);
	assert_int_equal(EMULATE(w, &c, "\xf3\x6e", &f), EMULATE_DONE);
	assert_int_equal(c.rip, 0x1002);
	free(w);
}

static void test_string_io(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	for (u32 i = 0; i < 40; i++)
		poke(w, DATA + 0xff0 + i, i, 1);
	c.gpr[MON_RSI] = DATA + 0xff0; /* over a page bound */
	c.gpr[MON_RCX] = 40;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6e", &f), EMULATE_DONE);
	assert_int_equal(w->outs, 40);
	assert_int_equal(c.gpr[MON_RSI], DATA + 0xff0 + 40);
	assert_memory_equal(w->out_bytes, w->ram + 0xff0, 40);
	assert_int_equal(c.gpr[MON_RCX], 0);
	c.rip = 0x1000;
	w->next_in = 0x100;
	c.gpr[MON_RDI] = DATA + 0x2000;
	c.gpr[MON_RCX] = 5;
	assert_int_equal(EMULATE(w, &c, "\x66\xf3\x6d", &f), EMULATE_DONE); /* rep insw */
	assert_int_equal(w->ins, 5);
	for (u32 i = 0; i < 5; i++)
		assert_int_equal(peek(w, DATA + 0x2000 + 2 * i, 2), 0x100 + i);
	assert_int_equal(c.gpr[MON_RDI], DATA + 0x200a);
	c.rflags |= RFLAGS_DF;
	c.gpr[MON_RDI] = DATA + 0x3000;
	c.gpr[MON_RCX] = 2;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6d", &f), EMULATE_DONE); /* downwards */
	assert_int_equal(c.gpr[MON_RDI], DATA + 0x2ff8);
	assert_int_equal(peek(w, DATA + 0x3000, 4), 0x105);
	assert_int_equal(peek(w, DATA + 0x2ffc, 4), 0x106);
	assert_int_equal(EMULATE(w, &c, "\xe4\x70", &f), EMULATE_DONE); /* in al,0x70 */
	assert_int_equal(c.gpr[MON_RAX], 0x07);
	free(w);
}

/* What a device gave must not be lost in a page fault. */
static void test_in_string_takes_nothing_before_a_fault(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	w->absent = DATA + 0x1000;
	c.gpr[MON_RDI] = DATA + 0xffe;
	c.gpr[MON_RCX] = 8;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6c", &f), EMULATE_FAULT);
	assert_int_equal(w->ins, 2);
	assert_int_equal(c.gpr[MON_RCX], 6);
	assert_int_equal(f.cr2, DATA + 0x1000);
	w->absent = 0;
	assert_int_equal(EMULATE(w, &c, "\xf3\x6c", &f), EMULATE_DONE);
	assert_int_equal(w->ins, 8);
	for (u32 i = 0; i < 8; i++)
		assert_int_equal(peek(w, DATA + 0xffe + i, 1), i);
	free(w);
}

static void test_fetches_the_rest(void **unused)
{
	struct world *w = new_world();
	struct mon_vcpu c = { 0 };
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.rip = 0x1ffd; /* c7 03 78 | 56 34 12: three bytes in each page */
	w->fetch_base = 0x1fc8; /* code[] spans both */
	memcpy(w->code + 0x35, "\xc7\x03\x78\x56\x34\x12", 6);
	c.gpr[MON_RBX] = DATA;
	assert_int_equal(EMULATE(w, &c, "\xc7\x03\x78", &f), EMULATE_FAULT); /* 12 more would pass the code that is there */
	w->fetch_base = 0x1fd0;
	memset(w->code, 0, sizeof(w->code));
	memcpy(w->code + 0x2d, "\xc7\x03\x78\x56\x34\x12", 6);
	assert_int_equal(EMULATE(w, &c, "\xc7\x03\x78", &f), EMULATE_DONE);
	assert_int_equal(peek(w, DATA, 4), 0x12345678);
	assert_int_equal(c.rip, 0x2003);
	c.rip = 0x1ffd;
	assert_int_equal(emulate(w, &c, "", 0, &f), EMULATE_DONE);
	assert_int_equal(c.rip, 0x2003);
	c.rip = 0x5000;
	assert_int_equal(EMULATE(w, &c, "\xc7", &f), EMULATE_FAULT);
	assert_int_equal(f.vector, 14);
	assert_int_equal(f.error, 0x10);
	free(w);
}

static void test_unknown_changes_nothing(void **unused)
{
	static const char *const unknown[] = { "\x0f\x28\x03", "\x0f\x0b", "\x8e\x1b", "\xc5\xf8\x28\x03", "\x0f\x01\xd9", "\xff\x13" };
	struct world *w = new_world();
	struct mon_vcpu c = { 0 }, before;
	struct emulate_fault f;

	(void)unused;
	set_mode(&c, 64);
	c.gpr[MON_RBX] = DATA;
	before = c;
	for (u32 i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		assert_int_equal(emulate(w, &c, unknown[i], (u32)strlen(unknown[i]), &f), EMULATE_UNKNOWN);
		assert_memory_equal(&c, &before, sizeof(c));
	}
	/* cmpxchg16b: none for devices */
	assert_int_equal(EMULATE(w, &c, "\x48\x0f\xc7\x0b", &f), EMULATE_UNKNOWN);
	assert_memory_equal(&c, &before, sizeof(c));
	assert_int_equal(w->writes, 0);
	free(w);
}

/* Whatever the bytes are: an answer, and RIP moves by at most 15. */
static void test_random_bytes(void **unused)
{
	struct world *w = new_world();

	(void)unused;
	for (u32 k = 0; k < 100000; k++) {
		struct mon_vcpu c = { 0 };
		struct emulate_fault f;
		u8 bytes[15];

		set_mode(&c, below(3) == 0 ? 16 : below(2) ? 32 : 64);
		for (u32 r = 0; r < MON_GPRS; r++)
			c.gpr[r] = below(2) ? DATA + below((u32)DATA_BYTES) : below(2) ? DEVICE + below(0x1000) : random64();
		for (u32 i = 0; i < sizeof(bytes); i++)
			bytes[i] = (u8)random64();
		w->out_count = 0;
		if (emulate(w, &c, (const char *)bytes, sizeof(bytes), &f) == EMULATE_DONE)
			assert_in_range((c.rip - 0x1000) & 0xffff, 0, 15);
	}
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rip_relative_and_width),
		cmocka_unit_test(test_legacy_modes),
		cmocka_unit_test(test_segment_checks),
		cmocka_unit_test(test_canonical_addresses),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_page_crossing_faults_whole),
		cmocka_unit_test(test_string_stops_at_a_fault),
		cmocka_unit_test(test_string_is_bounded),
		cmocka_unit_test(test_string_io),
		cmocka_unit_test(test_in_string_takes_nothing_before_a_fault),
		cmocka_unit_test(test_fetches_the_rest),
		cmocka_unit_test(test_unknown_changes_nothing),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
