/*
 * align-loop: a processor whose #AC cannot be delivered but by another #AC: the handler's frame goes to a stack that is not aligned, in ring 3,
 * where alignment is checked. It never executes another instruction; the host and the other processor of this machine must not notice. (XSA-156)
 *
 * Frames are aligned in long mode, so the victim goes back to 32-bit code without paging. Where alignment is not checked there is no loop.
 */
#include "lib/guest.h"

enum { TURNS = 20, TURN_US = 20000, MISALIGNED = 2, STACK = 4096, VECTORS = 32, GATE_32_RING3 = 0xee00 };

static u64 gates[VECTORS] __attribute__((aligned(8))); /* of 32-bit code: eight bytes each */
static u8 stack[STACK] __attribute__((aligned(16)));
static volatile u32 started, delivered;
static u32 room[2];
extern char on_ac[];

static void misaligned(void *at)
{
	__asm__ volatile("pushf\norl %1, (%%rsp)\npopf\nmovl 1(%0), %%eax" : : "r"(at), "i"(FLAG_AC) : "rax", "memory", "cc");
}

static void victim(void)
{
	struct table_pointer idt = { sizeof gates - 1, (word)gates };
	u32 handler = (u32)(word)on_ac;

	gates[V_AC] = (handler & 0xffff) | (u64)SEL_USER32 << 16 | (u64)((handler & 0xffff0000u) | GATE_32_RING3) << 32;
	__atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
	__asm__ volatile("lidt %0\npushq %1\npushq $1f\nlretq\n"
	                 ".code32\n"
	                 "1:	movl %%cr0, %%eax\n	andl $0x7fffffff, %%eax\n	orl %2, %%eax\n	movl %%eax, %%cr0\n"
	                 "	movl %3, %%eax\n	movl %%eax, %%ds\n"
	                 "	pushl %3\n	pushl %4\n	pushl %5\n	pushl %6\n	pushl $2f\n	iretl\n"
	                 "2:	movl (%%esp), %%eax\n	jmp 2b\n"
	                 "on_ac:	incl delivered\n3:	jmp 3b\n"
	                 ".code64\n"
	                 : : "m"(idt), "i"(SEL_CODE32), "i"(CR0_AM), "i"(SEL_UDATA), "i"(stack + STACK - MISALIGNED), "i"(FLAG_AC | FLAG_FIXED),
	                   "i"(SEL_USER32) : "rax", "memory");
}

static bool alignment_is_checked(void)
{
	bool checked;

	write_cr0(read_cr0() | CR0_AM);
	checked = guarded_user(misaligned, room) && trap.vector == V_AC;
	write_cr0(read_cr0() & ~(word)CR0_AM);
	return checked;
}

GUEST(align_loop)
{
	const struct platform *p = platform();

	if (!alignment_is_checked()) {
		skip("#AC in #AC's delivery", "this processor does not check alignment");
		return;
	}
	lapic_enable();
	tsc_per_ms();
	if (!check("the other processor starts", ap_start(p->apic_id[p->apic_id[0] == lapic_id()], victim, &started)))
		return;
	for (unsigned i = 0; i < TURNS; i++)
		delay_us(TURN_US);
	check("this one goes on beside it", true);
	check_equal("  whose exception is never delivered", delivered, 0);
}
