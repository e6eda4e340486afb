/*
 * features: CPUID read once into names; a table of bits, then the few that need more than a bit.
 *
 * Nobody else in ring 0 asks CPUID what the host has, and what guests are told of it passes here: what hide= takes away is away
 * everywhere (x2APIC and the TSC's deadline stay in guests: those are hv/lapic.c's own).
 */
#include "x86/boot/start.h"

#include "core/bits.h"
#include "x86/asm/insn_start.h"
#include "x86/asm/probe.h"
#include "x86/boot/options.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/string.h"

KEPT struct features features;

#define LEAF_BASIC     0u
#define LEAF_FEATURES  1u
#define LEAF_STRUCTURED 7u
#define LEAF_XSAVE     13u
#define LEAF_EXT       0x80000000u
#define LEAF_EXT_FEATURES 0x80000001u
#define LEAF_POWER     0x80000007u
#define LEAF_SIZES     0x80000008u
#define LEAF_SVM       0x8000000au

enum reg { EAX, EBX, ECX, EDX };

#define AT(member) (u32) offsetof(struct features, member)
struct feature_bit { u32 leaf; u8 reg, bit; u32 offset; };
static const struct feature_bit bits[] = {
	{ LEAF_FEATURES, ECX, 21, AT(x2apic) },      { LEAF_FEATURES, ECX, 24, AT(tsc_deadline) },
	{ LEAF_FEATURES, ECX, 26, AT(xsave) },       { LEAF_FEATURES, EDX, 13, AT(pge) },
	{ LEAF_STRUCTURED, EBX, 0, AT(fsgsbase) },   { LEAF_STRUCTURED, EBX, 7, AT(smep) },
	{ LEAF_STRUCTURED, EBX, 20, AT(smap) },      { LEAF_STRUCTURED, ECX, 2, AT(umip) },
	{ LEAF_EXT_FEATURES, ECX, 2, AT(svm) },      { LEAF_EXT_FEATURES, EDX, 20, AT(nx) },
	{ LEAF_EXT_FEATURES, EDX, 26, AT(gib_pages) }, { LEAF_EXT_FEATURES, EDX, 27, AT(rdtscp) },
	{ LEAF_POWER, EDX, 8, AT(invariant_tsc) },   { LEAF_SIZES, EBX, 2, AT(x87_pointers) },
	{ LEAF_SVM, EDX, 0, AT(npt) },               { LEAF_SVM, EDX, 3, AT(nrip) },
	{ LEAF_SVM, EDX, 5, AT(clean_bits) },        { LEAF_SVM, EDX, 6, AT(flush_by_asid) },
	{ LEAF_SVM, EDX, 7, AT(decode_assist) },     { LEAF_SVM, EDX, 10, AT(pause_filter) },
};
/* What a guest cannot have without another: RDPID reads TSC_AUX, which nobody switches where RDTSCP is not. */
static const struct feature_bit followers[] = { { LEAF_STRUCTURED, ECX, 22, AT(rdtscp) } };

static bool *feature(u32 offset) { return (bool *)((u8 *)&features + offset); }

/* A leaf beyond the last answers with another leaf's data on some processors: none is asked for. */
static u32 cpuid_reg(u32 leaf, enum reg reg)
{
	u32 last = cpuid(leaf & LEAF_EXT, 0).eax;
	if (leaf > last || (leaf ^ last) & LEAF_EXT)
		return 0;
	struct cpuid r = cpuid(leaf, 0);
	const u32 all[] = { r.eax, r.ebx, r.ecx, r.edx };
	return all[reg];
}

static void read_vendor(void)
{
	struct cpuid r = cpuid(LEAF_BASIC, 0);
	memcpy(features.vendor, &r.ebx, 4);
	memcpy(features.vendor + 4, &r.edx, 4);
	memcpy(features.vendor + 8, &r.ecx, 4);
}

/* SVM may be there and switched off by the firmware. Not every processor that has SVM has the register. */
static bool svm_is_disabled(void)
{
	u64 vm_cr;
	return rdmsr_or_fault(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS);
}

static void no_svm(void)
{
	features.svm = features.npt = features.nrip = features.decode_assist = features.clean_bits = false;
	features.flush_by_asid = features.pause_filter = false;
	features.asids = 0;
}

static void hide_features(u64 hide)
{
	u32 offset;
	for (u32 i = 0; option_feature(i, &offset); i++)
		if (hide & BIT(i))
			*feature(offset) = false;
}

static void take_away(const struct feature_bit *b, u32 leaf, u32 out[])
{
	if (b->leaf == leaf && !*feature(b->offset))
		out[b->reg] &= ~(u32)BIT(b->bit);
}

void features_cpuid(void *context, u32 leaf, u32 subleaf, u32 out[4])
{
	(void)context;
	struct cpuid r = cpuid(leaf, subleaf);
	out[EAX] = r.eax;
	out[EBX] = r.ebx;
	out[ECX] = r.ecx;
	out[EDX] = r.edx;
	if (subleaf) /* none of the bits is in one */
		return;
	for (u32 i = 0; i < ARRAY_SIZE(bits); i++)
		take_away(&bits[i], leaf, out);
	for (u32 i = 0; i < ARRAY_SIZE(followers); i++)
		take_away(&followers[i], leaf, out);
}

/* ---- the extended state: Intel SDM vol. 1, ch. 13; AMD APM vol. 2, 11.5 ---- */

#define LEGACY_BYTES 512u /* FXSAVE */
/* MPX and PKRU too, which guests are not offered: QEMU's XSETBV asks nobody, and what a guest can switch on must be switched with it. */
#define MANAGED (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_MPX | XCR0_AVX512 | XCR0_PKRU)

/* XCR0 as host and guests may have it. */
static u64 xsave_mask(void)
{
	if (!features.xsave)
		return XCR0_X87 | XCR0_SSE;
	struct cpuid r = cpuid(LEAF_XSAVE, 0);
	u64 mask = r.eax & MANAGED;
	/* The three of AVX-512 come together and need AVX. */
	if ((mask & XCR0_AVX512) != XCR0_AVX512 || !(mask & XCR0_AVX))
		mask &= ~(u64)XCR0_AVX512;
	return mask | XCR0_X87 | XCR0_SSE;
}

/* XCR0 = features.xcr0_mask; the first processor learns features.xsave_size. */
static void xsave_enable(void)
{
	fninit();
	if (!features.xsave) {
		features.xsave_size = LEGACY_BYTES;
		return;
	}
	xsetbv(0, features.xcr0_mask);
	/* EBX: bytes for what XCR0 has now. */
	if (!features.xsave_size)
		features.xsave_size = cpuid(LEAF_XSAVE, 0).ebx;
}

/* ---- the whole ---- */

void features_init(u64 hide)
{
	features = (struct features){ .phys_bits = 36 };
	read_vendor();
	for (u32 i = 0; i < ARRAY_SIZE(bits); i++)
		*feature(bits[i].offset) = cpuid_reg(bits[i].leaf, (enum reg)bits[i].reg) >> bits[i].bit & 1;
	u32 sizes = cpuid_reg(LEAF_SIZES, EAX);
	if (sizes) {
		features.phys_bits = (u8)min_u64(sizes & 0xff, 52);
	}
	features.asids = cpuid_reg(LEAF_SVM, EBX);
	hide_features(hide);
	if (!features.svm || svm_is_disabled())
		no_svm();
	features.xcr0_mask = xsave_mask();
}

/* ---- what was chosen, for whoever reads the log ---- */

static const struct { u32 offset; const char *name, *without; } choices[] = {
	{ AT(nrip), "next RIP", "no (instructions are decoded)" },
	{ AT(decode_assist), "decode assists", "no (instructions are fetched)" },
	{ AT(clean_bits), "clean bits", "no (all is read at each entry)" },
	{ AT(flush_by_asid), "flush by ASID", "no (a fresh one is taken)" },
	{ AT(pause_filter), "PAUSE filter", "no (none exits)" },
};
#define SENTENCE_BYTES 300u

/* By the names that hide= knows. */
static void log_names(const char *what, u64 which)
{
	char names[SENTENCE_BYTES];
	const char *name;
	u32 used = 0, offset;
	for (u32 i = 0; (name = option_feature(i, &offset)); i++)
		if (which & BIT(i))
			used += (u32)format_text(names + used, sizeof(names) - used, " %s", name);
	if (used)
		log_line("processor: %s:%s", what, names);
}

void features_log(u64 hide)
{
	char text[SENTENCE_BYTES];
	u32 used = 0;
	for (u32 i = 0; i < ARRAY_SIZE(choices); i++)
		used += (u32)format_text(text + used, sizeof(text) - used, "%s %s %s", i ? "," : "", choices[i].name,
					 *feature(choices[i].offset) ? "yes" : choices[i].without);
	log_line("processor: %s, %u ASIDs;%s", features.vendor, features.asids, text);
	u64 has = 0;
	u32 offset;
	for (u32 i = 0; option_feature(i, &offset); i++)
		has |= *feature(offset) ? BIT(i) : 0;
	log_names("used", has);
	log_names("done without", ~has);
	log_names("hidden", hide);
}

/*
 * LFENCE ends speculation, as guests are told (hv/msr.c). On Zen 2 a register file that is not cleared would show a guest what another one
 * had there (CVE-2023-20593). Models that have no such register need neither; a hypervisor below may let through the first only, or nothing.
 */
static void set_decode(void)
{
	u32 signature = cpuid(LEAF_FEATURES, 0).eax, family = (signature >> 8 & 15) + (signature >> 20 & 0xff);
	u32 model = (signature >> 4 & 15) | (signature >> 12 & 0xf0);
	bool zen2 = family == 0x17 && model >= 0x30 && (model & 0xf0) != 0x50;
	u64 value;
	if (memcmp(features.vendor, "AuthenticAMD", 12) != 0 || family < 0x10 || !rdmsr_or_fault(MSR_DE_CFG, &value))
		return;
	value |= DE_CFG_LFENCE_SERIALIZING;
	if (!zen2 || !wrmsr_or_fault(MSR_DE_CFG, value | DE_CFG_FP_BACKUP_FIX))
		(void)wrmsr_or_fault(MSR_DE_CFG, value);
}

void cpu_enable(void)
{
	u64 cr4 = CR4_PAE | CR4_DE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	cr4 |= features.pge ? CR4_PGE : 0u;
	cr4 |= features.smep ? CR4_SMEP : 0u;
	cr4 |= features.smap ? CR4_SMAP : 0u;
	cr4 |= features.umip ? CR4_UMIP : 0u;
	cr4 |= features.xsave ? CR4_OSXSAVE : 0u;
	/* Not FSGSBASE: ring 3 must not be able to give itself a GS base. The guest's CR4 is its own. */
	write_cr4(cr4);
	write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
	wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & (u64)(EFER_LME | EFER_LMA)) | EFER_SCE | (features.nx ? EFER_NXE : 0u));
	xsave_enable();
	set_decode();
}
