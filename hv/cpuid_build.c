/*
 * cpuid_build: the policy, and each machine's answers made from it. Part of the start: all definitions are known at boot.
 *
 * A row of `policy` says which bits of the host's answer pass. What depends on the VM (topology, frequency, sizes) is filled by a
 * function for that leaf; what depends on the vCPU's state is patched into each answer (cpuid.c).
 */
#include "hv/cpuid_build.h"
#include "core/bits.h"
#include "core/check.h"

/* ---- bits, by the names of the manuals ---- */

#define B(n) ((u32)BIT(n))

enum leaf_1_ecx { /* not offered: MONITOR (3), PCID (17) */
	SSE3 = B(0), PCLMULQDQ = B(1), SSSE3 = B(9), FMA = B(12), CX16 = B(13), SSE41 = B(19), SSE42 = B(20),
	X2APIC = B(21), MOVBE = B(22), POPCNT = B(23), TSC_DEADLINE = B(24), AES = B(25), XSAVE = B(26),
	AVX = B(28), F16C = B(29), RDRAND = B(30),
};
#define HYPERVISOR 0x80000000u

enum leaf_1_edx {
	FPU = B(0), VME = B(1), DE = B(2), PSE = B(3), TSC = B(4), MSR = B(5), PAE = B(6), MCE = B(7), CX8 = B(8), APIC = B(9),
	SEP = B(11), MTRR = B(12), PGE = B(13), MCA = B(14), CMOV = B(15), PAT = B(16), PSE36 = B(17), CLFSH = B(19),
	MMX = B(23), FXSR = B(24), SSE = B(25), SSE2 = B(26), HTT = B(28),
};
/* The same in 80000001H.EDX on AMD. */
#define COMMON_EDX (FPU | VME | DE | PSE | TSC | MSR | PAE | MCE | CX8 | APIC | MTRR | PGE | MCA | CMOV | PAT | PSE36 | MMX | FXSR)

enum leaf_7_ebx { /* not offered: TSC_ADJUST (1), INVPCID (10), HLE, RTM, PT */
	FSGSBASE = B(0), BMI1 = B(3), AVX2 = B(5), FDP_EXCPTN = B(6), SMEP = B(7), BMI2 = B(8), ERMS = B(9),
	ZERO_FCS = B(13), AVX512F = B(16), AVX512DQ = B(17), RDSEED = B(18), ADX = B(19), SMAP = B(20), AVX512IFMA = B(21),
	CLFLUSHOPT = B(23), CLWB = B(24), AVX512CD = B(28), SHA = B(29), AVX512BW = B(30),
};
#define AVX512VL 0x80000000u
#define LEAF_7_EBX_AVX512 (AVX512F | AVX512DQ | AVX512IFMA | AVX512CD | AVX512BW | AVX512VL)

enum leaf_7_ecx { /* not offered: PKU (3), LA57 (16), MOVDIRI and MOVDIR64B (27, 28), which are for devices: no emulator here knows them */
	AVX512VBMI = B(1), UMIP = B(2), AVX512VBMI2 = B(6), GFNI = B(8), VAES = B(9), VPCLMULQDQ = B(10), AVX512VNNI = B(11),
	AVX512BITALG = B(12), AVX512VPOPCNT = B(14), RDPID = B(22),
};
#define LEAF_7_ECX_AVX512 (AVX512VBMI | AVX512VBMI2 | AVX512VNNI | AVX512BITALG | AVX512VPOPCNT)

enum leaf_7_edx { FSRM = B(4), AVX512VP2INTERSECT = B(8), SERIALIZE = B(14) };
enum leaf_7_1_eax { AVXVNNI = B(4), AVX512BF16 = B(5), FZRM = B(10), FSRS = B(11), FSRC = B(12) };
enum leaf_d_1_eax { XSAVEOPT = B(0), XSAVEC = B(1), XGETBV_1 = B(2) };

enum extended_1_ecx { /* not offered: SVM (2), EXTAPIC (3), ALTMOVCR8 (4), OSVW, IBS, SKINIT, WDT, LWP, performance counters, MONITORX */
	LAHF = B(0), CMP_LEGACY = B(1), ABM = B(5), SSE4A = B(6), MISALIGNSSE = B(7), PREFETCHW = B(8), XOP = B(11), FMA4 = B(16),
	TBM = B(21), TOPOEXT = B(22),
};
enum extended_1_edx { SYSCALL = B(11), NX = B(20), MMXEXT = B(22), PAGE1GB = B(26), RDTSCP = B(27), LM = B(29), E3DNOWEXT = B(30) };
#define E3DNOW 0x80000000u
enum extended_7_edx { INVARIANT_TSC = B(8) };
enum extended_8_ebx { CLZERO = B(0), XSAVEERPTR = B(2), WBNOINVD = B(9) };
enum extended_21_eax { LFENCE_SERIALIZES = B(2), NULL_SELECTOR_CLEARS_BASE = B(6) };
enum thermal_eax { ARAT = B(2) }; /* the APIC timer runs always */

enum kvm_features {
	/* not offered: MMU_OP (2), ASYNC_PF (4, 10, 14), hypercalls to migrate (16) */
	KVM_CLOCKSOURCE = B(0), KVM_NOP_IO_DELAY = B(1), KVM_CLOCKSOURCE2 = B(3), KVM_STEAL_TIME = B(5), KVM_PV_EOI = B(6),
	KVM_PV_UNHALT = B(7), KVM_PV_TLB_FLUSH = B(9), KVM_PV_SEND_IPI = B(11), KVM_PV_SCHED_YIELD = B(13), KVM_CLOCKSOURCE_STABLE = B(24),
};

#define XCR0_BASE   BITS(1, 0) /* x87 and SSE */
#define XCR0_AVX    BIT(2)
#define XCR0_AVX512 BITS(7, 5)
#define COMPONENT_ALIGNED 2u /* ECX of its leaf: begins on 64 bytes when compacted */

#define LEAF_CACHES     0x4u
#define LEAF_TOPOLOGY   0xbu
#define LEAF_XSAVE      0xdu
#define LEAF_KVM_FEATURES (CPUID_KVM_BASE + 1)
#define LEAF_CACHES_AMD 0x8000001du
#define LEAF_IDS_AMD    0x8000001eu
#define LAST_EXTENDED   0x80000021u
#define ALL             0xffffffffu

/* ---- the policy ---- */

struct policy_row {
	u32 leaf;
	u8 subleaf;
	bool any_subleaf;
	u8 patch;
	u32 pass[CPUID_REGISTERS], set[CPUID_REGISTERS];
};

static const struct policy_row policy[] = {
	{ 0x0, 0, true, PATCH_NONE, { 0, ALL, ALL, ALL }, { 0 } },
	{ 0x1, 0, true, PATCH_FEATURES,
	  { ALL, 0x0000ff00, SSE3 | PCLMULQDQ | SSSE3 | FMA | CX16 | SSE41 | SSE42 | MOVBE | POPCNT | AES | XSAVE | AVX | F16C |
	    RDRAND, COMMON_EDX | SEP | CLFSH | SSE | SSE2 },
	  { 0, 0, X2APIC | TSC_DEADLINE | HYPERVISOR, APIC } },
	{ 0x2, 0, true, PATCH_NONE, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x6, 0, true, PATCH_NONE, { 0 }, { ARAT, 0, 0, 0 } },
	{ 0x7, 0, false, PATCH_NONE,
	  { 0, FSGSBASE | BMI1 | AVX2 | FDP_EXCPTN | SMEP | BMI2 | ERMS | ZERO_FCS | RDSEED | ADX | SMAP | CLFLUSHOPT | CLWB |
	    SHA | LEAF_7_EBX_AVX512,
	    UMIP | GFNI | VAES | VPCLMULQDQ | RDPID | LEAF_7_ECX_AVX512,
	    FSRM | SERIALIZE | AVX512VP2INTERSECT },
	  { 1, 0, 0, 0 } },
	{ 0x7, 1, false, PATCH_NONE, { AVXVNNI | AVX512BF16 | FZRM | FSRS | FSRC, 0, 0, 0 }, { 0 } },
	{ 0xd, 0, false, PATCH_XSAVE, { 0 }, { 0 } },
	{ 0xd, 1, false, PATCH_XSAVE_COMPACTED, { XSAVEOPT | XSAVEC | XGETBV_1, 0, 0, 0 }, { 0 } },
	{ 0x80000000, 0, true, PATCH_NONE, { 0, ALL, ALL, ALL }, { 0 } },
	{ 0x80000001, 0, true, PATCH_FEATURES_AMD,
	  { ALL, 0, LAHF | ABM | SSE4A | MISALIGNSSE | PREFETCHW | XOP | FMA4 | TBM | TOPOEXT,
	    COMMON_EDX | SYSCALL | NX | MMXEXT | PAGE1GB | RDTSCP | LM | E3DNOWEXT | E3DNOW }, { 0 } },
	{ 0x80000002, 0, true, PATCH_NONE, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000003, 0, true, PATCH_NONE, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000004, 0, true, PATCH_NONE, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000005, 0, true, PATCH_NONE, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000006, 0, true, PATCH_NONE, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000007, 0, true, PATCH_NONE, { 0 }, { 0 } },
	{ 0x80000008, 0, true, PATCH_NONE, { 0, CLZERO | XSAVEERPTR | WBNOINVD, 0, 0 }, { 0 } },
	{ 0x80000019, 0, true, PATCH_NONE, { ALL, ALL, 0, 0 }, { 0 } },
	{ 0x8000001a, 0, true, PATCH_NONE, { 0x7, 0, 0, 0 }, { 0 } },
	{ LEAF_IDS_AMD, 0, true, PATCH_IDS_AMD, { 0 }, { 0 } },
	{ 0x80000021, 0, true, PATCH_NONE, { LFENCE_SERIALIZES | NULL_SELECTOR_CLEARS_BASE, 0, 0, 0 }, { 0 } },
};

/* ---- building ---- */

struct host {
	cpuid_raw raw;
	void *context;
	u32 max_basic, max_extended;
	bool intel;
};

/* Leaves that the host does not have are zeros, whatever it answers for them. */
static void host_leaf(const struct host *h, u32 leaf, u32 subleaf, u32 out[CPUID_REGISTERS])
{
	if (leaf > (leaf >= CPUID_EXTENDED ? h->max_extended : h->max_basic))
		out[CPUID_EAX] = out[CPUID_EBX] = out[CPUID_ECX] = out[CPUID_EDX] = 0;
	else
		h->raw(h->context, leaf, subleaf, out);
}

/* Rows of one leaf are found in the order in which they were added. */
static struct cpuid_row *add_row(struct cpuid_table *t, u32 leaf, u32 subleaf, bool any, u8 patch)
{
	u16 *link = &t->bucket[cpuid_bucket(leaf)];

	CHECK(t->rows < CPUID_MAX_ROWS);
	while (*link)
		link = &t->row[*link].next;
	*link = t->rows;
	struct cpuid_row *r = &t->row[t->rows++];
	*r = (struct cpuid_row){ .leaf = leaf, .subleaf = subleaf, .any_subleaf = any, .patch = patch };
	return r;
}

static u32 *find(struct cpuid_table *t, u32 leaf, u32 subleaf) { return t->row[cpuid_row_of(t, leaf, subleaf)].out; }

static void add_policy(struct cpuid_table *t, const struct host *h)
{
	for (u32 i = 0; i < ARRAY_SIZE(policy); i++) {
		const struct policy_row *p = &policy[i];
		u32 host[CPUID_REGISTERS];

		if (p->leaf > (p->leaf >= CPUID_EXTENDED ? t->max_extended : t->max_basic))
			continue;
		host_leaf(h, p->leaf, p->subleaf, host);
		struct cpuid_row *r = add_row(t, p->leaf, p->subleaf, p->any_subleaf, p->patch);
		for (u32 k = 0; k < CPUID_REGISTERS; k++)
			r->out[k] = (host[k] & p->pass[k]) | p->set[k];
	}
}

static void set_bits(u32 *word, u32 bits, bool on) { *word = on ? *word | bits : *word & ~bits; }

/* What is not there when any of these components is not. A leaf without a row stays zeros. */
static const struct { u32 leaf; u8 subleaf, reg; u64 needs; u32 bits; } vector_features[] = {
	{ 0x1, 0, CPUID_ECX, XCR0_BASE, XSAVE },
	{ 0x1, 0, CPUID_ECX, XCR0_AVX, AVX | FMA | F16C },
	{ 0x7, 0, CPUID_EBX, XCR0_AVX, AVX2 },
	{ 0x7, 0, CPUID_ECX, XCR0_AVX, VAES | VPCLMULQDQ },
	{ 0x7, 1, CPUID_EAX, XCR0_AVX, AVXVNNI },
	{ 0x80000001, 0, CPUID_ECX, XCR0_AVX, XOP | FMA4 },
	{ 0x7, 0, CPUID_EBX, XCR0_AVX512, LEAF_7_EBX_AVX512 },
	{ 0x7, 0, CPUID_ECX, XCR0_AVX512, LEAF_7_ECX_AVX512 },
	{ 0x7, 0, CPUID_EDX, XCR0_AVX512, AVX512VP2INTERSECT },
	{ 0x7, 1, CPUID_EAX, XCR0_AVX512, AVX512BF16 },
};

static void judge_vector_features(struct cpuid_table *t)
{
	for (u32 i = 0; i < ARRAY_SIZE(vector_features); i++)
		if (vector_features[i].needs & ~t->xcr0_mask)
			find(t, vector_features[i].leaf, vector_features[i].subleaf)[vector_features[i].reg] &= ~vector_features[i].bits;
}

static u64 offered_components(u64 mask)
{
	if ((mask & XCR0_BASE) != XCR0_BASE)
		return 0;
	if ((mask & XCR0_AVX512) != XCR0_AVX512 || !(mask & XCR0_AVX))
		mask &= ~XCR0_AVX512;
	return mask & (XCR0_BASE | XCR0_AVX | XCR0_AVX512);
}

static void add_components(struct cpuid_table *t, const struct host *h)
{
	u32 *leaf_d = find(t, LEAF_XSAVE, 0);

	if (!t->xcr0_mask)
		return;
	for (u32 i = 2; i < CPUID_COMPONENTS; i++) {
		if (!(t->xcr0_mask & BIT(i)))
			continue;
		u32 *out = add_row(t, LEAF_XSAVE, i, false, PATCH_NONE)->out;
		host_leaf(h, LEAF_XSAVE, i, out);
		out[CPUID_ECX] &= COMPONENT_ALIGNED;
		out[CPUID_EDX] = 0;
		t->component[i].size = out[CPUID_EAX];
		t->component[i].offset = out[CPUID_EBX];
		t->component[i].aligned = out[CPUID_ECX] & COMPONENT_ALIGNED;
	}
	leaf_d[CPUID_EAX] = (u32)t->xcr0_mask;
	leaf_d[CPUID_ECX] = cpuid_xsave_size(t, t->xcr0_mask, false);
	t->compacted = find(t, LEAF_XSAVE, 1)[CPUID_EAX] & XSAVEC;
}

/* ---- topology: one package of `vcpus` cores, one thread each; APIC IDs from 0 on ---- */

static u32 order(u32 n) { return n > 1 ? 32u - (u32)__builtin_clz(n - 1) : 0; }

enum { TOPOLOGY_THREAD = 1, TOPOLOGY_CORE = 2 };
#define CACHE_TYPE(eax)  ((eax) & 0x1f) /* 0: no more */
#define CACHE_LEVEL(eax) ((eax) >> 5 & 7)
#define CACHE_OTHERS     0xffffc000u /* who shares it, and how many cores there are */
#define CACHES_MAX       8u

static void add_topology(struct cpuid_table *t, u32 vcpus)
{
	struct cpuid_row *r = add_row(t, LEAF_TOPOLOGY, 0, false, PATCH_TOPOLOGY);

	r->out[CPUID_EBX] = 1;
	r->out[CPUID_ECX] = TOPOLOGY_THREAD << 8;
	r = add_row(t, LEAF_TOPOLOGY, 1, false, PATCH_TOPOLOGY);
	r->out[CPUID_EAX] = order(vcpus);
	r->out[CPUID_EBX] = vcpus;
	r->out[CPUID_ECX] = TOPOLOGY_CORE << 8;
	add_row(t, LEAF_TOPOLOGY, 0, true, PATCH_TOPOLOGY);
}

/* 4 and 8000001DH: L3 is everyone's, the rest each core's own. */
static void add_caches(struct cpuid_table *t, const struct host *h, u32 leaf, u32 vcpus)
{
	for (u32 i = 0; i < CACHES_MAX; i++) {
		u32 host[CPUID_REGISTERS];

		host_leaf(h, leaf, i, host);
		if (!CACHE_TYPE(host[CPUID_EAX]))
			return;
		u32 *out = add_row(t, leaf, i, false, PATCH_NONE)->out;
		__builtin_memcpy(out, host, sizeof(host));
		out[CPUID_EAX] &= ~CACHE_OTHERS;
		if (CACHE_LEVEL(out[CPUID_EAX]) >= 3)
			out[CPUID_EAX] |= (vcpus - 1) << 14;
		if (leaf == LEAF_CACHES)
			out[CPUID_EAX] |= ((1u << order(vcpus)) - 1) << 26;
	}
}

static void set_counts(struct cpuid_table *t, const struct cpuid_config *c)
{
	u32 *one = find(t, 1, 0), *extended_1 = find(t, 0x80000001, 0), *extended_8 = find(t, 0x80000008, 0);

	one[CPUID_EBX] |= (c->vcpus & 0xff) << 16;
	set_bits(&one[CPUID_EDX], HTT, c->vcpus > 1);
	if (t->max_extended >= 0x80000001)
		set_bits(&extended_1[CPUID_ECX], CMP_LEGACY, !t->intel && c->vcpus > 1);
	if (t->max_extended >= 0x80000007)
		set_bits(&find(t, 0x80000007, 0)[CPUID_EDX], INVARIANT_TSC, c->tsc_steady);
	if (t->max_extended >= 0x80000008) {
		extended_8[CPUID_EAX] = c->phys_bits | 48u << 8; /* no LA57: 48 linear bits */
		if (!t->intel)
			extended_8[CPUID_ECX] = ((c->vcpus - 1) & 0xff) | order(c->vcpus) << 12;
	}
}

static void add_kvm(struct cpuid_table *t, const struct cpuid_config *c)
{
	struct cpuid_row *r = add_row(t, CPUID_KVM_BASE, 0, true, PATCH_NONE);

	r->out[CPUID_EAX] = LEAF_KVM_FEATURES;
	r->out[CPUID_EBX] = 'K' | 'V' << 8 | 'M' << 16 | 'K' << 24;
	r->out[CPUID_ECX] = 'V' | 'M' << 8 | 'K' << 16 | 'V' << 24;
	r->out[CPUID_EDX] = 'M';
	r = add_row(t, LEAF_KVM_FEATURES, 0, true, PATCH_NONE);
	r->out[CPUID_EAX] = KVM_NOP_IO_DELAY | KVM_PV_EOI;
	set_bits(&r->out[CPUID_EAX], KVM_CLOCKSOURCE | KVM_CLOCKSOURCE2, c->kvm_clock);
	set_bits(&r->out[CPUID_EAX], KVM_STEAL_TIME, c->steal_time);
	set_bits(&r->out[CPUID_EAX], KVM_PV_UNHALT | KVM_PV_SEND_IPI | KVM_PV_SCHED_YIELD, c->vcpus > 1);
	set_bits(&r->out[CPUID_EAX], KVM_PV_TLB_FLUSH, c->vcpus > 1 && c->steal_time); /* it is asked for in the page */
	set_bits(&r->out[CPUID_EAX], KVM_CLOCKSOURCE_STABLE, c->kvm_clock && c->tsc_steady);
}

static struct host ask_host(cpuid_raw raw, void *context)
{
	struct host h = { .raw = raw, .context = context };
	u32 out[CPUID_REGISTERS];

	raw(context, 0, 0, out);
	h.max_basic = out[CPUID_EAX];
	h.intel = out[CPUID_EBX] == ('G' | 'e' << 8 | 'n' << 16 | 'u' << 24);
	raw(context, CPUID_EXTENDED, 0, out);
	h.max_extended = out[CPUID_EAX] >= CPUID_EXTENDED ? out[CPUID_EAX] : 0;
	return h;
}

void cpuid_build(struct cpuid_table *t, const struct cpuid_config *c, cpuid_raw raw, void *context)
{
	struct host h = ask_host(raw, context);

	*t = (struct cpuid_table){ .rows = 1, .intel = h.intel, .steal_time = c->steal_time, .xcr0_mask = offered_components(c->xcr0_mask) };
	/* x2APIC comes with leaf 0BH, XSAVE with 0DH; what lies between and the host lacks is zeros. */
	t->max_basic = t->xcr0_mask ? LEAF_XSAVE : LEAF_TOPOLOGY;
	t->max_extended = (u32)min_u64(h.max_extended, LAST_EXTENDED);
	add_policy(t, &h);
	find(t, 0, 0)[CPUID_EAX] = t->max_basic;
	if (t->max_extended) /* the row of zeros stays zeros */
		find(t, CPUID_EXTENDED, 0)[CPUID_EAX] = t->max_extended;
	judge_vector_features(t);
	add_components(t, &h);
	add_topology(t, c->vcpus);
	if (h.intel)
		add_caches(t, &h, LEAF_CACHES, c->vcpus);
	else if (t->max_extended >= LEAF_CACHES_AMD)
		add_caches(t, &h, LEAF_CACHES_AMD, c->vcpus);
	set_counts(t, c);
	add_kvm(t, c);
}
