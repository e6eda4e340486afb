/*
 * hostile: a device model that attacks. It says `ready`, reads a line at its machine's console, and does that when the power button is pressed:
 *
 *   read A  write A  jump A     one access
 *   code HEX                    executes these bytes, in a page that it has written itself
 *   bytes SEED                  random bytes, until something ends it
 *   call STATE N A B C D        a call of ring 0 by number. STATE: 0 nothing runs yet; 1 it holds an exit for port I/O; 2 one to emulate; 3 as 1, and
 *                               the exit has been answered already
 *   random SEED N               N calls with arguments that are mostly legal, the machine running beside them
 *   exits N                     answers N exits
 *   loop  storm                 computes, asks for nothing, for ever
 *   timers N                    takes N events of its timer, which has always come already
 *   mark  spy                   leaves something in its heap and in registers that ring 0 does not use; says what is there
 *
 * Numbers are hexadecimal. What it survives ends with a power-off.
 */
#include "monitor/lib/bits.h"
#include "tests/monitors/real_mode.h"

int main(void);

enum { LINE = 256, WORDS = 8, BYTES = 64, TRIES = 1000, PAGES = 16, MARK_SELECTOR = 0x23, XMMS = 16, RETURN = 0xc3, ICEBP = 0xf1 };
#define KEY 0x6d6f6e69746f7200ull
enum state { FRESH, HOLDS_IO, HOLDS_EMULATE, ANSWERED };

/* Its data may be executed: the Makefile links the monitors of tests so. */
static u8 page[BYTES + 1];
static char line[LINE];
static const char *words[WORDS];
static u64 number[WORDS];

/* mov dx, 0x80;  1: in al, dx;  insb or nop;  jmp 1b: in real mode, where zeros are harmless instructions too */
static const u8 port_io[] = { 0xba, 0x80, 0x00, 0xec, 0x90, 0xeb, 0xfc }, string_io[] = { 0xba, 0x80, 0x00, 0xec, 0x6c, 0xeb, 0xfc };

static u64 call(u64 n, u64 a, u64 b, u64 c, u64 d)
{
	register u64 r10 __asm__("r10") = d;

	__asm__ volatile("syscall" : "+a"(n) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return n;
}

/* ---- words ---- */

static void say(const char *text)
{
	u32 n = 0;

	for (; text[n]; n++)
		ring0_comm()->buffer[n] = (u8)text[n];
	ring0_console_write(n);
}

static void say_number(const char *name, u64 value)
{
	char text[] = "                : ................\n";
	u32 at = sizeof text - 3;

	for (u32 i = 0; name[i]; i++)
		text[i] = name[i];
	for (u32 i = 0; i < 16; i++, value >>= 4)
		text[at - i] = "0123456789abcdef"[value & 15];
	say(text);
}

static u32 digit(char c)
{
	return c >= 'a' ? (u32)(c - 'a' + 10) : (u32)(c - '0');
}

static u64 hex(const char *text)
{
	u64 value = 0;

	for (; *text; text++)
		value = value << 4 | digit(*text);
	return value;
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void split(void)
{
	u32 n = 0;

	for (char *at = line; *at && n < WORDS; n++) {
		words[n] = at;
		while (*at && *at != ' ')
			at++;
		if (*at)
			*at++ = 0;
		number[n] = hex(words[n]);
	}
}

/* Until the line's end; other entries are passed over. */
static void read_line(void)
{
	const struct mon_entry *e = &ring0_comm()->entry;
	u32 n = 0;

	for (;;) {
		if (ring0_next() != MON_ENTRY_CONSOLE)
			continue;
		for (u32 i = 0; i < e->console.count; i++) {
			if (e->console.bytes[i] == '\r' || e->console.bytes[i] == '\n')
				return;
			if (n < LINE - 1)
				line[n++] = (char)e->console.bytes[i];
		}
	}
}

/* ---- its machine ---- */

static void wait_for(u32 kind)
{
	u32 got;

	while ((got = ring0_next()) != kind)
		if (got == MON_ENTRY_IO)
			ring0_reply(0, 0);
}

static void bring_to(enum state state)
{
	if (state == FRESH)
		return;
	start_real_mode(state == HOLDS_EMULATE ? string_io : port_io, sizeof port_io);
	wait_for(state == HOLDS_EMULATE ? MON_ENTRY_EMULATE : MON_ENTRY_IO);
	if (state == ANSWERED)
		ring0_reply(0, 0);
}

/* ---- one thing each ---- */

static void do_read(void) { (void)*(volatile u8 *)number[1]; }
static void do_write(void) { *(volatile u8 *)number[1] = 1; }
static void do_jump(void) { ((void (*)(void))number[1])(); }
static void do_call(void) { bring_to((enum state)number[1]); call(number[2], number[3], number[4], number[5], number[6]); }

static void execute(void)
{
	__asm__ volatile("" : : : "memory");
	((void (*)(void))(u64)page)();
}

static void do_code(void)
{
	u32 n = 0;

	for (const char *at = words[1]; at[0] && at[1] && n < BYTES; at += 2)
		page[n++] = (u8)(digit(at[0]) << 4 | digit(at[1]));
	page[n] = RETURN;
	execute();
}

static void do_loop(void)
{
	for (volatile u32 i = 0;; i++)
		;
}

static void do_storm(void)
{
	for (;;)
		ring0_set_timer(1);
}

static void do_timers(void)
{
	for (u64 i = 0; i < number[1]; i++) {
		ring0_set_timer(1);
		wait_for(MON_ENTRY_TIMER);
	}
}

static void do_exits(void)
{
	bring_to(HOLDS_IO);
	for (u64 i = 0; i < number[1]; i++) {
		ring0_reply(0, i);
		wait_for(MON_ENTRY_IO);
	}
}

/* ---- what is left in registers ---- */

static void stay(void)
{
	for (;;)
		ring0_next();
}

static void do_mark(void)
{
	static const u8 keys[16] = { 0xfe, 0xed, 0xfa, 0xce, 0xfe, 0xed, 0xfa, 0xce, 0xfe, 0xed, 0xfa, 0xce, 0xfe, 0xed, 0xfa, 0xce };

	__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" : : "r"(MARK_SELECTOR) : "memory");
	__asm__ volatile(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n movups (%0), %%xmm\\n\n .endr\n fldpi" : : "r"(keys) : "memory");
	for (u64 i = 0; i < MON_HEAP_SIZE; i += sizeof i)
		*(volatile u64 *)(ring0_heap() + i) = KEY + i;
	say("marked\n");
	stay();
}

static void do_spy(void)
{
	static u64 xmm[XMMS][2];
	static u8 fx[512] __attribute__((aligned(16)));
	u32 ds, es, fs, gs, low, high, aux;
	u64 any = 0;

	__asm__ volatile("mov %%ds, %0; mov %%es, %1; mov %%fs, %2; mov %%gs, %3" : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
	__asm__ volatile("i = 0\n .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n movups %%xmm\\n, 16*\\n(%0)\n .endr\n fxsave64 (%1)"
			 : : "r"(xmm), "r"(fx) : "memory");
	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
	for (u32 i = 0; i < XMMS; i++)
		any |= xmm[i][0] | xmm[i][1];
	say_number("selectors", ds | (u64)es << 16 | (u64)fs << 32 | (u64)gs << 48);
	say_number("xmm", any);
	say_number("x87", fx[4]);
	say_number("tsc_aux", aux);
	any = 0;
	for (u64 i = 0; i < MON_HEAP_SIZE; i += sizeof i)
		any |= *(volatile u64 *)(ring0_heap() + i);
	say_number("heap", any);
	say("spied\n");
	stay();
}

/* ---- dice ---- */

static u64 seed;

static u64 dice(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dull;
}

/* 0, 1, where widths end; places that mean something; anything. */
static u64 odd_value(void)
{
	static const u64 edges[] = { 0, 1, 255, 256, 4095, 4096, 1ull << 31, 1ull << 32, 1ull << 47, 1ull << 52, 1ull << 63, ~0ull,
				     MON_LAPIC, MON_IOAPIC, MON_PCI_HOLE, MON_PCI_HOLE_END, MON_WINDOW_SIZE, 0xfffffe8001000000ull };
	u64 d = dice();

	if (d & 1)
		return edges[(d >> 8) % (sizeof edges / sizeof edges[0])];
	return dice() >> (d >> 8) % 64;
}

static void do_bytes(void)
{
	seed = number[1] | 1;
	for (u32 tries = 0; tries < TRIES; tries++) {
		for (u32 i = 0; i < BYTES; i++) {
			page[i] = (u8)dice();
			if (page[i] == ICEBP) /* QEMU waits for a debugger there */
				page[i] = 0;
		}
		page[BYTES] = RETURN;
		execute();
	}
}

static u32 held; /* the kind of exit that waits for an answer */

static void look(void)
{
	u32 kind;

	if (held)
		return;
	ring0_set_timer(ring0_tsc() + dice() % 100000);
	kind = ring0_next();
	held = kind == MON_ENTRY_IO || kind == MON_ENTRY_MMIO || kind == MON_ENTRY_EMULATE ? kind : 0;
}

static void answer_emulation(void)
{
	struct mon_vcpu *v = &ring0_comm()->vcpu;
	u64 vector = dice() % 32;

	if (dice() & 1) {
		call(MON_GET_VCPU, 0, 0, 0, 0);
		v->rip += dice() % 16;
		v->gpr[dice() % MON_GPRS] = odd_value();
		call(MON_EMULATED, 0, 0, 0, 0);
	} else if (dice() & 1) {
		call(MON_EMULATE_RETRY, 0, 0, 0, 0);
	} else {
		call(MON_EMULATE_FAULT, 0, vector == 2 ? 13 : vector, odd_value(), odd_value());
	}
}

static void answer(void)
{
	if (held == MON_ENTRY_EMULATE)
		answer_emulation();
	else if (held)
		call(MON_REPLY, 0, odd_value(), odd_value(), odd_value());
	held = 0;
}

/* A state that ring 0 takes, and a processor perhaps. */
static void change_state(void)
{
	struct mon_vcpu *v = &ring0_comm()->vcpu;
	struct mon_segment *segments = &v->es;

	if (!held)
		return;
	call(MON_GET_VCPU, 0, 0, 0, 0);
	v->gpr[dice() % MON_GPRS] = odd_value();
	switch (dice() % 16) {
	case 0: v->rflags = odd_value(); break;
	case 1: v->cr3 = odd_value(); break;
	case 2: segments[dice() % 10].base = odd_value(); break;
	case 3: segments[dice() % 10].limit = (u32)odd_value(); break;
	case 4: v->cr2 = odd_value(); break;
	case 5: v->interrupt_shadow = (u32)odd_value(); break;
	default: break;
	}
	call(MON_SET_VCPU, 0, 0, 0, 0);
}

static void touch(void)
{
	static u8 *const places[] = { (u8 *)MON_WINDOW, (u8 *)MON_HEAP };
	volatile u8 *at = places[dice() & 1] + dice() % PAGES * PAGE_SIZE + dice() % PAGE_SIZE;

	if ((u64)at - MON_WINDOW - CODE >= sizeof port_io)
		*at = (u8)dice();
}

static void ask_memory(void)
{
	if (held == MON_ENTRY_EMULATE)
		call(dice() & 1 ? MON_GVA_READ : MON_GVA_WRITE, 0, odd_value(), 1 + dice() % 256, odd_value());
}

static void ask_lapic(void)
{
	u64 address = dice() & 1 ? MON_LAPIC + dice() % PAGE_SIZE : odd_value();

	if (held == MON_ENTRY_EMULATE)
		call(dice() & 1 ? MON_LAPIC_READ : MON_LAPIC_WRITE, 0, address, dice() % 10, odd_value());
}

static void ask_message(void) { call(MON_SEND_MSI, dice() & 1 ? MON_LAPIC : odd_value(), dice() % 64 ? dice() % 256 : odd_value(), odd_value(), 0); }
static void ask_line(void) { call(MON_PIC_LINE, odd_value(), odd_value(), 0, 0); }
static void ask_timer(void) { call(MON_SET_TIMER, odd_value(), 0, 0, 0); }
static void ask_log(void) { call(MON_LOG, odd_value(), 0, 0, 0); }
static void ask_console(void) { say("x\n"); }
static void ask_again(void) { call(MON_MODULES_DONE, odd_value(), 0, 0, 0); }
static void ask_mark(void) { call(MON_MARK, odd_value(), 0, 0, 0); }

static void run_again(void)
{
	if (held)
		call(MON_RUN, 0, odd_value(), 0, 0);
}

static void do_random(void)
{
	static void (*const ways[])(void) = { look, look, look, answer, answer, answer, change_state, touch, ask_memory, ask_memory, ask_lapic, ask_lapic,
					      ask_message, ask_line, ask_timer, ask_log, ask_console, ask_again, ask_mark, run_again };

	seed = number[1] | 1;
	bring_to(HOLDS_EMULATE);
	held = MON_ENTRY_EMULATE;
	for (u64 i = 0; i < number[2]; i++)
		ways[dice() % (sizeof ways / sizeof ways[0])]();
}

static const struct { const char *word; void (*act)(void); } acts[] = {
	{ "read", do_read }, { "write", do_write }, { "jump", do_jump }, { "code", do_code }, { "bytes", do_bytes }, { "call", do_call },
	{ "random", do_random }, { "exits", do_exits }, { "loop", do_loop }, { "storm", do_storm }, { "timers", do_timers }, { "mark", do_mark }, { "spy", do_spy },
};

int main(void)
{
	ring0_next();
	ring0_modules_done();
	say("ready\n");
	read_line();
	split();
	wait_for(MON_ENTRY_POWER_BUTTON);
	for (u32 i = 0; i < sizeof acts / sizeof acts[0]; i++)
		if (same(words[0], acts[i].word)) {
			acts[i].act();
			ring0_end(MON_END_POWER_OFF, 0);
		}
	ring0_end(MON_END_FAILED, 0);
	return 0;
}
