/*
 * svm: whether this processor has what the engine needs, and switching it on.
 */
#include "x86/svm/svm.h"

#include "x86/asm/insn.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"
#include "x86/mm/mm.h"

#define ASIDS_LEAST 2u /* the host's and one more */

static const char *svm_missing(void)
{
	if (!features.svm)
		return "this processor has no AMD-V (CPUID 8000_0001h ECX.SVM), or the firmware has switched it off";
	if (!features.npt)
		return "this processor has AMD-V but no nested paging (CPUID 8000_000Ah EDX.NP), which the engine svm/nested needs";
	if (features.asids < ASIDS_LEAST)
		return "this processor has AMD-V but no ASIDs (CPUID 8000_000Ah EBX)";
	return NULL;
}

static void svm_cpu_start(struct cpu *c)
{
	if (c->id == 0) {
		svm_permissions_init();
		svm_clean = features.clean_bits ? CLEAN_ALL : 0;
	}
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, c->host_save.v);
	vmsave(c->host_vmcb.v);
	tagger_init(&c->tagger, features.asids, features.flush_by_asid);
}

const struct backend svm_backend = {
	.name = "svm",
	.missing = svm_missing,
	.cpu_start = svm_cpu_start,
	.init = svm_init_state,
	.run = svm_run,
	.open = svm_open,
	.mode = svm_mode,
	.fetched = svm_fetched,
	.mov_cr = svm_mov_cr,
	.get = svm_get,
	.set = svm_set,
	.read_cr = svm_read_cr,
	.write_cr = svm_write_cr,
	.write_efer = svm_write_efer,
	.read_msr = svm_read_msr,
	.write_msr = svm_write_msr,
	.read_dr = svm_read_dr,
	.write_dr = svm_write_dr,
	.write_tsc_offset = svm_write_tsc_offset,
};
