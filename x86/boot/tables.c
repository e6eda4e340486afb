/*
 * tables: what traps go by. Descriptor tables, one set per processor (one IDT for all), and the registers that SYSCALL reads.
 */
#include "core/check.h"
#include "x86/asm/insn_start.h"
#include "x86/boot/start.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/segments.h"
#include "x86/cpu/stacks.h"

struct tss { /* APM vol. 2, 12.2.5 */
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 io_map;
} __attribute__((packed));
static_assert(sizeof(struct tss) == 104, "the 64-bit TSS");

struct gate { u16 offset0, selector; u8 ist, type; u16 offset16; u32 offset32, reserved; };
static_assert(sizeof(struct gate) == 16, "a 64-bit gate");

#define GATE_INTERRUPT 0x8e /* present, DPL 0: ring 3 cannot call it by INT */
#define GATES 256u
#define DOOR_BYTES 16u
#define TSS_AVAILABLE 0x89ull /* present, type 9 */
enum ist { IST_NONE, IST_NMI, IST_DOUBLE_FAULT, IST_MACHINE_CHECK };

struct tables {
	u64 gdt[SEGMENT_ENTRIES];
	struct tss tss;
} __attribute__((aligned(64)));

KEPT static struct tables tables[MAX_CPUS];
KEPT static struct gate idt[GATES] __attribute__((aligned(16)));

extern const u8 trap_doors[];
void syscall_entry(void);

/* What ring 3 must not carry into ring 0: interrupts, single steps, string direction, SMAP's override, nested task. */
#define SYSCALL_CLEARS (RFLAGS_IF | RFLAGS_TF | RFLAGS_DF | RFLAGS_AC | RFLAGS_NT | RFLAGS_IOPL | RFLAGS_RF)

/* The MSRs that name our own entries; guests have theirs in them while they run. */
static void user_init_cpu(void)
{
	wrmsr(MSR_STAR, (u64)(SEGMENT_EARLY_CODE32 | SEGMENT_RPL3) << 48 | (u64)SEGMENT_KERNEL_CODE << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_CSTAR, 0);
	wrmsr(MSR_SFMASK, SYSCALL_CLEARS);
}

static void gdt_fill(struct tables *t)
{
	u64 base = (u64)&t->tss;
	t->gdt[SEGMENT_KERNEL_CODE / 8] = DESCRIPTOR_KERNEL_CODE;
	t->gdt[SEGMENT_KERNEL_DATA / 8] = DESCRIPTOR_KERNEL_DATA;
	t->gdt[SEGMENT_USER_DATA / 8] = DESCRIPTOR_USER_DATA;
	t->gdt[SEGMENT_USER_CODE / 8] = DESCRIPTOR_USER_CODE;
	t->gdt[SEGMENT_TSS / 8] = (sizeof(t->tss) - 1) | (base & 0xffffff) << 16 | TSS_AVAILABLE << 40 | (base >> 24 & 0xff) << 56;
	t->gdt[SEGMENT_TSS / 8 + 1] = base >> 32;
}

static u64 stack_top(struct ist_stack *s, struct cpu *c)
{
	s->cpu = c;
	return (u64)&s->cpu;
}

static void tss_fill(struct tables *t, struct cpu *c)
{
	struct cpu_stacks *s = &cpu_stacks[c->id];
	t->tss.rsp[0] = stack_top(&s->entry, c);
	t->tss.ist[IST_NMI - 1] = stack_top(&s->nmi, c);
	t->tss.ist[IST_DOUBLE_FAULT - 1] = stack_top(&s->double_fault, c);
	t->tss.ist[IST_MACHINE_CHECK - 1] = stack_top(&s->machine_check, c);
	t->tss.io_map = sizeof(t->tss); /* beyond the limit: ring 3 has no ports */
}

static void idt_fill(void)
{
	for (u32 i = 0; i < GATES; i++) {
		u64 door = (u64)trap_doors + i * DOOR_BYTES;
		idt[i] = (struct gate){ .offset0 = (u16)door, .selector = SEGMENT_KERNEL_CODE, .type = GATE_INTERRUPT,
					.offset16 = (u16)(door >> 16), .offset32 = (u32)(door >> 32) };
	}
	idt[VECTOR_NMI].ist = IST_NMI;
	idt[VECTOR_DF].ist = IST_DOUBLE_FAULT;
	idt[VECTOR_MC].ist = IST_MACHINE_CHECK;
}

void trap_init_cpu(struct cpu *c)
{
	struct tables *t = &tables[c->id];
	gdt_fill(t);
	tss_fill(t, c);
	if (!idt[0].type)
		idt_fill();
	lgdt(&(struct table_pointer){ sizeof(t->gdt) - 1, (u64)t->gdt });
	load_segments(SEGMENT_KERNEL_CODE, SEGMENT_KERNEL_DATA);
	c->self = c;
	wrmsr(MSR_GS_BASE, (u64)c);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	ltr(SEGMENT_TSS);
	lidt(&(struct table_pointer){ sizeof(idt) - 1, (u64)idt });
	user_init_cpu();
}
