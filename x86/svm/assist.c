/*
 * assist: what a processor with decode assists (APM vol. 2, 15.8) tells of the instruction that caused an exit: no walk, no fetch.
 */
#include "x86/cpu/cpu.h"
#include "x86/svm/svm.h"

/* A whole fetch or none: what was cut short ends where the guest's own fetch may fault, and that is for the walk to find out. */
bool svm_fetched(const struct guest_cpu *g, u8 bytes[INSN_MAX_BYTES])
{
	const struct vmcb *b = vmcb_of(g);
	if (!features.decode_assist || g->exit.code != VMEXIT_NPF || b->fetched != INSN_MAX_BYTES || g->rip != b->rip)
		return false;
	__builtin_memcpy(bytes, b->instruction, INSN_MAX_BYTES);
	return true;
}

bool svm_mov_cr(const struct guest_cpu *g, struct insn *i)
{
	const struct vmcb *b = vmcb_of(g);
	struct guest_mode m;
	if (!features.decode_assist || !g->next_rip || !(b->exit_info1 & CR_IS_MOV))
		return false;
	svm_mode(g, &m);
	*i = (struct insn){ .id = g->exit.code < VMEXIT_CR0_WRITE ? INSN_MOV_FROM_CR : INSN_MOV_TO_CR, .reg = g->exit.code & 15,
			    .rm = b->exit_info1 & 15, .operand_size = m.bits == 64 ? 8 : 4, .length = (u8)(g->next_rip - g->rip) };
	return true;
}
