/*
 * svm-hidden: to a guest the machine has no AMD-V and no VT-x: CPUID does not say so, EFER refuses, the instructions are
 * undefined. (On the bare machine only the last holds, before SVME is set.)
 */
#include "lib/guest.h"

#define PROBE(fn, text)                                                                   \
	static void fn(void *arg)                                                         \
	{                                                                                 \
		__asm__ volatile(MARK text : : "a"(arg), "c"(0), "d"(0) : "memory", "rbx"); \
	}
PROBE(vmrun, ".byte 0x0f,0x01,0xd8")
PROBE(vmload, ".byte 0x0f,0x01,0xda")
PROBE(vmsave, ".byte 0x0f,0x01,0xdb")
PROBE(stgi, ".byte 0x0f,0x01,0xdc")
PROBE(clgi, ".byte 0x0f,0x01,0xdd")
PROBE(skinit, ".byte 0x0f,0x01,0xde")
PROBE(invlpga, ".byte 0x0f,0x01,0xdf")
PROBE(vmmcall, ".byte 0x0f,0x01,0xd9")
PROBE(vmcall, ".byte 0x0f,0x01,0xc1")
PROBE(vmlaunch, ".byte 0x0f,0x01,0xc2")
PROBE(vmxoff, ".byte 0x0f,0x01,0xc4")
PROBE(vmread, ".byte 0x0f,0x78,0xc0")

#define MSR_VM_CR    0xc0010114u
#define MSR_VM_HSAVE 0xc0010117u
#define EFER_SVME    0x1000u

GUEST(svm_hidden)
{
	static const struct {
		const char *name;
		void (*fn)(void *);
	} of[] = {
		{ "#UD by VMRUN", vmrun }, { "#UD by VMLOAD", vmload }, { "#UD by VMSAVE", vmsave }, { "#UD by STGI", stgi },
		{ "#UD by CLGI", clgi }, { "#UD by SKINIT", skinit }, { "#UD by INVLPGA", invlpga },
		{ "#UD by VMLAUNCH", vmlaunch }, { "#UD by VMXOFF", vmxoff }, { "#UD by VMREAD", vmread },
	};
	u8 *page = page_alloc();
	u64 v;
	bool trapped;

	for (unsigned i = 0; i < sizeof of / sizeof of[0]; i++) {
		expect(of[i].name, of[i].fn, page, V_UD, 0);
		/* TCG looks at the privilege first. */
		tolerate(V_GP, 0);
		expect_user("  at CPL 3 too", of[i].fn, page, V_UD, 0);
	}
	trapped = guarded(vmmcall, (void *)~0ul);
	check("VMMCALL returns or gives #UD", !trapped || trap.vector == V_UD);
	trapped = guarded_user(vmmcall, (void *)~0ul);
	check("  at CPL 3 too", !trapped || trap.vector == V_UD || trap.vector == V_GP);
	trapped = guarded(vmcall, (void *)~0ul);
	check("VMCALL returns or gives #UD", !trapped || trap.vector == V_UD);
	expected_ip = 0;
	if (on_tcg()) {
		skip("SVM hidden", "this is the bare machine");
		return;
	}
	check("CPUID does not say SVM", !HAS_SVM);
	check("CPUID does not say VMX", !feature(1, IN_C, 5));
	check("EFER.SVME gives #GP", !wrmsr_safe(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME));
	check("  and is clear", !(rdmsr(MSR_EFER) & EFER_SVME));
	check("VM_HSAVE_PA cannot be written", !wrmsr_safe(MSR_VM_HSAVE, (word)page));
	check("VM_CR, where it reads, says disabled", !rdmsr_safe(MSR_VM_CR, &v) || (v & 1 << 4));
	expect("#UD by VMRUN after all that", vmrun, page, V_UD, 0);
}
