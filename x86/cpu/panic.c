/*
 * panic: one processor speaks, the others stop by NMI.
 *
 *   panic: SENTENCE          first, whatever happens afterwards
 *   registers, backtrace     by frame pointers; each read may fault, and then the trace ends
 *
 * A panic inside a panic says one more line and stops. Another processor's panic waits for the NMI.
 */
#include "x86/cpu/panic.h"

#include "core/check.h"
#include "x86/asm/access.h"
#include "x86/asm/insn.h"
#include "x86/boot/options.h"
#include "x86/cpu/power.h"
#include "x86/cpu/format.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"
#include "x86/cpu/stacks.h"
#include "x86/irq/irq.h"

#define SENTENCE_BYTES 400u
#define FRAMES_MOST 32u
#define NOBODY (~0u)

static u32 speaker = NOBODY; /* the processor that panics */
static bool speaking_ended;

bool panic_is_on(void) { return __atomic_load_n(&speaker, __ATOMIC_ACQUIRE) != NOBODY; }

static _Noreturn void stop(void)
{
	for (;;) {
		cli();
		hlt();
	}
}

/* Returns once, on the first processor; whoever panics after it stops here. */
static void begin(const char *sentence)
{
	u32 nobody = NOBODY, id = this_cpu()->id;
	if (__atomic_compare_exchange_n(&speaker, &nobody, id, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		screen.later = false;
		log_line("panic: %s", sentence);
		ipi_nmi_others();
		return;
	}
	if (nobody == id && !speaking_ended) {
		speaking_ended = true;
		log_line("panic: again, while panicking: %s", sentence);
		if (options.panic == PANIC_EXIT)
			power_off();
	}
	stop();
}

static _Noreturn void end(void)
{
	speaking_ended = true;
	if (options.panic == PANIC_EXIT)
		power_off();
	log_line("panic: stopped");
	stop();
}

/* ---- names ---- */

struct symbol { u32 offset, name; }; /* from image_start and from symbol_names; sorted. Made by tools/symbols */
extern const struct symbol symbols_start[], symbols_end[];
extern const char symbol_names[];
extern const u8 image_start[], text_end[];

/* The name of the function that an address lies in, and how far; NULL: none. */
static const char *symbol_of(u64 address, u64 *offset)
{
	u64 low = 0, high = ((u64)symbols_end - (u64)symbols_start) / sizeof(struct symbol);
	if (address < (u64)image_start || address >= (u64)text_end || !high)
		return NULL;
	u64 at = address - (u64)image_start;
	if (at < symbols_start[0].offset)
		return NULL;
	while (high - low > 1) {
		u64 middle = (low + high) / 2;
		if (symbols_start[middle].offset <= at)
			low = middle;
		else
			high = middle;
	}
	*offset = at - symbols_start[low].offset;
	return symbol_names + symbols_start[low].name;
}

static void log_place(const char *what, u64 address)
{
	u64 offset = 0;
	const char *name = symbol_of(address, &offset);
	if (name)
		log_line("  %s %016lx %s+0x%lx", what, address, name, offset);
	else
		log_line("  %s %016lx", what, address);
}

static void backtrace(u64 rip, u64 rbp)
{
	u64 next, address;
	log_place("at  ", rip);
	for (u32 i = 0; i < FRAMES_MOST && rbp && !(rbp & 7); i++) {
		const u64 *frame = (const u64 *)rbp;
		if (!load64_or_fault(frame, &next) || !load64_or_fault(frame + 1, &address) || !address)
			break;
		log_place("from", address);
		if (next <= rbp) /* a stack grows down: anything else is no chain, or another stack's */
			break;
		rbp = next;
	}
}

/* ---- the two ways in ---- */

static void log_control_registers(void)
{
	log_line("  cr0 %016lx cr2 %016lx cr3 %016lx cr4 %016lx", read_cr0(), read_cr2(), read_cr3(), read_cr4());
	log_line("  efer %lx gs %016lx processor %u of %u", rdmsr(MSR_EFER), rdmsr(MSR_GS_BASE), this_cpu()->id, cpu_total);
}

_Noreturn void panic(const char *format, ...)
{
	char sentence[SENTENCE_BYTES];
	va_list arguments;
	va_start(arguments, format);
	format_arguments(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	begin(sentence);
	const u64 *frame = __builtin_frame_address(0);
	log_line("  rsp %016lx rflags %lx", (u64)frame, read_rflags());
	log_control_registers();
	backtrace(frame[1], frame[0]); /* from our caller on */
	end();
}

static const char *const exception_names[VECTOR_EXCEPTIONS] = {
	"divide error", "debug", "NMI", "breakpoint", "overflow", "bound", "invalid opcode", "no coprocessor", "double fault", NULL,
	"invalid TSS", "segment not present", "stack fault", "general protection", "page fault", NULL, "x87 error", "alignment check",
	"machine check", "SIMD error",
};

static void log_registers(const struct trap_frame *f)
{
	log_line("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	log_line("  rsi %016lx rdi %016lx rbp %016lx rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
	log_line("  r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
	log_line("  r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
	log_line("  rip %016lx rflags %lx cs %lx ss %lx", f->rip, f->rflags, f->cs, f->ss);
}

_Noreturn void panic_trap(const struct trap_frame *frame)
{
	char sentence[SENTENCE_BYTES];
	const char *name = frame->vector < VECTOR_EXCEPTIONS ? exception_names[frame->vector] : NULL;
	u64 address = read_cr2();
	int used = format_text(sentence, sizeof(sentence), "%s (vector %lu, error code 0x%lx)", name ? name : "exception", frame->vector,
			       frame->error);
	if (frame->vector == VECTOR_PF || frame->vector == VECTOR_DF)
		format_text(sentence + used, sizeof(sentence) - (size_t)used, " at address 0x%lx%s", address,
			    stack_is_guard(address & ~PAGE_MASK) ? ", beneath a stack" : "");
	begin(sentence);
	log_registers(frame);
	log_control_registers();
	backtrace(frame->rip, frame->rbp);
	end();
}

/* Without a panic nobody sends one: it is a stray of the board, and a log line here could wait for a lock that this processor holds. */
void panic_nmi(void)
{
	if (panic_is_on())
		stop();
}

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	panic("%s:%d: this must hold: %s", file, line, what);
}
