/*
 * guest: what every bare-metal test program stands on.
 *
 * A guest is one file with GUEST(name) { ... }. It runs alone on the machine, in flat memory with the first
 * 4 GiB mapped one to one, interrupts off, the PICs masked. It says `ok NAME` or `FAIL NAME` for each check
 * and ends by a byte to the test-exit port: 0 when all held.
 *
 * The same file serves both widths: a 64-bit guest runs in long mode, a 32-bit one in protected mode without paging.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
typedef unsigned long word; /* the width the guest runs in */

#define GUEST(name)                        \
	const char guest_name[] = #name;   \
	void guest_main(void);             \
	void guest_main(void)
extern const char guest_name[];
void guest_main(void);

/* --- saying and checking ---------------------------------------------------------------------------- */

enum { PORT_EXIT = 0xf4, PORT_DEBUG = 0xe9, PORT_COM1 = 0x3f8, PORT_BOCHS = 0x8900 };

void say_init(void);
/* %s %c %d %u %x %lu %lx %llx, with a width and zero padding for the hexadecimal ones. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A byte that someone has typed, or -1. */
int typed(void);
bool check(const char *name, bool holds);
/* A check that held, with a remark behind its name. */
bool check_noted(const char *name, const char *note);
/* What TCG itself gets wrong and a hypervisor sees: on bare TCG it may fail, with a remark; elsewhere it must hold. */
bool check_but_tcg(const char *name, bool holds);
/* What the processor does by itself and TCG, which may also lie below Ringmur, gets wrong: never fails, only remarks. */
void remark(const char *name, bool holds);
bool check_equal(const char *name, u64 got, u64 want);
/* For what cannot be tested here: says why, counts as neither. */
void skip(const char *name, const char *why);
/* The last line and the status. guest_main may return instead. */
_Noreturn void finish(void);
_Noreturn void exit_with(u8 status);

/* --- selectors, as start.S's table has them --------------------------------------------------------- */

enum {
	SEL_CODE = 0x08,   SEL_DATA = 0x10,   SEL_CODE32 = 0x18,  SEL_USER32 = 0x23,
	SEL_UDATA = 0x2b,  SEL_UCODE = 0x33,  SEL_TSS = 0x38,     SEL_CODE16 = 0x48,
	SEL_DATA16 = 0x50, SEL_ABSENT = 0x58, SEL_ABSENT_CODE = 0x60, SEL_LIMITED = 0x68, SEL_SMALL_STACK = 0x70,
	SEL_BEYOND = 0x78, /* the first one outside the table */
};
extern u64 gdt[];

/* --- traps ------------------------------------------------------------------------------------------ */

enum vector {
	V_DE, V_DB, V_NMI, V_BP, V_OF, V_BR, V_UD, V_NM, V_DF, V_CSO, V_TS, V_NP, V_SS, V_GP, V_PF,
	V_MF = 16, V_AC, V_MC, V_XM,
	V_PIC = 0x20,  /* the master's eight, then the slave's */
	V_SYSCALL = 0x81, /* a CPL 3 function's return */
	V_FREE = 0x90, /* from here on for the guests to use */
	V_SPURIOUS = 0xff,
};

struct regs {
#ifdef __x86_64__
	word r15, r14, r13, r12, r11, r10, r9, r8;
#else
	word es, ds;
#endif
	word di, si, bp, bx, dx, cx, ax;
	word vector, error;
	word ip, cs, flags, sp, ss; /* a 32-bit frame from CPL 0 has no sp and ss */
};

/* What the last exception said. */
struct trap {
	word vector, error, ip, cs, flags, sp, cr2;
	u32 count;
};
extern volatile struct trap trap;
#define NO_VECTOR ((word)-1)

/* The address at which the next exception is to be reported: MARK stands in front of the instruction. */
extern volatile word expected_ip;
#ifdef __x86_64__
#define MARK "movq $771f, expected_ip\n771: "
#define MARK_AFTER(insn) "movq $771f, expected_ip\n" insn "\n771: "
#else
#define MARK "movl $771f, expected_ip\n771: "
#define MARK_AFTER(insn) "movl $771f, expected_ip\n" insn "\n771: "
#endif

/* A handler for a vector; without one, an exception ends the function under guard, or the guest. */
typedef void handler_fn(struct regs *r);
extern handler_fn *handlers[256];

/* Runs fn(arg); true when an exception cut it short, `trap` then says which. */
bool guarded(void (*fn)(void *), void *arg);
/* The same at CPL 3, on a stack of its own; IOPL 0 and interrupts off unless flags say otherwise. */
bool guarded_user(void (*fn)(void *), void *arg);
bool guarded_user_at(word selector, word ip, word sp, word flags);
/* Ends the guarded function from within a handler. */
void unwind(struct regs *r);

#define NO_ERROR 0
/* Runs fn and wants this exception, its error code, and RIP at MARK if the function has one. */
bool expect(const char *name, void (*fn)(void *), void *arg, word vector, word error);
bool expect_user(const char *name, void (*fn)(void *), void *arg, word vector, word error);
bool expect_none(const char *name, void (*fn)(void *), void *arg);
bool trap_was(const char *name, bool trapped, word vector, word error);

/*
 * Says that QEMU's TCG is known to err in the next expectation, and how: this other exception (NO_VECTOR: none), at
 * whatever RIP, is then taken too, and the line says `(as TCG)`.
 */
void tolerate(word vector, word error);

void idt_set(unsigned vector, word entry, unsigned dpl, unsigned type, unsigned ist);
void idt_absent(unsigned vector); /* a gate that is not present */
enum { GATE_INTERRUPT = 14, GATE_TRAP = 15 };
enum { IST_NONE, IST_DF, IST_NMI, IST_SPARE };
struct table_pointer {
	u16 limit;
	word base;
} __attribute__((packed));
extern struct table_pointer idt_pointer;
extern struct table_pointer gdt_pointer;
extern word stub_table[256];
void traps_init(void);
void traps_load(void); /* this processor's IDTR */
word ring0_stack_top(void);

/* --- instructions ----------------------------------------------------------------------------------- */

static inline void outb(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory"); }
static inline void outw(u16 port, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory"); }
static inline void outl(u16 port, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory"); }
static inline u8 inb(u16 port)
{
	u8 v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}
static inline u16 inw(u16 port)
{
	u16 v;
	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}
static inline u32 inl(u16 port)
{
	u32 v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

struct leaf {
	u32 a, b, c, d;
};
static inline struct leaf cpuid(u32 leaf, u32 sub)
{
	struct leaf r;
	__asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub) : "memory");
	return r;
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;
	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" : : "a"((u32)v), "d"((u32)(v >> 32)), "c"(msr) : "memory");
}
static inline u64 rdtsc(void)
{
	u32 lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (u64)hi << 32 | lo;
}
/* False when the access gave #GP(0). */
bool rdmsr_safe(u32 msr, u64 *v);
bool wrmsr_safe(u32 msr, u64 v);

#define REGISTER_ACCESS(reg)                                                                    \
	static inline word read_##reg(void)                                                     \
	{                                                                                       \
		word v;                                                                         \
		__asm__ volatile("mov %%" #reg ", %0" : "=r"(v) : : "memory");                  \
		return v;                                                                       \
	}                                                                                       \
	static inline void write_##reg(word v) { __asm__ volatile("mov %0, %%" #reg : : "r"(v) : "memory"); }
REGISTER_ACCESS(cr0)
REGISTER_ACCESS(cr2)
REGISTER_ACCESS(cr3)
REGISTER_ACCESS(cr4)
REGISTER_ACCESS(dr0)
REGISTER_ACCESS(dr1)
REGISTER_ACCESS(dr2)
REGISTER_ACCESS(dr3)
REGISTER_ACCESS(dr6)
REGISTER_ACCESS(dr7)
#ifdef __x86_64__
REGISTER_ACCESS(cr8)
#endif

static inline word read_flags(void)
{
	word v;
	__asm__ volatile("pushf; pop %0" : "=r"(v) : : "memory");
	return v;
}
static inline void irqs_on(void) { __asm__ volatile("sti; nop" : : : "memory"); }
static inline void irqs_off(void) { __asm__ volatile("cli" : : : "memory"); }
/* One halt with interrupts on: returns after the interrupt that ended it. */
static inline void wait_irq(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }
static inline void relax(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void invlpg(const volatile void *p) { __asm__ volatile("invlpg (%0)" : : "r"(p) : "memory"); }
static inline void reload_cr3(void) { write_cr3(read_cr3()); }

enum {
	CR0_PE = 1 << 0, CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_TS = 1 << 3, CR0_ET = 1 << 4, CR0_NE = 1 << 5,
	CR0_WP = 1 << 16, CR0_AM = 1 << 18, CR0_NW = 1 << 29, CR0_CD = 1 << 30,
	CR4_TSD = 1 << 2, CR4_DE = 1 << 3, CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_PGE = 1 << 7, CR4_OSFXSR = 1 << 9,
	CR4_OSXMMEXCPT = 1 << 10, CR4_UMIP = 1 << 11, CR4_LA57 = 1 << 12, CR4_FSGSBASE = 1 << 16, CR4_OSXSAVE = 1 << 18,
	CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21,
	FLAG_CF = 1 << 0, FLAG_FIXED = 1 << 1, FLAG_ZF = 1 << 6, FLAG_TF = 1 << 8, FLAG_IF = 1 << 9, FLAG_DF = 1 << 10,
	FLAG_NT = 1 << 14, FLAG_RF = 1 << 16, FLAG_AC = 1 << 18, FLAG_ID = 1 << 21,
	FLAG_IOPL3 = 3 << 12,
};
#define CR0_PG 0x80000000u

enum {
	MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_TSC_ADJUST = 0x3b, MSR_MTRRCAP = 0xfe, MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176, MSR_PAT = 0x277, MSR_MTRR_DEFAULT = 0x2ff, MSR_TSC_DEADLINE = 0x6e0,
};
#define MSR_EFER          0xc0000080u
#define MSR_STAR          0xc0000081u
#define MSR_LSTAR         0xc0000082u
#define MSR_CSTAR         0xc0000083u
#define MSR_SFMASK        0xc0000084u
#define MSR_FS_BASE       0xc0000100u
#define MSR_GS_BASE       0xc0000101u
#define MSR_KERNEL_GS     0xc0000102u
#define MSR_TSC_AUX       0xc0000103u
#define EFER_SCE 0x1u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define EFER_NXE 0x800u

/* --- what CPUID says -------------------------------------------------------------------------------- */

/* A feature is (leaf, register, bit); leaves beyond the maximum have nothing. */
enum cpuid_register { IN_A, IN_B, IN_C, IN_D };
bool feature(u32 leaf, enum cpuid_register reg, unsigned bit);
#define HAS_FXSR       feature(1, IN_D, 24)
#define HAS_SSE2       feature(1, IN_D, 26)
#define HAS_X2APIC     feature(1, IN_C, 21)
#define HAS_DEADLINE   feature(1, IN_C, 24)
#define HAS_XSAVE      feature(1, IN_C, 26)
#define HAS_AVX        feature(1, IN_C, 28)
#define HAS_HYPERVISOR feature(1, IN_C, 31)
#define HAS_FSGSBASE   feature(7, IN_B, 0)
#define HAS_SMEP       feature(7, IN_B, 7)
#define HAS_SMAP       feature(7, IN_B, 20)
#define HAS_UMIP       feature(7, IN_C, 2)
#define HAS_NX         feature(0x80000001u, IN_D, 20)
#define HAS_GIB_PAGES  feature(0x80000001u, IN_D, 26)
#define HAS_RDTSCP     feature(0x80000001u, IN_D, 27)
#define HAS_SVM        feature(0x80000001u, IN_C, 2)
unsigned physical_bits(void);
/* True on QEMU's TCG itself, by its hypervisor leaf: there SVM is not hidden, and some checks are tolerant. */
bool on_tcg(void);

/* --- time and the old interrupt controllers ----------------------------------------------------------- */

enum { PIT_HZ = 1193182 };
void pic_init(void);               /* vectors from V_PIC, everything masked */
void pic_mask(u16 mask);           /* a set bit keeps that line off */
void pic_eoi(unsigned irq);
void pit_set(unsigned mode, u16 count); /* channel 0 */
u64 tsc_per_ms(void);              /* measured once, against channel 2 of the PIT */
void delay_us(u32 us);
/* Waits with interrupts as they are until *what differs from `is`; false after `ms`. */
bool wait_change(const volatile u32 *what, u32 is, u32 ms);
/* The same with interrupts on, halted or spinning. */
bool wait_count(const volatile u32 *what, u32 atleast, u32 ms);
/* Waits for other processors, seconds of its own time: while this one does not run, because its machine is paused, no patience is used up. */
bool reaches(const volatile u32 *what, u32 n);

/* --- the local APIC, in either mode ------------------------------------------------------------------- */

enum {
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_PPR = 0xa0, APIC_EOI = 0xb0, APIC_LDR = 0xd0, APIC_DFR = 0xe0,
	APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180, APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310,
	APIC_TIMER = 0x320, APIC_LINT0 = 0x350, APIC_LINT1 = 0x360, APIC_ERROR = 0x370, APIC_TIMER_COUNT = 0x380,
	APIC_TIMER_NOW = 0x390, APIC_DIVIDE = 0x3e0,
	SVR_ENABLE = 0x100,
	LVT_MASKED = 1 << 16, LVT_PERIODIC = 1 << 17, LVT_DEADLINE = 1 << 18, LVT_EXTINT = 7 << 8,
	ICR_NMI = 4 << 8, ICR_INIT = 5 << 8, ICR_STARTUP = 6 << 8, ICR_LEVEL = 1 << 14, ICR_PENDING = 1 << 12,
	ICR_SELF = 1 << 18, ICR_ALL = 2 << 18, ICR_OTHERS = 3 << 18,
	APIC_BASE_BSP = 1 << 8, APIC_BASE_X2 = 1 << 10, APIC_BASE_ENABLE = 1 << 11,
};
#define LAPIC_ADDRESS 0xfee00000u
u32 lapic_read(u32 reg);
void lapic_write(u32 reg, u32 v);
void lapic_icr(u32 destination, u32 command); /* waits until it is sent */
void lapic_eoi(void);
void lapic_enable(void);                      /* software enable, spurious vector V_SPURIOUS */
bool lapic_x2(void);
u32 lapic_id(void);                           /* this processor's */
/* The vector's bit in ISR, TMR or IRR. */
bool lapic_bit(u32 bank, unsigned vector);
/* A handler of interrupts by whatever processor: counts them, and says EOI. */
void take_ipi(struct regs *r);
extern volatile u32 ipis_taken;

#ifdef __x86_64__
/*
 * Starts the processor `id` by INIT and SIPI: `function` runs there in long mode, interrupts off, on a stack of its own (8 KiB), and
 * says so by counting *started up. false: it did not.
 */
enum { AP_PAGE = 8 }; /* where its first instructions lie: the vector of the SIPI */
bool ap_start(u32 id, void (*function)(void), const volatile u32 *started);
/*
 * Runs `function` on every processor, interrupts off, vectors and local APICs ready; first `before`, here alone, with how many there are.
 */
void on_every_processor(void (*function)(void), void (*before)(unsigned processors));
#endif

/* --- memory ------------------------------------------------------------------------------------------- */

enum {
	PTE_P = 1 << 0, PTE_W = 1 << 1, PTE_U = 1 << 2, PTE_PWT = 1 << 3, PTE_PCD = 1 << 4, PTE_A = 1 << 5, PTE_D = 1 << 6,
	PTE_PS = 1 << 7, PTE_G = 1 << 8,
	PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16,
	PAGE_SIZE = 4096,
};
#define PTE_NX (1ull << 63)
#define PTE_FRAME 0x000ffffffffff000ull
#define MIB (1024ull * 1024)
#define GIB (1024 * MIB)

void *page_alloc(void); /* a zeroed page of the guest's own; they are never given back */
void fill(void *to, u8 with, size_t n);
void copy(void *to, const void *from, size_t n);
bool same(const void *a, const void *b, size_t n);
size_t length(const char *s);
bool same_text(const char *a, const char *b);
bool ends_with(const char *s, const char *tail);

#ifdef __x86_64__
/* The entry that maps `va` at a level (1: 4 KiB, 2: 2 MiB, 3: 1 GiB, 4), making tables on the way (P, W, U). */
u64 *pte_at(u64 root, u64 va, unsigned level);
void map(u64 va, u64 pa, u64 flags, unsigned level); /* in the present tables, INVLPG included */
/* A mapping of any physical memory, one to one, in 2 MiB pages. */
void map_identity(u64 from, u64 to);
/* The first 4 GiB, the image in them, lose U or have it again. */
void protect_image(bool on);
#endif

/* --- what the loader said ------------------------------------------------------------------------------ */

struct range {
	u64 base, size;
	u32 type;
};
enum { RANGE_RAM = 1, RANGES_MAX = 64, MODULES_MAX = 8 };
struct module {
	const u8 *data;
	u32 size;
	const char *text;
};
struct boot {
	bool multiboot, pvh;
	const char *cmdline;
	unsigned ranges, modules;
	struct range range[RANGES_MAX];
	struct module module[MODULES_MAX];
	u64 rsdp; /* PVH only */
};
extern struct boot boot;
void boot_read(void);
/* One of several things that a guest can do, by its name at the end of the command line; the first, if none is named. */
struct way {
	const char *name;
	void (*fn)(void);
};
void take_way(const struct way *ways, unsigned n);
extern char image_start[], image_end[];

/* --- ACPI ---------------------------------------------------------------------------------------------- */

struct acpi_header {
	char signature[4];
	u32 length;
	u8 revision, checksum;
	char oem[6], oem_table[8];
	u32 oem_revision, creator, creator_revision;
} __attribute__((packed));
/* NULL where there is none, or its checksum is wrong. */
const struct acpi_header *acpi_find(const char *signature);
bool acpi_power_off(void); /* S5; returns false when the tables do not say how */
struct platform {
	u32 lapic, ioapic, ioapic_gsi;
	unsigned processors;
	u32 apic_id[64];
	u32 gsi_of_irq[16]; /* overrides applied */
	u16 irq_flags[16];
	bool has_madt, has_pic;
};
const struct platform *platform(void);

#endif
