/*
 * permissions: which ports and MSRs a guest reaches without an exit: no port, and of MSRs only those that every world switch swaps.
 */
#include "x86/cpu/regs.h"
#include "x86/mm/mm.h"
#include "x86/svm/svm.h"

#define IO_MAP_BYTES  (3 * PAGE_SIZE) /* APM 15.10.1 */
#define MSR_MAP_BYTES (2 * PAGE_SIZE) /* APM 15.11: two bits an MSR, three ranges of 2 KiB */
#define MSR_RANGE_BYTES 0x800u
#define MSR_RANGE_COUNT 0x2000u
#define MSR_BITS 3u /* read and write */

static u8 io_map[IO_MAP_BYTES] __attribute__((aligned(4096)));
static u8 msr_map[MSR_MAP_BYTES] __attribute__((aligned(4096)));

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
			msr_map[i * MSR_RANGE_BYTES + n / 4] &= (u8) ~(MSR_BITS << n % 4 * 2);
	}
}

void svm_permissions_init(void)
{
	__builtin_memset(io_map, 0xff, sizeof io_map);
	__builtin_memset(msr_map, 0xff, sizeof msr_map);
	for (u32 i = 0; i < ARRAY_SIZE(passed); i++)
		pass(passed[i]);
}

hpa_t svm_io_map(void)
{
	return image_hpa(io_map);
}

hpa_t svm_msr_map(void)
{
	return image_hpa(msr_map);
}
