/*
 * trap: descriptor tables, one set per processor, and the exceptions of ring 0.
 *
 *   exception in ring 0:  has its instruction a fix-up (asm/access.h)?  resume there  :  panic
 *   NMI:                  is somebody panicking?  stop  :  logged, once
 *   interrupt:            irq/ handles it
 */
#include "x86/cpu/trap.h"

#include "core/bits.h"
#include "core/check.h"
#include "x86/asm/insn.h"
#include "x86/cpu/log.h"
#include "x86/cpu/panic.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/segments.h"
#include "x86/cpu/stacks.h"
#include "x86/irq/irq.h"

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

struct cpu cpus[MAX_CPUS];
u32 cpu_total;
struct cpu_stacks cpu_stacks[MAX_CPUS] __attribute__((section(".stacks"), aligned(4096)));

static struct tables tables[MAX_CPUS];
static struct gate idt[GATES] __attribute__((aligned(16)));

extern const u8 trap_doors[];
struct extable_entry { u64 fault, fixup; };
extern const struct extable_entry extable_start[], extable_end[];

bool stack_is_guard(u64 page)
{
	u64 first = (u64)cpu_stacks;
	if (page < first || page >= first + sizeof(cpu_stacks))
		return false;
	u64 offset = (page - first) % sizeof(struct cpu_stacks);
	return offset % sizeof(struct ist_stack) == 0 && offset <= offsetof(struct cpu_stacks, guard);
}

/* ---- tables ---- */

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

/* ---- exceptions ---- */

static bool fix_up(struct trap_frame *frame)
{
	u64 count = ((u64)extable_end - (u64)extable_start) / sizeof(struct extable_entry);
	for (u64 i = 0; i < count; i++) {
		if (extable_start[i].fault != frame->rip)
			continue;
		struct cpu *c = this_cpu();
		c->fixup.vector = frame->vector;
		c->fixup.code = frame->error;
		c->fixup.address = read_cr2();
		frame->rip = extable_start[i].fixup;
		return true;
	}
	return false;
}

void trap_kernel(struct trap_frame *frame)
{
	if (frame->vector >= VECTOR_EXCEPTIONS)
		interrupt_dispatch((u32)frame->vector);
	else if (frame->vector == VECTOR_NMI)
		panic_nmi();
	else if (frame->vector == VECTOR_DF || frame->vector == VECTOR_MC || !fix_up(frame))
		panic_trap(frame);
}
