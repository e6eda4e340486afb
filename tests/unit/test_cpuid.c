/*
 * test_cpuid: what a VM is told, from made-up hosts (an AMD and an Intel one whose every bit is set, and an old one) and from this one.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bits.h"
#include "hv/cpuid_build.h"

#define XCR0_ALL 0xe7u

struct made_up { const char *vendor; u32 max_basic, max_extended, asked_beyond; };

/* Every feature bit set, so that whatever passes by mistake is seen. */
static void made_up_leaf(void *context, u32 leaf, u32 subleaf, u32 out[CPUID_REGISTERS])
{
	struct made_up *h = context;

	if (leaf >= 0x80000000 ? leaf > h->max_extended && leaf != 0x80000000 : leaf > h->max_basic)
		h->asked_beyond++;
	out[0] = out[1] = out[2] = out[3] = 0xffffffff;
	if (leaf == 0 || leaf == 0x80000000) {
		out[0] = leaf ? h->max_extended : h->max_basic;
		memcpy(&out[1], h->vendor, 4);
		memcpy(&out[3], h->vendor + 4, 4);
		memcpy(&out[2], h->vendor + 8, 4);
	}
	if (leaf == 4 || leaf == 0x8000001d) { /* L1, L2, L3 */
		out[0] = subleaf < 3 ? 0xfc000000u | (subleaf + 1) << 5 | 1 | 0x3ffc000 : 0;
	}
	if (leaf == 0xd && subleaf >= 2) {
		static const u32 size[] = { 0, 0, 256, 64, 64, 64, 512, 1024 }, offset[] = { 0, 0, 576, 960, 1024, 1088, 1152, 1664 };

		out[0] = subleaf < 8 ? size[subleaf] : 8;
		out[1] = subleaf < 8 ? offset[subleaf] : 2688;
		out[2] = subleaf == 6 ? 2 : 0;
		out[3] = 0;
	}
}

static struct made_up amd = { "AuthenticAMD", 0x20, 0x80000028, 0 }, intel = { "GenuineIntel", 0x20, 0x80000008, 0 },
		      old = { "AuthenticAMD", 1, 0x80000004, 0 };

static const struct cpuid_config config = { .vcpus = 3, .tsc_khz = 1000000, .tsc_steady = true, .kvm_clock = true, .xcr0_mask = ~0ull, .phys_bits = 40 };

static struct cpuid_table *build(struct made_up *host, const struct cpuid_config *c)
{
	struct cpuid_table *t = malloc(sizeof(*t));

	assert_non_null(t);
	memset(t, 0x5a, sizeof(*t));
	cpuid_build(t, c, made_up_leaf, host);
	assert_int_equal(host->asked_beyond, 0);
	return t;
}

static void cpuid_answer(const struct cpuid_table *t, u32 leaf, u32 subleaf, const struct cpuid_dynamic *d, u32 out[CPUID_REGISTERS])
{
	const struct cpuid_row *r = cpuid_find(t, leaf, subleaf);

	memcpy(out, r->out, sizeof(r->out));
	if (r->patch)
		cpuid_patch(t, r, subleaf, d, out);
}

static u32 answer(const struct cpuid_table *t, u32 leaf, u32 subleaf, enum cpuid_register r)
{
	const struct cpuid_dynamic d = { .apic_id = 2, .apic_enabled = true, .cr4 = 1u << 18, .xcr0 = 7 };
	u32 out[CPUID_REGISTERS];

	cpuid_answer(t, leaf, subleaf, &d, out);
	return out[r];
}

static void test_features(void **unused)
{
	struct cpuid_table *t = build(&amd, &config);
	u32 ecx = answer(t, 1, 0, CPUID_ECX), edx = answer(t, 1, 0, CPUID_EDX);

	(void)unused;
	assert_false(ecx & 1u << 3);  /* MONITOR */
	assert_false(ecx & 1u << 5);  /* VMX */
	assert_false(ecx & 1u << 6);  /* SMX */
	assert_false(ecx & 1u << 15); /* PDCM */
	assert_false(ecx & 1u << 17); /* PCID: no engine keys by it yet */
	assert_true(ecx & 1u << 21);  /* x2APIC */
	assert_true(ecx & 1u << 24);  /* TSC deadline */
	assert_true(ecx & 1u << 31);  /* hypervisor */
	assert_true(ecx & 1u << 27);  /* OSXSAVE: CR4's */
	assert_true(edx & 1u << 9);
	assert_false(edx & 1u << 18); /* PSN */
	assert_int_equal(answer(t, 1, 0, CPUID_EBX) >> 24, 2);
	assert_int_equal(answer(t, 1, 0, CPUID_EBX) >> 16 & 0xff, 3);
	assert_false(answer(t, 7, 0, CPUID_ECX) & (1u << 3 | 1u << 4 | 1u << 16)); /* PKU, OSPKE, LA57 */
	assert_false(answer(t, 7, 0, CPUID_EBX) & (1u << 1 | 1u << 2 | 1u << 4 | 1u << 10 | 1u << 11 | 1u << 25)); /* TSC_ADJUST SGX HLE INVPCID RTM PT */
	assert_false(answer(t, 7, 0, CPUID_EDX) & (1u << 26 | 1u << 27 | 1u << 29 | 1u << 31)); /* speculation MSRs */
	assert_false(answer(t, 0x80000001, 0, CPUID_ECX) & (1u << 2 | 1u << 3 | 1u << 4 | 1u << 10 | 1u << 12 | 1u << 29)); /* SVM ... */
	assert_true(answer(t, 0x80000001, 0, CPUID_ECX) & 1u << 1); /* CMP_LEGACY: three cores */
	assert_int_equal(answer(t, 0x80000007, 0, CPUID_EDX), 1u << 8);
	assert_int_equal(answer(t, 0x80000008, 0, CPUID_EAX), 40 | 48 << 8);
	assert_int_equal(answer(t, 0x80000008, 0, CPUID_ECX), 2 | 2 << 12);
	for (u32 r = CPUID_EAX; r <= CPUID_EDX; r++) {
		assert_int_equal(answer(t, 0x8000000a, 0, r), 0); /* SVM's own leaf */
		assert_int_equal(answer(t, 0x8000001f, 0, r), 0); /* encrypted memory */
		assert_int_equal(answer(t, 0xa, 0, r), 0);        /* performance counters */
		assert_int_equal(answer(t, 5, 0, r), 0);
	}
	free(t);
}

static void test_dynamic_bits(void **unused)
{
	struct cpuid_table *t = build(&amd, &config);
	const struct cpuid_dynamic d = { .apic_id = 0x1ff };
	u32 out[CPUID_REGISTERS];

	(void)unused;
	cpuid_answer(t, 1, 0, &d, out);
	assert_false(out[CPUID_ECX] & 1u << 27);
	assert_false(out[CPUID_EDX] & 1u << 9);
	assert_int_equal(out[CPUID_EBX] >> 24, 0xff);
	cpuid_answer(t, 0x80000001, 0, &d, out);
	assert_false(out[CPUID_EDX] & 1u << 9);
	cpuid_answer(t, 0xb, 7, &d, out);
	assert_int_equal(out[CPUID_EAX] | out[CPUID_EBX], 0);
	assert_int_equal(out[CPUID_ECX], 7);
	assert_int_equal(out[CPUID_EDX], 0x1ff);
	cpuid_answer(t, 0x8000001e, 0, &d, out);
	assert_int_equal(out[CPUID_EAX], 0x1ff);
	free(t);
}

static void test_xsave_sizes(void **unused)
{
	struct cpuid_table *t = build(&amd, &config);
	struct cpuid_dynamic d = { .xcr0 = 3 };
	u32 out[CPUID_REGISTERS];

	(void)unused;
	assert_int_equal(t->xcr0_mask, XCR0_ALL);
	cpuid_answer(t, 0xd, 0, &d, out);
	assert_int_equal(out[CPUID_EAX], XCR0_ALL);
	assert_int_equal(out[CPUID_EBX], 576);
	assert_int_equal(out[CPUID_ECX], 2688);
	assert_int_equal(out[CPUID_EDX], 0);
	d.xcr0 = 7;
	cpuid_answer(t, 0xd, 0, &d, out);
	assert_int_equal(out[CPUID_EBX], 832);
	d.xcr0 = XCR0_ALL;
	cpuid_answer(t, 0xd, 0, &d, out);
	assert_int_equal(out[CPUID_EBX], 2688);
	cpuid_answer(t, 0xd, 1, &d, out);
	assert_int_equal(out[CPUID_EAX], 7); /* no XSAVES */
	assert_int_equal(out[CPUID_EBX], 576 + 256 + 64 + 512 + 1024); /* 896 is aligned already */
	assert_int_equal(answer(t, 0xd, 6, CPUID_ECX), 2);
	assert_int_equal(answer(t, 0xd, 6, CPUID_EBX), 1152);
	assert_int_equal(answer(t, 0xd, 3, CPUID_EAX), 0); /* MPX is not offered */
	assert_int_equal(answer(t, 0xd, 9, CPUID_EAX), 0); /* PKRU neither */
	free(t);
}

static void test_components_rule_features(void **unused)
{
	struct cpuid_config c = config;
	struct cpuid_table *t;

	(void)unused;
	c.xcr0_mask = 7;
	t = build(&amd, &c);
	assert_false(answer(t, 7, 0, CPUID_EBX) & 1u << 16); /* AVX512F */
	assert_true(answer(t, 7, 0, CPUID_EBX) & 1u << 5);
	free(t);
	c.xcr0_mask = 0x67; /* ZMM's upper half is missing */
	t = build(&amd, &c);
	assert_int_equal(t->xcr0_mask, 7);
	free(t);
	c.xcr0_mask = 0;
	t = build(&amd, &c);
	assert_false(answer(t, 1, 0, CPUID_ECX) & (1u << 26 | 1u << 28 | 1u << 12 | 1u << 29));
	assert_false(answer(t, 7, 0, CPUID_EBX) & 1u << 5);
	assert_int_equal(answer(t, 0, 0, CPUID_EAX), 0xb);
	assert_int_equal(answer(t, 0xd, 0, CPUID_EAX), 0);
	free(t);
}

static void test_topology(void **unused)
{
	struct cpuid_table *t = build(&amd, &config);
	struct cpuid_config one = config;

	(void)unused;
	assert_int_equal(answer(t, 0xb, 0, CPUID_EAX), 0);
	assert_int_equal(answer(t, 0xb, 0, CPUID_EBX), 1);
	assert_int_equal(answer(t, 0xb, 0, CPUID_ECX), 1 << 8);
	assert_int_equal(answer(t, 0xb, 1, CPUID_EAX), 2);
	assert_int_equal(answer(t, 0xb, 1, CPUID_EBX), 3);
	assert_int_equal(answer(t, 0xb, 1, CPUID_ECX), 2 << 8 | 1);
	assert_int_equal(answer(t, 0xb, 1, CPUID_EDX), 2);
	assert_int_equal(answer(t, 0x8000001d, 0, CPUID_EAX) >> 14, 0);
	assert_int_equal(answer(t, 0x8000001d, 2, CPUID_EAX) >> 14, 2);
	free(t);
	one.vcpus = 1;
	t = build(&amd, &one);
	assert_false(answer(t, 1, 0, CPUID_EDX) & 1u << 28); /* HTT */
	assert_false(answer(t, 0x80000001, 0, CPUID_ECX) & 1u << 1);
	assert_int_equal(answer(t, 0xb, 1, CPUID_EAX), 0);
	free(t);
}

static void test_out_of_range(void **unused)
{
	struct cpuid_table *a = build(&amd, &config), *i = build(&intel, &config), *o = build(&old, &config);

	(void)unused;
	for (u32 r = CPUID_EAX; r <= CPUID_EDX; r++) {
		assert_int_equal(answer(a, 0x15, 0, r), 0);
		assert_int_equal(answer(a, 0x80000100, 0, r), 0);
		assert_int_equal(answer(a, 0x40000002, 0, r), 0);
		assert_int_equal(answer(i, 0x15, 1, r), answer(i, 0xd, 1, r)); /* as the last basic leaf */
		assert_int_equal(answer(i, 0x80000100, 0, r), answer(i, 0xd, 0, r));
		assert_int_equal(answer(i, 0x40000100, 0, r), answer(i, 0xd, 0, r));
		assert_int_equal(answer(i, 0x40000002, 0, r), 0);
	}
	assert_int_equal(answer(i, 4, 2, CPUID_EAX) >> 14 & 0xfff, 2);
	assert_int_equal(answer(i, 4, 2, CPUID_EAX) >> 26, 3);
	assert_int_equal(answer(o, 0, 0, CPUID_EAX), 0xd);
	assert_int_equal(answer(o, 7, 0, CPUID_EBX), 0); /* the host has no leaf 7 */
	assert_int_equal(answer(o, 0x80000000, 0, CPUID_EAX), 0x80000004);
	assert_int_equal(answer(o, 0x80000008, 0, CPUID_EAX), 0);
	free(a);
	free(i);
	free(o);
}

static void test_kvm_leaves(void **unused)
{
	struct cpuid_config c = config;
	struct cpuid_table *t = build(&amd, &c);
	u32 name[3] = { answer(t, 0x40000000, 0, CPUID_EBX), answer(t, 0x40000000, 0, CPUID_ECX), answer(t, 0x40000000, 0, CPUID_EDX) };

	(void)unused;
	assert_memory_equal(name, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(answer(t, 0x40000000, 0, CPUID_EAX), 0x40000001);
	assert_int_equal(answer(t, 0x40000001, 0, CPUID_EAX), 1 | 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7 | 1 << 11 | 1 << 13 | 1 << 24);
	assert_int_equal(answer(t, 0x40000001, 0, CPUID_EDX), 0);
	free(t);
	c.steal_time = true;
	t = build(&amd, &c);
	assert_int_equal(answer(t, 0x40000001, 0, CPUID_EAX),
			 1 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 11 | 1 << 13 | 1 << 24);
	assert_true(t->steal_time);
	free(t);
	c.vcpus = 1;
	t = build(&amd, &c);
	assert_int_equal(answer(t, 0x40000001, 0, CPUID_EAX), 1 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 24);
	free(t);
	c.steal_time = false;
	c.tsc_steady = false;
	t = build(&amd, &c);
	assert_int_equal(answer(t, 0x40000001, 0, CPUID_EAX), 1 | 1 << 1 | 1 << 3 | 1 << 6);
	assert_int_equal(answer(t, 0x80000007, 0, CPUID_EDX), 0);
	free(t);
	c.kvm_clock = false;
	t = build(&amd, &c);
	assert_int_equal(answer(t, 0x40000001, 0, CPUID_EAX), 1 << 1 | 1 << 6);
	free(t);
}

static void this_host(void *context, u32 leaf, u32 subleaf, u32 out[CPUID_REGISTERS])
{
	(void)context;
	__cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

/* Nothing that the host lacks is offered, but for what is emulated. */
static void test_this_host(void **unused)
{
	struct cpuid_table *t = malloc(sizeof(*t));
	u32 host[CPUID_REGISTERS];

	(void)unused;
	assert_non_null(t);
	cpuid_build(t, &config, this_host, NULL);
	assert_true(t->rows > 15);
	this_host(NULL, 1, 0, host);
	assert_int_equal(answer(t, 1, 0, CPUID_ECX) & ~host[CPUID_ECX] & ~(1u << 21 | 1u << 24 | 1u << 27 | 1u << 31), 0);
	assert_int_equal(answer(t, 1, 0, CPUID_EAX), host[CPUID_EAX]);
	this_host(NULL, 7, 0, host);
	assert_int_equal(answer(t, 7, 0, CPUID_EBX) & ~host[CPUID_EBX], 0);
	this_host(NULL, 0xd, 0, host);
	if (t->xcr0_mask == (host[CPUID_EAX] & XCR0_ALL))
		assert_true(answer(t, 0xd, 0, CPUID_ECX) <= host[CPUID_ECX]);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features), cmocka_unit_test(test_dynamic_bits), cmocka_unit_test(test_xsave_sizes),
		cmocka_unit_test(test_components_rule_features), cmocka_unit_test(test_topology), cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_kvm_leaves), cmocka_unit_test(test_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
