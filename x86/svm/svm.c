/*
 * svm: the engine's table, and switching it on.
 */
#include "x86/svm/svm.h"

#include "x86/asm/insn.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/regs.h"

static void svm_cpu_start(struct cpu *c)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, c->host_save.v);
	vmsave(c->host_vmcb.v);
	tagger_init(&c->tagger, features.asids, features.flush_by_asid);
}

const struct backend svm_backend = {
	.name = "svm",
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
