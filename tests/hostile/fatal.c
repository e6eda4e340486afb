/*
 * fatal: does what no machine survives, by name, the last word of the command line: tables, stacks, descriptors and code where no memory is,
 * faults that cannot be delivered. The machine must be ended with a record, after few exits; nobody else may notice.
 *
 * On the bare machine a hole reads as something, so what follows there is another story: only Ringmur's answer is of interest.
 */
#include "lib/guest.h"

#define HOLE      0xfd000000ull
#define FAR_HOLE  0x7000000000ull /* 448 GiB */
#define IO_APIC   0xfec00000ull
#define WINDOW    0x200000000ull
#define RIGHTS    (PTE_P | PTE_W | PTE_U)
#define LAPIC_MIDDLE (LAPIC_ADDRESS + 0x800)
enum { DIVIDE_BY_1 = 0xb, SOON = 100000, TSS_AVAILABLE_PRESENT = 0x89, HALF = 3 };

static const struct table_pointer none;

/* --- events that are delivered by way of nothing ------------------------------------------------------------------- */

static void undefined(void) { __asm__ volatile("ud2" : : : "memory"); }

static void with_idt(u64 base)
{
	struct table_pointer at = { sizeof(u64) * 2 * 256 - 1, base };

	__asm__ volatile("lidt %0" : : "m"(at));
}

static void idt_hole(void)
{
	with_idt(HOLE);
	undefined();
}

static void idt_soft(void)
{
	with_idt(HOLE);
	__asm__ volatile("int3");
}

/* The instruction at RIP is one that could be carried out on a device: it must not be taken for what faulted. */
static void idt_move(void)
{
	map(WINDOW, 0, 0, 1);
	with_idt(HOLE);
	__asm__ volatile("movl (%0), %%eax" : : "r"(WINDOW) : "rax", "memory");
}

static void gdt_hole(void)
{
	struct table_pointer at = { 0xff, HOLE };

	__asm__ volatile("lgdt %0" : : "m"(at));
	undefined();
}

static void with_stack(u64 at) { __asm__ volatile("movq %0, %%rsp\nud2" : : "r"(at) : "memory"); }
static void stack_hole(void) { with_stack(HOLE + PAGE_SIZE); }
static void stack_far(void)
{
	map_identity(FAR_HOLE, FAR_HOLE + PAGE_SIZE);
	with_stack(FAR_HOLE + PAGE_SIZE);
}
static void stack_lapic(void) { with_stack(LAPIC_MIDDLE); }

/* A frame that begins in memory and ends in none. */
static void stack_half(void)
{
	map(WINDOW, HOLE, RIGHTS, 1);
	map(WINDOW + PAGE_SIZE, (u64)page_alloc(), RIGHTS, 1);
	with_stack(WINDOW + PAGE_SIZE + 2 * sizeof(u64));
}

/* #UD switches to a stack that a task state segment names, and that lies nowhere. */
static void tss_hole(void)
{
	gdt[SEL_TSS / 8] = 0x67 | (HOLE & 0xffffff) << 16 | (u64)TSS_AVAILABLE_PRESENT << 40 | HOLE >> 24 << 56;
	gdt[SEL_TSS / 8 + 1] = 0;
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS) : "memory");
	idt_set(V_UD, stub_table[V_UD], 0, GATE_INTERRUPT, IST_SPARE);
	undefined();
}

static void irq_hole(void)
{
	lapic_enable();
	lapic_write(APIC_DIVIDE, DIVIDE_BY_1);
	lapic_write(APIC_TIMER, V_FREE);
	lapic_write(APIC_TIMER_COUNT, SOON);
	__asm__ volatile("movq %0, %%rsp\nsti\n1: jmp 1b" : : "r"(HOLE + PAGE_SIZE) : "memory");
}

/* --- tables where nothing is --------------------------------------------------------------------------------------- */

static void look(void) { (void)*(volatile u8 *)WINDOW; }

/* The entry of that level for WINDOW names a table there. */
static void table_at(unsigned level, u64 table)
{
	map(WINDOW, (u64)page_alloc(), RIGHTS, 1);
	*pte_at(read_cr3(), WINDOW, level) = table | RIGHTS;
	reload_cr3();
	look();
}

static void tables_cr3(void) { write_cr3(HOLE); }
static void tables_pml4e(void) { table_at(4, HOLE); }
static void tables_pdpte(void) { table_at(3, HOLE); }
static void tables_pde(void) { table_at(2, HOLE); }
static void tables_far(void) { table_at(2, FAR_HOLE); }
static void tables_lapic(void) { table_at(2, LAPIC_ADDRESS); }
static void tables_ioapic(void) { table_at(3, IO_APIC); }
/* The highest frame that the processor can name. */
static void tables_top(void) { table_at(3, (1ull << physical_bits()) - PAGE_SIZE); }

/* The first page beyond RAM. */
static void tables_ram_end(void)
{
	u64 top = 0;

	for (unsigned i = 0; i < boot.ranges; i++)
		if (boot.range[i].type == RANGE_RAM && boot.range[i].base + boot.range[i].size > top)
			top = boot.range[i].base + boot.range[i].size;
	table_at(2, top);
}

/* Only an emulator walks these: the processor stops at the source, a device. */
static void tables_emulated(void)
{
	u64 from = HOLE, to = WINDOW;

	map(WINDOW, (u64)page_alloc(), RIGHTS, 1);
	*pte_at(read_cr3(), WINDOW, 2) = HOLE | RIGHTS;
	reload_cr3();
	__asm__ volatile("movsb" : "+S"(from), "+D"(to) : : "memory");
}

/* A table is there, and the code that it maps; the entry above is not. */
static void tables_fetch(void)
{
	map(WINDOW, (u64)page_alloc(), RIGHTS, 1);
	*pte_at(read_cr3(), WINDOW, 2) = HOLE | RIGHTS;
	reload_cr3();
	__asm__ volatile("jmp *%0" : : "r"(WINDOW) : "memory");
}

/* --- code where nothing is ------------------------------------------------------------------------------------------ */

static void jump(u64 at) { __asm__ volatile("jmp *%0" : : "r"(at) : "memory"); }
static void code_hole(void) { jump(HOLE); }
static void code_lapic(void) { jump(LAPIC_ADDRESS); }
static void code_top(void)
{
	map(WINDOW, (1ull << physical_bits()) - PAGE_SIZE, RIGHTS, 1);
	jump(WINDOW);
}

/* The first bytes of an instruction are in memory, the others are not. What it would do on a device must not be done. */
static void straddle(const u8 *code, unsigned first)
{
	u8 *page = page_alloc();

	copy(page + PAGE_SIZE - first, code, first);
	map(WINDOW, (u64)page, RIGHTS, 1);
	map(WINDOW + PAGE_SIZE, HOLE, RIGHTS, 1);
	__asm__ volatile("movl $0xfd000000, %%eax\njmp *%0" : : "r"(WINDOW + PAGE_SIZE - first) : "rax", "memory");
}

static void code_half(void)
{
	static const u8 store[] = { 0xc7, 0x00, 0x01, 0x02, 0x03, 0x04 };

	straddle(store, HALF);
}

static void code_half_exit(void)
{
	static const u8 cpuid_insn[] = { 0x0f, 0xa2 };

	straddle(cpuid_insn, 1);
}

/* INIT on the only processor: it begins again at the end of the first 4 GiB, where a firmware would be. */
static void init_self(void)
{
	lapic_enable();
	lapic_icr(lapic_id(), ICR_INIT | ICR_LEVEL);
	for (;;)
		relax();
}

/* --- shutdown -------------------------------------------------------------------------------------------------------- */

static void without_idt(void) { __asm__ volatile("lidt %0" : : "m"(none)); }

static void triple_64(void)
{
	without_idt();
	undefined();
}

static void triple_compat(void)
{
	without_idt();
	__asm__ volatile("pushq %0\npushq $1f\nlretq\n.code32\n1: ud2\n.code64" : : "i"(SEL_CODE32) : "memory");
}

static void undefined_user(void *arg)
{
	(void)arg;
	__asm__ volatile("ud2");
}

static void triple_user(void)
{
	without_idt();
	guarded_user(undefined_user, NULL);
}

/* Neither #UD nor what follows finds a stack. */
static void triple_stack(void)
{
	idt_set(V_DF, stub_table[V_DF], 0, GATE_INTERRUPT, IST_NONE);
	with_stack(0x8000000000001000ull);
}

/* --- control registers: a processor says #GP, and the machine ends well; TCG takes the value, and no entry is possible --------- */

static void load_cr0(void *arg) { write_cr0((word)arg); }
static void load_cr3(void *arg) { write_cr3((word)arg); }

static void refused(void (*load)(void *), word value)
{
	bool right = guarded(load, (void *)value) && trap.vector == V_GP && !trap.error;

	cpuid(0, 0);
	exit_with(!right);
}

static void cr0_unpaged(void) { refused(load_cr0, read_cr0() & ~(word)CR0_PE); }
static void cr3_beyond(void) { refused(load_cr3, read_cr3() | 1ul << 51); }
static void cr3_last(void) { refused(load_cr3, read_cr3() | 1ul << physical_bits()); }

/* --- by name ----------------------------------------------------------------------------------------------------------- */

static const struct way ways[] = {
	{ "idt-hole", idt_hole }, { "idt-soft", idt_soft }, { "idt-move", idt_move }, { "gdt-hole", gdt_hole }, { "tss-hole", tss_hole },
	{ "stack-hole", stack_hole }, { "stack-far", stack_far }, { "stack-lapic", stack_lapic }, { "stack-half", stack_half },
	{ "irq-hole", irq_hole }, { "tables-cr3", tables_cr3 }, { "tables-pml4e", tables_pml4e }, { "tables-pdpte", tables_pdpte },
	{ "tables-pde", tables_pde }, { "tables-far", tables_far }, { "tables-lapic", tables_lapic }, { "tables-ioapic", tables_ioapic },
	{ "tables-top", tables_top }, { "tables-ram-end", tables_ram_end }, { "tables-emulated", tables_emulated },
	{ "tables-fetch", tables_fetch }, { "code-hole", code_hole }, { "code-lapic", code_lapic }, { "code-top", code_top },
	{ "code-half", code_half }, { "code-half-exit", code_half_exit }, { "init-self", init_self }, { "triple-64", triple_64 },
	{ "triple-compat", triple_compat }, { "triple-user", triple_user },
	{ "triple-stack", triple_stack }, { "cr0-unpaged", cr0_unpaged }, { "cr3-beyond", cr3_beyond },
	{ "cr3-last", cr3_last },
};

GUEST(fatal)
{
	take_way(ways, sizeof ways / sizeof ways[0]);
	check("the machine ended", false);
}
