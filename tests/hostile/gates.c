/*
 * gates: paravirtual calls from every mode that a processor has. From ring 3, 64 and 32 bits wide, they are refused; in 32-bit, 16-bit and real mode
 * what stands above the registers' visible halves is not the caller's. Garbage is put there first.
 */
#include "lib/guest.h"

enum { SEND_IPI = 10, POLL_IRQ = 1, KICK = 5, YIELD = 11, IPI = V_FREE, LOW = 0x8000, ANSWERS = 0x7000, SETTLE_US = 200 };
#define BASE 0x40000000u
#define EPERM 0xffffffffu /* in 32 bits */
#define ENOSYS ((u32)-1000)
#define GARBAGE 0xdeadbeef00000000ull

/* What the code below LOW is told, and its answer. */
struct low_call { u64 number, rbx, rcx, rdx, rsi, answer; };
#define THE_CALL ((volatile struct low_call *)(word)ANSWERS)

/*
 * Runs below 64 KiB: from 64-bit code into a segment of 32 or 16 bits or into real mode, the call there, and back. EAX and EBP are its own; the
 * upper halves of the others are as 64-bit code left them.
 */
extern char low_begin[], low_end[], low_32[], low_16[], low_real[];
void low_enter(u64 where);
__asm__(
"	.text\n"
"low_enter:\n"
"	pushq %rbx\n	pushq %rbp\n	pushfq\n	cli\n"
"	movq %rsp, low_sp\n"
"	movq 0x7000, %rax\n	movq 0x7008, %rbx\n	movq 0x7010, %rcx\n	movq 0x7018, %rdx\n	movq 0x7020, %rsi\n"
"	jmp *%rdi\n"
"low_back:\n"
"	movw $0x10, %bp\n	movw %bp, %ds\n	movw %bp, %es\n	movw %bp, %ss\n	movw %bp, %fs\n	movw %bp, %gs\n"
"	movq low_sp, %rsp\n"
"	popfq\n	popq %rbp\n	popq %rbx\n	ret\n"
"low_begin:\n"
/* 32-bit code */
"low_32:\n"
"	ljmp *(0x8000 + far_32 - low_begin)\n"
"	.code32\n"
"in_32:	vmmcall\n"
"	movl %eax, 0x7028\n"
"	ljmp $0x08, $low_back\n"
"	.code64\n"
/* 16-bit protected mode */
"low_16:\n"
"	ljmp *(0x8000 + far_16 - low_begin)\n"
"	.code16\n"
"in_16:	vmmcall\n"
"	movl %eax, 0x7028\n"
"	ljmpl $0x08, $low_back\n"
"	.code64\n"
/* real mode: paging off by 32-bit code, then PE. The number comes from memory: EAX is needed on the way. */
"low_real:\n"
"	ljmp *(0x8000 + far_off - low_begin)\n"
"	.code32\n"
"paging_off:\n"
"	movl %cr0, %eax\n	andl $0x7fffffff, %eax\n	movl %eax, %cr0\n"
"	ljmp $0x48, $(0x8000 + pe_off - low_begin)\n"
"	.code16\n"
"pe_off:\n"
"	movw $0x50, %bp\n	movw %bp, %ds\n	movw %bp, %es\n	movw %bp, %ss\n	movw %bp, %fs\n	movw %bp, %gs\n"
"	movl %cr0, %eax\n	andb $0xfe, %al\n	movl %eax, %cr0\n"
"	ljmp $0x800, $(real - low_begin)\n"
"real:	xorw %bp, %bp\n	movw %bp, %ds\n	movw %bp, %ss\n"
"	movl 0x7000, %eax\n"
"	vmmcall\n"
"	movl %eax, 0x7028\n"
"	movl %cr0, %eax\n	orb $1, %al\n	movl %eax, %cr0\n"
"	ljmpl $0x18, $(0x8000 + paging_on - low_begin)\n"
"	.code32\n"
"paging_on:\n"
"	movl %cr0, %eax\n	orl $0x80000000, %eax\n	movl %eax, %cr0\n"
"	ljmp $0x08, $low_back\n"
"	.code64\n"
"far_32:	.long 0x8000 + in_32 - low_begin\n	.word 0x18\n"
"far_16:	.long 0x8000 + in_16 - low_begin\n	.word 0x48\n"
"far_off: .long 0x8000 + paging_off - low_begin\n	.word 0x18\n"
"low_end:\n"
"	.data\n	.balign 8\n"
"low_sp:	.quad 0\n"
"	.text\n");


static u32 low_call(const char *where, u64 number, u64 rbx, u64 rcx, u64 rdx, u64 rsi)
{
	*THE_CALL = (struct low_call){ number | GARBAGE, rbx | GARBAGE, rcx | GARBAGE, rdx | GARBAGE, rsi | GARBAGE, GARBAGE };
	low_enter((u64)(LOW + (where - low_begin)));
	return (u32)THE_CALL->answer;
}

static void let_in(void)
{
	irqs_on();
	delay_us(SETTLE_US);
	irqs_off();
}

static void from(const char *name, const char *where, u32 self)
{
	u32 before = ipis_taken;

	say("# %s\n", name);
	check_equal("what is no call: -ENOSYS in 32 bits", low_call(where, 77, 0, 0, 0, 0), ENOSYS);
	check_equal("an interrupt to this processor is sent", low_call(where, SEND_IPI, 1, 0, self, IPI), 1);
	let_in();
	check_equal("  and comes, once", ipis_taken, before + 1);
	check_equal("one from a number that no APIC has reaches nobody", low_call(where, SEND_IPI, 0xffffffff, 0xffffffff, 0x80000000, IPI), 0);
	check_equal("  nor from the last that 32 bits hold", low_call(where, SEND_IPI, 0xffffffff, 0xffffffff, 0xffffffff, IPI), 0);
	check_equal("polling is answered", low_call(where, POLL_IRQ, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff), 0);
	check_equal("a kick to nobody", low_call(where, KICK, 0, 0xffffffff, 0, 0), 0);
	check_equal("yielding to nobody", low_call(where, YIELD, 0x80000000, 0, 0, 0), 0);
	let_in();
	check_equal("nothing else has come", ipis_taken, before + 1);
}

/* --- ring 3 ---------------------------------------------------------------------------------------------- */

static volatile u32 user_answer;
static u8 user_stack[4096] __attribute__((aligned(16)));
extern char user_32[];
__asm__(
"	.code32\n"
"user_32: movl $10, %eax\n	movl $1, %ebx\n	xorl %ecx, %ecx\n	xorl %edx, %edx\n	movl $0x90, %esi\n"
"	vmmcall\n"
"	movl %eax, user_answer\n"
"	int $0x81\n"
"	.code64\n");

static void call_user(void *arg)
{
	u64 answer;

	(void)arg;
	__asm__ volatile("vmmcall" : "=a"(answer) : "a"((u64)SEND_IPI), "b"(1ull), "c"(0ull), "d"(0ull), "S"((u64)IPI) : "memory");
	user_answer = (u32)answer;
}

static void ring3(void)
{
	u32 before = ipis_taken;

	say("# ring 3\n");
	user_answer = 0;
	check("64-bit code returns", !guarded_user(call_user, NULL));
	check_equal("  refused", user_answer, EPERM);
	user_answer = 0;
	check("32-bit code returns", !guarded_user_at(SEL_USER32, (word)user_32, (word)(user_stack + sizeof user_stack), 0));
	check_equal("  refused", user_answer, EPERM);
	let_in();
	check_equal("no interrupt has been sent", ipis_taken, before);
}

GUEST(gates)
{
	u32 self;

	_Static_assert(IPI == 0x90 && V_SYSCALL == 0x81 && SEL_CODE32 == 0x18 && SEL_CODE16 == 0x48 && SEL_DATA16 == 0x50, "as the code has them");
	if (!check("KVM's leaf is there", HAS_HYPERVISOR && cpuid(BASE, 0).b == 0x4b4d564b))
		return;
	lapic_enable();
	tsc_per_ms();
	self = lapic_x2() ? lapic_read(APIC_ID) : lapic_read(APIC_ID) >> 24;
	handlers[IPI] = take_ipi;
	copy((void *)(word)LOW, low_begin, (size_t)(low_end - low_begin));
	from("32-bit code", low_32, self);
	from("16-bit protected mode", low_16, self);
	from("real mode", low_real, self);
	ring3();
}
