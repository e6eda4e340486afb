/*
 * The emulator's operands are the guest's memory, which another vCPU writes meanwhile (MV-45): each byte is read once at most and written once, so
 * that what was judged is what is used; and what the instruction leaves behind follows from that one reading.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/emulate.h"

#define DATA       0x10000000ull
#define DATA_BYTES 256u
#define CODE_64    0xa9bu
#define COUNT      4u /* in RCX */

static struct world {
	u8 ram[DATA_BYTES]; /* what is read first; each later reading of a byte finds it changed */
	u8 reads[DATA_BYTES], writes[DATA_BYTES];
	u64 out, outs;
} w;

static enum emulate_access world_read(void *context, u64 gva, void *to, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	u8 *bytes = to;

	(void)context, (void)gpa, (void)fault;
	assert_in_range(gva, DATA, DATA + DATA_BYTES - length);
	for (u32 i = 0; i < length; i++) {
		u64 at = gva - DATA + i;
		bytes[i] = (u8)(w.ram[at] + 0x55 * w.reads[at]++);
	}
	return EMULATE_ACCESS_DONE;
}

static enum emulate_access world_write(void *context, u64 gva, const void *from, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	(void)context, (void)gpa, (void)fault;
	assert_in_range(gva, DATA, DATA + DATA_BYTES - length);
	for (u32 i = 0; i < length; i++)
		w.writes[gva - DATA + i]++;
	memcpy(w.ram + (gva - DATA), from, length);
	return EMULATE_ACCESS_DONE;
}

static enum emulate_access world_fetch(void *context, u64 gva, void *to, u32 length, struct emulate_fault *fault)
{
	(void)context, (void)gva, (void)to, (void)length, (void)fault;
	fail_msg("what ring 0 has fetched is fetched again");
	return EMULATE_ACCESS_NOWHERE;
}

static void world_out(void *context, u16 port, u32 size, u32 value)
{
	(void)context, (void)port;
	w.out = w.out << 8 * size | value;
	w.outs++;
}

static const struct emulate_ops ops = { .read = world_read, .write = world_write, .fetch = world_fetch, .out = world_out };

static struct mon_vcpu cpu;

static void run(const char *name, const char *bytes, u32 length)
{
	const struct mon_segment data = { 0x10, 0xc93, ~0u, 0 };
	struct emulate_fault fault;

	memset(&w, 0, sizeof w);
	for (u32 i = 0; i < DATA_BYTES; i++)
		w.ram[i] = (u8)(i * 7 + 1);
	cpu = (struct mon_vcpu){ .cr0 = 1, .efer = 0x400, .rflags = 2, .rip = 0x1000, .cs = { 8, CODE_64, ~0u, 0 }, .ds = data, .es = data, .ss = data };
	cpu.gpr[MON_RDI] = DATA;
	cpu.gpr[MON_RSI] = cpu.gpr[MON_RSP] = DATA + 128;
	cpu.gpr[MON_RCX] = COUNT;
	cpu.gpr[MON_RAX] = 0x1b140d06;
	print_message("%s\n", name);
	assert_int_equal(emulate_instruction(&ops, NULL, &cpu, (const u8 *)bytes, length, &fault), EMULATE_DONE);
	for (u32 i = 0; i < DATA_BYTES; i++) {
		assert_in_range(w.reads[i], 0, 1);
		assert_in_range(w.writes[i], 0, 1);
	}
}

static void test_mv45_operands_are_read_once(void **state)
{
	static const struct { const char *name, *bytes; u32 length; } forms[] = {
		{ "mov eax, [rdi]", "\x8b\x07", 2 }, { "movzx eax, word [rdi]", "\x0f\xb7\x07", 3 }, { "movsx eax, byte [rdi]", "\x0f\xbe\x07", 3 },
		{ "movbe eax, [rdi]", "\x0f\x38\xf0\x07", 4 }, { "add [rdi], eax", "\x01\x07", 2 }, { "adc rax, [rdi]", "\x48\x13\x07", 3 },
		{ "cmp [rdi], eax", "\x39\x07", 2 }, { "test [rdi], eax", "\x85\x07", 2 }, { "inc dword [rdi]", "\xff\x07", 2 },
		{ "neg qword [rdi]", "\x48\xf7\x1f", 3 }, { "xchg [rdi], eax", "\x87\x07", 2 }, { "xadd [rdi], eax", "\x0f\xc1\x07", 3 },
		{ "cmpxchg [rdi], ecx", "\x0f\xb1\x0f", 3 }, { "cmpxchg8b [rdi]", "\x0f\xc7\x0f", 3 }, { "bt [rdi], ecx", "\x0f\xa3\x0f", 3 },
		{ "bts [rdi], ecx", "\x0f\xab\x0f", 3 }, { "btc dword [rdi], 5", "\x0f\xba\x3f\x05", 4 }, { "push [rdi]", "\xff\x37", 2 },
		{ "pop [rdi]", "\x8f\x07", 2 }, { "cmovz eax, [rdi]", "\x0f\x44\x07", 3 }, { "movsd", "\xa5", 1 }, { "rep movsb", "\xf3\xa4", 2 },
		{ "lodsd", "\xad", 1 }, { "cmpsb", "\xa6", 1 }, { "scasb", "\xae", 1 }, { "rep lodsd", "\xf3\xad", 2 },
		{ "outsb", "\x6e", 1 }, { "rep outsb", "\xf3\x6e", 2 }, { "rep outsd", "\xf3\x6f", 2 },
	};
	(void)state;
	for (u32 i = 0; i < sizeof forms / sizeof forms[0]; i++)
		run(forms[i].name, forms[i].bytes, forms[i].length);
}

/* The comparison and what it leaves in EAX, or in memory, speak of the same reading. */
static void test_mv45_compared_is_what_is_used(void **state)
{
	u32 was;

	(void)state;
	run("cmpxchg, unequal", "\x0f\xb1\x0f", 3); /* memory is 01 08 0f 16 */
	memcpy(&was, "\x01\x08\x0f\x16", 4);
	assert_int_equal((u32)cpu.gpr[MON_RAX], was);
	assert_memory_equal(w.ram, &was, 4);
	run("xadd", "\x0f\xc1\x07", 3);
	assert_int_equal((u32)cpu.gpr[MON_RAX], was);
	run("rep outsb", "\xf3\x6e", 2);
	assert_int_equal(w.out, 0x81888f96);
	assert_int_equal(w.outs, COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mv45_operands_are_read_once),
		cmocka_unit_test(test_mv45_compared_is_what_is_used),
	};

	return cmocka_run_group_tests_name("operands that change", tests, NULL, NULL);
}
