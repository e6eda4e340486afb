/*
 * console: which console is in the foreground; it alone writes to the line and gets what is typed.
 *
 *   typed    serial -> operator_input -> ring -> the operator's turn -> Ctrl-], the foreground VM, or the line
 *   written  a VM   -> operator_output, in its space -> its scroll-back; to the line if it is in the foreground
 *   replay   console_show -> vm->replay -> operator_replay, in a turn of its monitor: only there its scroll-back is mapped
 *
 * `lock` holds the foreground and a piece on its way to the line together: after a switch nothing of the former console follows.
 */
#include "hv/operator/console.h"

#include <stdarg.h>

#include "core/bits.h"
#include "core/lock.h"
#include "hv/operator/line.h"
#include "hv/operator/scroll.h"
#include "x86/cpu/format.h"
#include "x86/cpu/log.h"

#define SWITCH_KEY 0x1d /* Ctrl-] */
#define ESCAPE 0x1b
#define REPLAY_LINES 24u
#define REPLAY_BYTES 1920u /* that many lines of 80 characters */
#define NOTE_BYTES 192u
#define PROMPT "ringmur> "

static_assert(SCROLL_PAGES == CONSOLE_PAGES, "the place that it has in the VM's private part");

struct entity operator_entity;

static struct share share;
static struct lock lock;
static struct vm *foreground; /* NULL: the operator */
static u32 foreground_paused; /* as was told on its console */
static struct line line;
static enum work (*work)(void);

/* What came and has not been looked at: typed bytes, and notes. Both sides take the lock. */
static struct inbox { struct lock lock; struct scroll bytes; u64 taken; } typed, notes;

static void put(struct inbox *b, const void *bytes, u32 count)
{
	lock_take(&b->lock);
	scroll_add(&b->bytes, bytes, count);
	lock_give(&b->lock);
	sched_wake(&operator_entity);
}

static u32 take(struct inbox *b, void *to, u32 room)
{
	lock_take(&b->lock);
	u32 count = scroll_read(&b->bytes, &b->taken, to, room);
	lock_give(&b->lock);
	return count;
}

/* ---- out ---- */

static void write_line(void *context, const char *text, u32 length)
{
	(void)context;
	console_write(text, length);
	interrupts_take();
}

const struct say console = { .write = write_line };

/* A piece to the line, as long as the VM is in the foreground and has nothing older to show first. */
static void write_of(const struct vm *vm, const u8 *bytes, u32 count)
{
	lock_take(&lock);
	if (!operator_present || (foreground == vm && !vm->replay))
		console_write(bytes, count);
	lock_give(&lock);
	interrupts_take();
}

void operator_output(struct vm *vm, const u8 *bytes, u32 count)
{
	for (u32 piece; count; bytes += piece, count -= piece) {
		piece = (u32)min_u64(count, SAY_PIECE);
		if (operator_present)
			scroll_add((struct scroll *)vm->scrollback, bytes, piece);
		write_of(vm, bytes, piece);
	}
}

/* Drops the terminal's escape sequences: one that was a question (ESC [ 6 n) must not be asked again. `in`: the last byte of its beginning. */
static u32 without_sequences(u8 *bytes, u32 count, u8 *in)
{
	u32 kept = 0;
	for (u32 i = 0; i < count; i++) {
		bool begins = bytes[i] == ESCAPE || (*in == ESCAPE && bytes[i] == '[');
		bool ends = !begins && (*in == ESCAPE || bytes[i] >= '@');
		if (!begins && !*in)
			bytes[kept++] = bytes[i];
		*in = begins ? bytes[i] : ends ? 0 : *in;
	}
	return kept;
}

void operator_replay(struct vm *vm)
{
	const struct scroll *s = (const struct scroll *)vm->scrollback;
	u8 bytes[SAY_PIECE], in = 0;
	lock_take(&lock);
	vm->replay = false;
	lock_give(&lock);
	u64 at = scroll_last(s, REPLAY_LINES, REPLAY_BYTES);
	for (u32 count; (count = scroll_read(s, &at, bytes, sizeof bytes)) != 0;)
		write_of(vm, bytes, without_sequences(bytes, count, &in));
}

/* ---- notes ---- */

void operator_note(const char *format, ...)
{
	char text[NOTE_BYTES], note[NOTE_BYTES + 4];
	va_list arguments;
	va_start(arguments, format);
	format_arguments(text, sizeof text, format, arguments);
	va_end(arguments);
	log_line("%s", text);
	if (operator_present)
		put(&notes, note, (u32)format_text(note, sizeof note, "* %s\r\n", text));
}

static void show_notes(void)
{
	char text[SAY_PIECE];
	u32 count = take(&notes, text, sizeof text);
	if (!count)
		return;
	say(&console, "\n");
	for (; count; count = take(&notes, text, sizeof text))
		write_line(NULL, text, count);
	line_show(&line);
}

/* ---- the foreground ---- */

static bool has_console(const struct vm *vm) { return vm->state == VM_RUNNING; }

static struct vm *next_console(void)
{
	for (u32 i = foreground ? (u32)(foreground - vms) + 1 : 0; i < vm_count; i++)
		if (has_console(&vms[i]))
			return &vms[i];
	return NULL;
}

static void set_foreground(struct vm *vm)
{
	lock_take(&lock);
	foreground = vm;
	if (vm)
		vm->replay = true;
	lock_give(&lock);
}

/* The attributes that a guest has set on the terminal end here. */
static void say_switch(const struct vm *vm)
{
	u32 consoles = 1, place = 1;
	for (u32 i = 0; i < vm_count; i++) {
		consoles += has_console(&vms[i]);
		if (&vms[i] == vm)
			place = consoles;
	}
	say(&console, "\033[0m\n--- %s%s: Ctrl-] goes to the next console (%u of %u)%s ---\n", vm ? vm->definition->name : "operator",
	    vm && vm->paused ? ", paused" : "", place, consoles, vm ? "" : ", help lists the commands");
}

void console_show(struct vm *vm)
{
	set_foreground(NULL); /* nobody writes but this */
	say_switch(vm);
	if (vm) {
		foreground_paused = vm->paused;
		set_foreground(vm);
		sched_wake(&vm->monitor.entity);
	} else {
		line_show(&line);
	}
}

/* What has become of the VM in the foreground. A reset one is waited for. */
static void follow(void)
{
	struct vm *vm = foreground;
	if (!vm)
		return;
	if (vm->state == VM_DEFINED || vm->state == VM_FORGOTTEN) {
		console_show(NULL);
	} else if (vm->paused != foreground_paused) {
		char state[STATE_BYTES];
		foreground_paused = vm->paused;
		say(&console, "\n--- %s: %s ---\n", vm->definition->name, show_state(vm, state));
	}
}

/* ---- in ---- */

void operator_input(const u8 *bytes, u32 count)
{
	if (!operator_present) {
		if (vms[0].state == VM_RUNNING)
			monitor_post_console(&vms[0], bytes, count);
		return;
	}
	put(&typed, bytes, count); /* what overflows is lost, as on a serial line that nobody reads */
}

static void prompt(void)
{
	line.length = line.back = 0;
	line.text[0] = 0;
	if (!foreground)
		line_show(&line);
}

static void obey(u8 byte)
{
	if (byte == SWITCH_KEY) {
		console_show(next_console());
	} else if (foreground) {
		if (has_console(foreground))
			monitor_post_console(foreground, &byte, 1);
	} else if (line_type(&line, byte)) {
		command_run(line.text);
		if (!work)
			prompt();
	}
}

/* ---- the turn ---- */

void console_work(enum work (*step)(void))
{
	work = step;
}

/* A slice of what a command has left for later; false: there is nothing of it. */
static bool go_on(enum turn *turn)
{
	if (!work)
		return false;
	enum work done = work();
	*turn = done == WORK_WAITS ? TURN_SLEEP : TURN_YIELD;
	if (done == WORK_DONE) {
		work = NULL;
		prompt();
	}
	return true;
}

/* The screen is drawn in the operator's turns: in the hypervisor's own share, whoever logged. */
void hv_logged(void) { sched_wake(&operator_entity); }

enum turn operator_turn(struct cpu *c, struct entity *e)
{
	enum turn turn;
	u8 byte;
	(void)e;
	for (;;) {
		if (c->events && sched_events(c))
			return TURN_YIELD;
		if (log_show()) {
			interrupts_take();
			continue;
		}
		if (go_on(&turn))
			return turn;
		follow();
		if (!foreground)
			show_notes();
		if (!take(&typed, &byte, 1))
			return TURN_SLEEP;
		obey(byte);
	}
}

void operator_init(void)
{
	share_init(&share, MACHINE_WEIGHT);
	entity_init(&operator_entity, ENTITY_OPERATOR, NULL, &share);
	line = (struct line){ .to = &console, .prompt = PROMPT, .candidate = command_candidate };
	if (!operator_present)
		return;
	say(&console, "Ringmur. help lists the commands, Ctrl-] goes to the next console\n");
	line_begin(&line);
}
