/*
 * fatal32: what no machine survives, in the modes of 32-bit code: paging off, 32-bit and PAE paging, 16-bit protected mode, real mode, and
 * hardware task switches by way of nothing. By name, as in fatal.
 */
#include "lib/guest.h"

#define HOLE 0xfd000000u
#define RIGHTS (PTE_P | PTE_W | PTE_U)
enum { TSS_SPARE = 0x40, TSS_WORDS_32 = 26, ENTRIES = 1024, PAE_ENTRIES = 512, TSS_PRESENT = 0x89, LARGE = 4 << 20 };

static const struct table_pointer none;
static u32 directory[ENTRIES] __attribute__((aligned(4096)));
static u64 pointers[4] __attribute__((aligned(32))), pae[4][PAE_ENTRIES] __attribute__((aligned(4096)));

static void undefined(void) { __asm__ volatile("ud2" : : : "memory"); }
static void without_idt(void) { __asm__ volatile("lidt %0" : : "m"(none)); }

/* --- paging ---------------------------------------------------------------------------------------------------------- */

static void paging_32(void)
{
	for (u32 i = 0; i < ENTRIES; i++)
		directory[i] = i * LARGE | RIGHTS | PTE_PS;
	write_cr4(read_cr4() | CR4_PSE);
	write_cr3((word)directory);
	write_cr0(read_cr0() | CR0_PG);
}

static void paging_pae(void)
{
	for (u32 i = 0; i < 4; i++) {
		for (u32 k = 0; k < PAE_ENTRIES; k++)
			pae[i][k] = (i * PAE_ENTRIES + k) * (u64)(LARGE / 2) | RIGHTS | PTE_PS;
		pointers[i] = (word)pae[i] | PTE_P;
	}
	write_cr4(read_cr4() | CR4_PAE);
	write_cr3((word)pointers);
	write_cr0(read_cr0() | CR0_PG);
}

static void look(u32 at) { (void)*(volatile u8 *)at; }

static void tables32_cr3(void)
{
	paging_32();
	write_cr3(HOLE);
	look(HOLE);
}

static void tables32_pde(void)
{
	paging_32();
	directory[HOLE / LARGE] = HOLE | RIGHTS;
	reload_cr3();
	look(HOLE);
}

static void pae_pdpte(void)
{
	paging_pae();
	pointers[3] = HOLE | PTE_P;
	reload_cr3();
	look(HOLE);
}

static void pae_pde(void)
{
	paging_pae();
	pae[3][HOLE % (1u << 30) / (LARGE / 2)] = HOLE | RIGHTS;
	reload_cr3();
	look(HOLE);
}

/* --- paging off -------------------------------------------------------------------------------------------------------- */

static void flat_stack(void) { __asm__ volatile("movl %0, %%esp\nud2" : : "r"(HOLE + PAGE_SIZE) : "memory"); }
static void flat_code(void) { __asm__ volatile("jmp *%0" : : "r"(HOLE) : "memory"); }
static void flat_triple(void)
{
	without_idt();
	undefined();
}

static void paged_triple(void)
{
	paging_pae();
	flat_triple();
}

static void idt_gone(void)
{
	struct table_pointer at = { 0x7ff, HOLE };

	__asm__ volatile("lidt %0" : : "m"(at));
	undefined();
}

/* --- tasks --------------------------------------------------------------------------------------------------------------- */

static void describe_task(u32 base)
{
	gdt[TSS_SPARE / 8] = (TSS_WORDS_32 * 4 - 1) | (u64)(base & 0xffffff) << 16 | (u64)TSS_PRESENT << 40 | (u64)(base >> 24) << 56;
}

/* To a task whose state lies nowhere: all of it reads as nothing that could run. */
static void task_nowhere(void)
{
	describe_task(HOLE);
	without_idt();
	__asm__ volatile("ljmp %0, $0" : : "i"(TSS_SPARE) : "memory");
}

/* From a task whose state cannot be saved. */
static void task_unsaved(void)
{
	static u32 task[TSS_WORDS_32];

	describe_task(HOLE);
	__asm__ volatile("ltr %w0" : : "r"(TSS_SPARE) : "memory");
	describe_task((word)task);
	without_idt();
	__asm__ volatile("ljmp %0, $0" : : "i"(TSS_SPARE) : "memory");
}

/* --- 16 bits: the code lies where the image does, and is copied below 1 MiB ------------------------------------------------ */

extern char real_code[], real_code_end[];
enum { REAL = 0x8000 };
__asm__(".text\n.code16\n"
        "real_code:\n"
        "	movl %cr0, %eax\n	andb $0xfe, %al\n	movl %eax, %cr0\n	ljmp $0x800, $(1f - real_code)\n"
        "1:	ud2\n"
        "real_code_end:\n.code32\n");

static void to_16(void) { __asm__ volatile("ljmp $0x48, %0" : : "i"(REAL) : "memory"); }

static void real_triple(void)
{
	copy((void *)REAL, real_code, (size_t)(real_code_end - real_code));
	without_idt();
	to_16();
}

static void code16_triple(void)
{
	static const u8 ud2_insn[] = { 0x0f, 0x0b };

	copy((void *)REAL, ud2_insn, sizeof ud2_insn);
	without_idt();
	to_16();
}

/* By IRET with VM set: eight words above the flags. */
static void vm86_triple(void)
{
	static const u8 ud2_insn[] = { 0x0f, 0x0b };

	copy((void *)REAL, ud2_insn, sizeof ud2_insn);
	without_idt();
	__asm__ volatile("pushl $0\npushl $0\npushl $0\npushl $0\npushl $0\npushl %0\npushl $0x20002\npushl %1\npushl $0\niret"
	                 : : "i"(REAL), "i"(REAL >> 4) : "memory");
}

static const struct way ways[] = {
	{ "flat-triple", flat_triple }, { "flat-stack", flat_stack }, { "flat-code", flat_code }, { "flat-idt", idt_gone },
	{ "paged-triple", paged_triple }, { "tables32-cr3", tables32_cr3 }, { "tables32-pde", tables32_pde }, { "pae-pdpte", pae_pdpte },
	{ "pae-pde", pae_pde }, { "task-nowhere", task_nowhere }, { "task-unsaved", task_unsaved }, { "code16-triple", code16_triple },
	{ "real-triple", real_triple }, { "vm86-triple", vm86_triple },
};

GUEST(fatal32)
{
	take_way(ways, sizeof ways / sizeof ways[0]);
	check("the machine ended", false);
}
