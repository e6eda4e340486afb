/*
 * mmio: device registers reached by every shape of instruction that compilers and people use; holes in the physical address
 * space read all ones and take no notice of writes.
 */
#include "lib/guest.h"

#define HOLE     0xfd000000ull  /* below the I/O APIC, above what a small machine's firmware gives to devices */
#define FAR_HOLE 0x7000000000ull /* 448 GiB */
#define WINDOW   0x200000000ull
#define RIGHTS   (PTE_P | PTE_W | PTE_U)

/* The local vector table's error entry: 32 bits, of which vector and mask can be written. */
#define REG ((volatile u32 *)(word)(LAPIC_ADDRESS + APIC_ERROR))
enum { BASE = LVT_MASKED };

static u32 now(void) { return *REG & (LVT_MASKED | 0xff); }
static void set(u32 v) { *REG = BASE | v; }

/* --- 32-bit forms, on the local APIC ------------------------------------------------------------------------- */

static void moves(void)
{
	u64 wide;
	u32 v;

	__asm__ volatile("movl $0x10051, (%0)" : : "r"(REG) : "memory");
	check_equal("MOV of an immediate", now(), 0x10051);
	__asm__ volatile("movl %1, (%0)" : : "r"(REG), "r"(0x10052) : "memory");
	check_equal("MOV of a register", now(), 0x10052);
	__asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(REG) : "memory");
	check_equal("MOV to a register", v, 0x10052);
	wide = ~0ull;
	__asm__ volatile("movl (%1), %k0" : "+r"(wide) : "r"(REG) : "memory");
	check_equal("  clears its upper half", wide, 0x10052);
	__asm__ volatile("movl (%1), %%r11d\nmovl %%r11d, %0" : "=r"(v) : "r"(REG) : "r11", "memory");
	check_equal("MOV to R11", v, 0x10052);
	__asm__ volatile("movl %1, %%r9d\nmovl %%r9d, -16(%0,%2,8)" : : "r"(REG), "r"(0x10053), "r"(2ull) : "r9", "memory");
	check_equal("MOV of R9, with base, index and displacement", now(), 0x10053);
	__asm__ volatile(".byte 0x67\nmovl (%%eax), %0" : "=r"(v) : "a"(REG) : "memory");
	check_equal("MOV with a 32-bit address", v, 0x10053);
	__asm__ volatile("movabsl 0xfee00370, %%eax" : "=a"(v) : : "memory");
	check_equal("MOV from an absolute address", v, 0x10053);
	__asm__ volatile("movabsl %%eax, 0xfee00370" : : "a"(0x10054) : "memory");
	check_equal("MOV to an absolute address", now(), 0x10054);
	__asm__ volatile("movslq (%1), %0" : "=r"(wide) : "r"(REG) : "memory");
	check_equal("MOVSXD", wide, 0x10054);
	/* What 64 bits of the APIC hold is nobody's promise; that PUSH goes through is. */
	__asm__ volatile("movq %%rsp, %0\npush (%1)\nlea 8(%%rsp), %%rsp\nsubq %%rsp, %0" : "=&r"(wide) : "r"(REG) : "memory");
	check_equal("PUSH from a register of the APIC", wide, 0);
	v = 0x10055;
	__asm__ volatile("xchgl %0, (%1)" : "+r"(v) : "r"(REG) : "memory");
	check("XCHG", v == 0x10054 && now() == 0x10055);
}

static void logic(void)
{
	bool zero, carry;
	u32 v = 0x10061;

	set(0x50);
	__asm__ volatile("orl $0x0f, (%0)" : : "r"(REG) : "memory");
	check_equal("OR", now(), 0x1005f);
	__asm__ volatile("andl $0xffffff5a, (%0)" : : "r"(REG) : "memory");
	check_equal("AND", now(), 0x1005a);
	__asm__ volatile("xorl %1, (%0)" : : "r"(REG), "r"(0x0f) : "memory");
	check_equal("XOR", now(), 0x10055);
	__asm__ volatile("addl $1, (%0)" : : "r"(REG) : "memory");
	check_equal("ADD", now(), 0x10056);
	__asm__ volatile("subl $2, (%0)" : : "r"(REG) : "memory");
	check_equal("SUB", now(), 0x10054);
	__asm__ volatile("incl (%0)" : : "r"(REG) : "memory");
	check_equal("INC", now(), 0x10055);
	__asm__ volatile("lock orl $2, (%0)" : : "r"(REG) : "memory");
	check_equal("LOCK OR", now(), 0x10057);
	__asm__ volatile("testl $0x10000, (%1)" : "=@ccz"(zero) : "r"(REG) : "memory");
	check("TEST", !zero);
	__asm__ volatile("cmpl $0x10057, (%1)" : "=@ccz"(zero) : "r"(REG) : "memory");
	check("CMP with an immediate", zero);
	__asm__ volatile("cmpl %2, (%1)" : "=@ccc"(carry) : "r"(REG), "r"(v) : "memory");
	check("CMP with a register, its carry", carry);
	__asm__ volatile("btl $16, (%1)\nsetc %0" : "=r"(carry) : "r"((volatile u32 *)REG) : "memory");
	check("BT", carry);
	__asm__ volatile("btsl $3, (%0)" : : "r"(REG) : "memory");
	check_equal("BTS", now(), 0x1005f);
	__asm__ volatile("movl $0x100, %%eax\naddl (%1), %%eax\nmovl %%eax, %0" : "=r"(v) : "r"(REG) : "rax", "memory");
	check_equal("ADD to a register", v & 0x1ffff, 0x1015f);
	__asm__ volatile("movl $0x1005f, %%eax\nlock cmpxchgl %1, (%0)" : : "r"(REG), "r"(0x10060) : "rax", "memory");
	check_equal("CMPXCHG that succeeds", now(), 0x10060);
}

static void strings(void)
{
	static u32 buffer[4];
	const volatile u32 *from = REG;
	volatile u32 *to = REG;
	u32 *into = buffer, v;
	u64 count = 1;

	set(0x70);
	__asm__ volatile("rep movsl" : "+D"(into), "+S"(from), "+c"(count) : : "memory");
	check("REP MOVSL from the APIC", (buffer[0] & 0x1ffff) == 0x10070 && into == buffer + 1 && from == REG + 1 && !count);
	buffer[0] = 0x10071;
	into = buffer;
	__asm__ volatile("movsl" : "+D"(to), "+S"(into) : : "memory");
	check_equal("MOVSL to the APIC", now(), 0x10071);
	to = REG;
	__asm__ volatile("stosl" : "+D"(to) : "a"(0x10072) : "memory");
	check_equal("STOSL to the APIC", now(), 0x10072);
	from = REG;
	__asm__ volatile("lodsl" : "+S"(from), "=a"(v) : : "memory");
	check_equal("LODSL from the APIC", v & 0x1ffff, 0x10072);
}

/* --- narrow and wide forms, on memory that is not there ---------------------------------------------------------- */

/* What a hole reads as: ones on a PC; QEMU's own machine gives zeros. */
static u64 ones;

static void hole(const char *name, u64 pa)
{
	volatile u8 *b;
	u64 wide = 0;
	u32 v = 0;
	u8 copied[24];
	const volatile u8 *from;
	u8 *into = copied;
	u64 count = 24;

	ones = on_tcg() ? 0 : ~0ull;
	say("# %s at %llx\n", name, (unsigned long long)pa);
	map(WINDOW, pa, RIGHTS | PTE_PCD, 1);
	map(WINDOW + PAGE_SIZE, pa + PAGE_SIZE, RIGHTS | PTE_PCD, 1);
	b = (volatile u8 *)WINDOW;
	from = b;
	check("a byte reads ones", b[1] == (u8)ones);
	check("a word reads ones", *(volatile u16 *)(b + 2) == (u16)ones);
	check("a long reads ones", *(volatile u32 *)(b + 4) == (u32)ones);
	check("a quad reads ones", *(volatile u64 *)(b + 8) == ones);
	b[1] = 0;
	*(volatile u32 *)(b + 4) = 0x12345678;
	*(volatile u64 *)(b + 8) = 0;
	check("what is written is forgotten", b[1] == (u8)ones && *(volatile u32 *)(b + 4) == (u32)ones && *(volatile u64 *)(b + 8) == ones);
	__asm__ volatile("movzbl (%1), %0" : "=r"(v) : "r"(b) : "memory");
	check_equal("MOVZX of a byte", v, ones & 0xff);
	__asm__ volatile("movswl (%1), %0" : "=r"(v) : "r"(b) : "memory");
	check_equal("MOVSX of a word", v, ones & 0xffffffffu);
	__asm__ volatile("movsbq (%1), %0" : "=r"(wide) : "r"(b) : "memory");
	check_equal("MOVSX of a byte to 64 bits", wide, ones);
	__asm__ volatile("movb (%1), %%ah\nmovzbl %%ah, %0" : "=r"(v) : "r"(b) : "rax", "memory");
	check_equal("MOV to AH", v, ones & 0xff);
	wide = 0x1111111111111111ull;
	__asm__ volatile("movb (%1), %b0" : "+r"(wide) : "r"(b) : "memory");
	check_equal("MOV of a byte leaves the rest", wide, (ones & 0xff) | 0x1111111111111100ull);
	__asm__ volatile("rep movsb" : "+D"(into), "+S"(from), "+c"(count) : : "memory");
	check("REP MOVSB of 24 bytes", copied[0] == (u8)ones && copied[23] == (u8)ones && !count);
	check("a long over the page boundary", *(volatile u32 *)(b + PAGE_SIZE - 2) == (u32)ones);
	__asm__ volatile("orb $1, (%0)\nandw $0, (%0)\nincq (%0)\nnotl (%0)" : : "r"(b) : "memory");
	check("read and write back leaves ones", *(volatile u64 *)b == ones);
}

/* A long that begins in RAM and ends in a hole: both halves are what they are. */
static void half_and_half(void)
{
	u8 *page = page_alloc();
	volatile u8 *b = (volatile u8 *)WINDOW;

	fill(page, 0x22, PAGE_SIZE);
	map(WINDOW, (u64)page, RIGHTS, 1);
	map(WINDOW + PAGE_SIZE, HOLE, RIGHTS | PTE_PCD, 1);
	check_equal("a long half in RAM, half in a hole", *(volatile u32 *)(b + PAGE_SIZE - 2), (ones & 0xffff0000u) | 0x2222);
	*(volatile u32 *)(b + PAGE_SIZE - 2) = 0x44443333u;
	check("  written: RAM keeps its half", page[PAGE_SIZE - 2] == 0x33 && page[PAGE_SIZE - 1] == 0x33);
}

/* Rights of the guest's own tables hold for devices too. */
static void read_it(void *arg)
{
	__asm__ volatile(MARK "movl (%0), %%eax" : : "r"(arg) : "rax", "memory");
}
static void write_it(void *arg)
{
	__asm__ volatile(MARK "movl $0x10001, (%0)" : : "r"(arg) : "memory");
}

static void rights(void)
{
	map(WINDOW, LAPIC_ADDRESS, PTE_P | PTE_W | PTE_PCD, 1);
	expect_user("#PF by CPL 3 on a supervisor's device page", read_it, (void *)(WINDOW + APIC_ERROR), V_PF, PF_P | PF_U);
	map(WINDOW, LAPIC_ADDRESS, PTE_P | PTE_PCD, 1);
	write_cr0(read_cr0() | CR0_WP);
	set(0x42);
	expect("#PF by a write to a read-only device page", write_it, (void *)(WINDOW + APIC_ERROR), V_PF, PF_P | PF_W);
	check_equal("  which changed nothing", now(), 0x10042);
	write_cr0(read_cr0() & ~(word)CR0_WP);
	map(WINDOW, LAPIC_ADDRESS, RIGHTS | PTE_PCD, 1);
	check("CPL 3 may, where the page is its own", !guarded_user(read_it, (void *)(WINDOW + APIC_ERROR)));
	expected_ip = 0;
}

/* A device at another linear address, and a jump into one. */
static void io_apic(void)
{
	volatile u32 *at = (volatile u32 *)(word)platform()->ioapic;
	u32 v;

	if (!at) {
		skip("the I/O APIC", "no MADT");
		return;
	}
	__asm__ volatile("movl $1, (%0)" : : "r"(at) : "memory");
	__asm__ volatile("movl 16(%1), %0" : "=r"(v) : "r"(at) : "memory");
	check("the I/O APIC's version through its window", (v & 0xff) >= 0x11 && (v & 0xff) < 0x30);
	__asm__ volatile("movb $0, (%0)" : : "r"(at) : "memory");
	map(WINDOW, (u64)at & ~0xfffull, RIGHTS | PTE_PCD, 1);
	((volatile u32 *)WINDOW)[((u64)at & 0xfff) / 4] = 0x12;
	check_equal("its selector at another linear address", *at & 0xff, 0x12);
}

GUEST(mmio)
{
	lapic_enable();
	moves();
	logic();
	strings();
	hole("a hole below 4 GiB", HOLE);
	if (physical_bits() >= 40)
		hole("a hole far above", FAR_HOLE);
	half_and_half();
	rights();
	io_apic();
}
