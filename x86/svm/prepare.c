/*
 * prepare: whether this processor has what the engine needs, and what all guests share: which ports and MSRs they reach without an
 * exit. No port, and of MSRs only those that every world switch swaps. Part of the start.
 */
#include "x86/boot/start.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"
#include "x86/svm/svm.h"

#define ASIDS_LEAST 2u /* the host's and one more */
#define MSR_RANGE_BYTES 0x800u
#define MSR_RANGE_COUNT 0x2000u
#define MSR_BITS 3u /* read and write */

KEPT u8 svm_io_map[SVM_IO_MAP_BYTES] __attribute__((aligned(4096)));
KEPT u8 svm_msr_map[SVM_MSR_MAP_BYTES] __attribute__((aligned(4096)));

static const u32 range_base[] = { 0, 0xc0000000, 0xc0010000 };

/* In the VMCB, saved and loaded by VMSAVE and VMLOAD. */
static const u32 passed[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
};

static void pass(u32 msr)
{
	for (u32 i = 0; i < ARRAY_SIZE(range_base); i++) {
		u32 n = msr - range_base[i];
		if (n < MSR_RANGE_COUNT)
			svm_msr_map[i * MSR_RANGE_BYTES + n / 4] &= (u8) ~(MSR_BITS << n % 4 * 2);
	}
}

static void fill_maps(void)
{
	__builtin_memset(svm_io_map, 0xff, sizeof svm_io_map);
	__builtin_memset(svm_msr_map, 0xff, sizeof svm_msr_map);
	for (u32 i = 0; i < ARRAY_SIZE(passed); i++)
		pass(passed[i]);
}

const char *svm_prepare(void)
{
	if (!features.svm)
		return "this processor has no AMD-V (CPUID 8000_0001h ECX.SVM), or the firmware has switched it off";
	if (!features.npt)
		return "this processor has AMD-V but no nested paging (CPUID 8000_000Ah EDX.NP), which the engine svm/nested needs";
	if (features.asids < ASIDS_LEAST)
		return "this processor has AMD-V but no ASIDs (CPUID 8000_000Ah EBX)";
	fill_maps();
	svm_clean = features.clean_bits ? CLEAN_ALL : 0;
	return NULL;
}
