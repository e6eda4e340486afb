/*
 * AMD-V's half of an entry and an exit, on processors made for it: svm_switch is a processor that keeps what the VMCB's clean bits
 * cover (APM 15.15) from one VMRUN to the next, as no emulator does. At each VMRUN
 *
 *   - what it keeps must be what memory says, wherever a clean bit says so
 *   - a VMCB that it has not run since another processor did comes with no clean bit at all
 *   - TLB_CONTROL has the manual's number for what the tags ask (15.16)
 *
 * Decode assists (15.8), which no emulator has either, are tried on VMCBs made by hand.
 */
#include "core/bits.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"
#include "x86/svm/svm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct features features;

u8 svm_io_map[SVM_IO_MAP_BYTES], svm_msr_map[SVM_MSR_MAP_BYTES];

/* ---- which fields a clean bit covers: the manual's table, 15.15.3 ---- */

#define FIELD(bit, member) { bit, #member, offsetof(struct vmcb, member), sizeof(((struct vmcb *)0)->member) }
static const struct { u32 bit; const char *name; size_t at, bytes; } covered[] = {
	FIELD(CLEAN_INTERCEPTS, cr_read), FIELD(CLEAN_INTERCEPTS, cr_write), FIELD(CLEAN_INTERCEPTS, dr_read),
	FIELD(CLEAN_INTERCEPTS, dr_write), FIELD(CLEAN_INTERCEPTS, exceptions), FIELD(CLEAN_INTERCEPTS, intercepts1),
	FIELD(CLEAN_INTERCEPTS, intercepts2), FIELD(CLEAN_INTERCEPTS, intercepts3), FIELD(CLEAN_INTERCEPTS, tsc_offset),
	FIELD(CLEAN_INTERCEPTS, pause_count), FIELD(CLEAN_INTERCEPTS, pause_threshold),
	FIELD(CLEAN_PERMISSIONS, iopm_base), FIELD(CLEAN_PERMISSIONS, msrpm_base),
	FIELD(CLEAN_ASID, asid), FIELD(CLEAN_TPR, virtual_interrupt),
	FIELD(CLEAN_NESTED, nested_control), FIELD(CLEAN_NESTED, nested_cr3), FIELD(CLEAN_NESTED, g_pat),
	FIELD(CLEAN_CR, cr0), FIELD(CLEAN_CR, cr3), FIELD(CLEAN_CR, cr4), FIELD(CLEAN_CR, efer),
	FIELD(CLEAN_DR, dr6), FIELD(CLEAN_DR, dr7), FIELD(CLEAN_DT, gdtr), FIELD(CLEAN_DT, idtr),
	FIELD(CLEAN_SEGMENTS, es), FIELD(CLEAN_SEGMENTS, cs), FIELD(CLEAN_SEGMENTS, ss), FIELD(CLEAN_SEGMENTS, ds), FIELD(CLEAN_SEGMENTS, cpl),
	FIELD(CLEAN_CR2, cr2), FIELD(CLEAN_LBR, debugctl),
};

/* ---- the processors ---- */

#define CORES 2u
#define GUESTS 2u
#define STEPS 20000u

static struct cpu core[CORES];
static u32 here; /* the one that runs */
static struct { struct vmcb kept; bool any; } cache[CORES][GUESTS];
static struct vmcb area[GUESTS] __attribute__((aligned(4096)));
static struct guest_cpu guest[GUESTS];
static u32 ran_on[GUESTS];  /* the core that ran it last */
static struct vmcb exits_with; /* what the next exit says */
static u32 entries, clean_entries;

static void look(const struct vmcb *kept, const struct vmcb *b)
{
	for (u32 i = 0; i < ARRAY_SIZE(covered); i++)
		if (b->clean & covered[i].bit && memcmp((const u8 *)kept + covered[i].at, (const u8 *)b + covered[i].at, covered[i].bytes))
			fail_msg("entry %u: %s has changed under its clean bit", entries, covered[i].name);
}

/* The guest changes what it may without an exit; processor and memory agree on it afterwards. */
static void guest_works(struct vmcb *b)
{
	b->cr2 = (u64)rand();
	b->cr3 = (u64)rand() << PAGE_SHIFT;
	b->dr6 ^= 1;
	b->cs.base = (u64)rand();
	b->cpl = (u8)(rand() & 3);
	b->rip = (u64)rand();
	b->rax = (u64)rand();
}

void svm_switch(u64 *gpr, u64 guest_vmcb, u64 host_vmcb)
{
	struct vmcb *b = (struct vmcb *)guest_vmcb;
	u32 n = (u32)(b - area);
	assert_int_equal(host_vmcb, core[here].host_vmcb.v);
	assert_ptr_equal(gpr, guest[n].gpr);
	assert_int_equal(b->clean & ~(u32)CLEAN_ALL, 0);
	if (ran_on[n] != here || !cache[here][n].any)
		assert_int_equal(b->clean, 0);
	look(&cache[here][n].kept, b);
	entries++;
	clean_entries += b->clean == CLEAN_ALL;
	guest_works(b);
	b->exit_code = exits_with.exit_code;
	b->exit_info1 = exits_with.exit_info1;
	b->exit_info2 = exits_with.exit_info2;
	b->exit_int_info = exits_with.exit_int_info;
	b->next_rip = exits_with.next_rip;
	b->fetched = exits_with.fetched;
	memcpy(b->instruction, exits_with.instruction, sizeof b->instruction);
	cache[here][n].kept = *b;
	cache[here][n].any = true;
	ran_on[n] = here;
}

static void power_on(void)
{
	memset(area, 0xee, sizeof area); /* what a frame had before, clean bits too */
	memset(cache, 0, sizeof cache);
	memset(guest, 0, sizeof guest);
	memset(&exits_with, 0, sizeof exits_with);
	exits_with.exit_code = VMEXIT_HLT;
	here = entries = clean_entries = 0;
	for (u32 i = 0; i < CORES; i++) {
		core[i] = (struct cpu){ .id = i, .host_vmcb = hpa(0x1000 * (i + 1)) };
		tagger_init(&core[i].tagger, 6, true);
	}
	for (u32 i = 0; i < GUESTS; i++) {
		guest[i].area = &area[i];
		guest[i].area_hpa = hpa((u64)&area[i]);
		svm_init_state(&guest[i], hpa(0x5000));
		ran_on[i] = CORES;
	}
}

/* As hv/vcpu.c's enter. */
static enum exit_kind enter(struct guest_cpu *g, u64 generation)
{
	g->flush = (u8)tag_take(&core[here].tagger, &g->tag, here, generation);
	return svm_run(&core[here], g);
}

static void all_features(bool on)
{
	features = (struct features){ .nrip = on, .decode_assist = on, .clean_bits = on, .flush_by_asid = on, .pause_filter = on };
	svm_clean = on ? CLEAN_ALL : 0; /* as svm_cpu_start */
}

/* ---- clean bits ---- */

static void set_whole_state(struct guest_cpu *g)
{
	struct mon_vcpu v;
	svm_get(g, &v);
	v.cr0 ^= CR0_WP;
	v.cs.base ^= 0x1000;
	v.ss.limit ^= 1;
	v.gdtr.base ^= 0x10;
	v.cpl = (u32)rand() & 3;
	v.cr2 = (u64)rand();
	assert_int_equal(svm_set(g, &v), OK);
}

static void one_change(struct guest_cpu *g)
{
	static const u32 msrs[] = { MSR_PAT, MSR_STAR, MSR_SYSENTER_EIP, MSR_FS_BASE };
	u64 value = (u64)rand();
	switch (rand() % 10) {
	case 0: svm_write_cr(g, 2, value); break;
	case 1: svm_write_cr(g, 4, value & (CR4_PAE | CR4_PGE | CR4_PSE)); break;
	case 2: svm_write_efer(g, value & EFER_NXE); break;
	case 3: svm_write_msr(g, msrs[value % ARRAY_SIZE(msrs)], value); break;
	case 4: svm_write_dr(g, 6, value); break;
	case 5: svm_write_dr(g, 7, value); break;
	case 6: svm_write_tsc_offset(g, value); break;
	case 7: set_whole_state(g); break;
	case 8: svm_init_state(g, hpa(value << PAGE_SHIFT)); break;
	default: g->event = (struct event){ .valid = true, .vector = (u8)value };
	}
}

static void test_clean_bits(void **state)
{
	(void)state;
	u64 generation = 0;
	srand(1);
	all_features(true);
	power_on();
	for (u32 i = 0; i < STEPS; i++) {
		struct guest_cpu *g = &guest[rand() % (int)GUESTS];
		here = rand() % 8 ? here : (u32)rand() % CORES;
		if (rand() % 2)
			one_change(g);
		if (rand() % 4 == 0)
			g->want = (struct windows){ .interrupt = rand() & 1, .nmi = rand() & 1 };
		generation += rand() % 16 == 0;
		(void)enter(g, generation);
	}
	assert_true(clean_entries > STEPS / 10);
}

/* One at a time, so that nothing else clears the bits. */
static void test_each_setter(void **state)
{
	(void)state;
	all_features(true);
	power_on();
	for (u32 i = 0; i < STEPS / 4; i++) {
		(void)enter(&guest[0], 0);
		(void)enter(&guest[0], 0);
		assert_int_equal(area[0].clean, CLEAN_ALL);
		one_change(&guest[0]);
	}
	guest[0].want.interrupt = true;
	(void)enter(&guest[0], 0);
	assert_true(area[0].intercepts1 & INTERCEPT_VINTR && area[0].virtual_interrupt & VINTR_IRQ);
}

static void test_another_processor(void **state)
{
	(void)state;
	all_features(true);
	power_on();
	for (u32 i = 0; i < 6; i++) {
		here = i % CORES;
		(void)enter(&guest[0], 0); /* the processor looks */
		(void)enter(&guest[0], 0);
	}
	assert_int_equal(clean_entries, 6);
}

static void test_without_clean_bits(void **state)
{
	(void)state;
	all_features(false);
	power_on();
	for (u32 i = 0; i < 4; i++)
		(void)enter(&guest[0], 0);
	assert_int_equal(clean_entries, 0);
	assert_int_equal(area[0].clean, 0);
}

/* ---- tags ---- */

static u8 control; /* TLB_CONTROL as the processor found it: it is read before the next entry clears it */

static void enter_with(enum tag_action flush, u32 number)
{
	guest[0].flush = (u8)flush;
	guest[0].tag.number = number;
	area[0].tlb_control = TLB_KEEP;
	cache[0][0].any = false;
	area[0].clean = 0;
	(void)svm_run(&core[0], &guest[0]);
	control = cache[0][0].kept.tlb_control;
}

static void test_what_tags_flush(void **state)
{
	(void)state;
	all_features(true);
	power_on();
	enter_with(TAG_NEW, 3);
	assert_int_equal(control, 0);
	assert_int_equal(area[0].asid, 3);
	enter_with(TAG_FLUSH, 3);
	assert_int_equal(control, 3);
	assert_int_equal(area[0].tlb_control, 0); /* once */
	enter_with(TAG_WRAP, 1);
	assert_int_equal(control, 1);
	assert_int_equal(area[0].asid, 1);
	enter_with(TAG_KEEP, 1);
	assert_int_equal(control, 0);
}

static bool forgets(void (*change)(struct guest_cpu *))
{
	(void)enter(&guest[0], 0);
	(void)enter(&guest[0], 0);
	assert_int_equal(guest[0].flush, TAG_KEEP);
	change(&guest[0]);
	(void)enter(&guest[0], 0);
	return guest[0].flush != TAG_KEEP;
}

static void change_cr2(struct guest_cpu *g) { svm_write_cr(g, 2, 1); }
static void change_cr4(struct guest_cpu *g) { svm_write_cr(g, 4, CR4_PAE); }
static void change_efer(struct guest_cpu *g) { svm_write_efer(g, EFER_NXE); }
static void change_dr7(struct guest_cpu *g) { svm_write_dr(g, 7, 0); }
static void start_again(struct guest_cpu *g) { svm_init_state(g, hpa(0x5000)); }

/* Where the processor would have forgotten its translations by itself (APM vol. 2, 5.5.2), and only there. */
static void test_what_forgets_translations(void **state)
{
	(void)state;
	all_features(true);
	power_on();
	assert_true(forgets(change_cr4));
	assert_true(forgets(change_efer));
	assert_true(forgets(set_whole_state));
	assert_true(forgets(start_again));
	assert_false(forgets(change_cr2) || forgets(change_dr7));
}

static void test_pause_filter(void **state)
{
	(void)state;
	all_features(true);
	power_on();
	assert_true(area[0].intercepts1 & INTERCEPT_PAUSE && area[0].pause_count > 0);
	all_features(false);
	power_on();
	assert_false(area[0].intercepts1 & INTERCEPT_PAUSE);
}

/* ---- the next RIP, decode assists ---- */

static const u8 code[INSN_MAX_BYTES] = { 0x8b, 0x04, 0x25, 0x20, 0x00, 0xe0, 0xfe };

static enum exit_kind exit_of(u64 number, u64 info1, u64 next_rip)
{
	exits_with.exit_code = number;
	exits_with.exit_info1 = info1;
	exits_with.next_rip = next_rip;
	exits_with.fetched = INSN_MAX_BYTES;
	memcpy(exits_with.instruction, code, sizeof code);
	return enter(&guest[0], 0);
}

/* Exits that no emulator makes. */
static void test_what_exits_mean(void **state)
{
	(void)state;
	all_features(true);
	power_on();
	assert_true(area[0].intercepts2 & INTERCEPT_RDPRU); /* it would read the host's counters */
	assert_int_equal(exit_of(VMEXIT_RDPRU, 0, 0), EXIT_UNDEFINED);
	assert_true(area[0].exceptions & BIT(VECTOR_MC));
	assert_int_equal(exit_of(VMEXIT_EXCEPTION + VECTOR_MC, 0, 0), EXIT_MACHINE_CHECK);
	assert_true(area[0].exceptions & BIT(VECTOR_DB) && area[0].exceptions & BIT(VECTOR_AC)); /* each could be delivered for ever (XSA-156) */
	assert_int_equal(exit_of(VMEXIT_EXCEPTION + VECTOR_DB, 0, 0), EXIT_EXCEPTION);
	assert_int_equal(exit_of(VMEXIT_EXCEPTION + VECTOR_AC, 7, 0), EXIT_EXCEPTION);
	assert_true(guest[0].exit.exception.vector == VECTOR_AC && guest[0].exit.exception.has_error && guest[0].exit.exception.error == 7);
	assert_int_equal(exit_of(VMEXIT_RDPRU + 1, 0, 0), EXIT_UNKNOWN);
	assert_int_equal(exit_of(VMEXIT_INVALID, 0, 0), EXIT_INVALID);
}

static void test_next_rip(void **state)
{
	(void)state;
	all_features(true);
	power_on();
	(void)exit_of(VMEXIT_CPUID, 0, 0x1234);
	assert_int_equal(guest[0].next_rip, 0x1234);
	features.nrip = false;
	(void)exit_of(VMEXIT_CPUID, 0, 0x1234); /* what the field holds means nothing then */
	assert_int_equal(guest[0].next_rip, 0);
}

static void test_fetched_bytes(void **state)
{
	(void)state;
	u8 bytes[INSN_MAX_BYTES];
	all_features(true);
	power_on();
	(void)exit_of(VMEXIT_NPF, 0, 0);
	assert_true(svm_fetched(&guest[0], bytes));
	assert_memory_equal(bytes, code, sizeof code);
	area[0].fetched = INSN_MAX_BYTES - 1;
	assert_false(svm_fetched(&guest[0], bytes));
	(void)exit_of(VMEXIT_IO, 0, 0); /* the field is of an earlier exit */
	assert_false(svm_fetched(&guest[0], bytes));
	(void)exit_of(VMEXIT_NPF, 0, 0);
	guest[0].rip++; /* that instruction is behind us */
	assert_false(svm_fetched(&guest[0], bytes));
	guest[0].rip--;
	features.decode_assist = false;
	assert_false(svm_fetched(&guest[0], bytes));
}

static void code_is_64_bit(bool yes)
{
	area[0].efer = EFER_SVME | (yes ? EFER_LMA : 0);
	area[0].cs.attributes = yes ? 0x29b : 0x49b; /* CS.L or CS.D */
	area[0].cr0 = CR0_PE | CR0_PG;
	area[0].clean = 0;
}

static void test_mov_cr(void **state)
{
	(void)state;
	struct insn i;
	all_features(true);
	power_on();
	code_is_64_bit(true);
	(void)exit_of(VMEXIT_CR0_WRITE + 8, CR_IS_MOV | 11, 0);
	guest[0].next_rip = guest[0].rip + 4;
	assert_true(svm_mov_cr(&guest[0], &i));
	assert_true(i.id == INSN_MOV_TO_CR && i.reg == 8 && i.rm == 11 && i.operand_size == 8 && i.length == 4 && !i.memory);
	(void)exit_of(VMEXIT_CR0_READ + 8, CR_IS_MOV | 3, 1);
	assert_true(svm_mov_cr(&guest[0], &i));
	assert_true(i.id == INSN_MOV_FROM_CR && i.reg == 8 && i.rm == 3);
	code_is_64_bit(false);
	(void)exit_of(VMEXIT_CR0_WRITE + 4, CR_IS_MOV, 1);
	assert_true(svm_mov_cr(&guest[0], &i));
	assert_true(i.id == INSN_MOV_TO_CR && i.reg == 4 && i.rm == 0 && i.operand_size == 4);
	(void)exit_of(VMEXIT_CR0_WRITE + 4, 5, 1); /* no MOV: LMSW or CLTS */
	assert_false(svm_mov_cr(&guest[0], &i));
	(void)exit_of(VMEXIT_CR0_WRITE + 4, CR_IS_MOV, 0); /* where it ends is not known */
	assert_false(svm_mov_cr(&guest[0], &i));
	features.decode_assist = false;
	(void)exit_of(VMEXIT_CR0_WRITE + 4, CR_IS_MOV, 1);
	assert_false(svm_mov_cr(&guest[0], &i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_bits),        cmocka_unit_test(test_each_setter),
		cmocka_unit_test(test_another_processor), cmocka_unit_test(test_without_clean_bits),
		cmocka_unit_test(test_what_tags_flush),   cmocka_unit_test(test_pause_filter),
		cmocka_unit_test(test_next_rip),          cmocka_unit_test(test_fetched_bytes),
		cmocka_unit_test(test_mov_cr),            cmocka_unit_test(test_what_exits_mean),
		cmocka_unit_test(test_what_forgets_translations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
