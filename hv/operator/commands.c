/*
 * commands: what the operator can say, as a const table; words, completion, and the sentences for what is wrong.
 */
#include "core/bits.h"
#include "hv/operator/console.h"
#include "hv/operator/line.h"
#include "x86/cpu/log.h"
#include "x86/cpu/string.h"

/* What a command's first word is; A_VCPU: VM or VM/PROCESSOR. From RUNNING on the VM must run. */
enum takes { NOTHING, A_COMMAND, A_VM, RUNNING, A_VCPU };

struct command {
	const char *name, *arguments, *what;
	u8 least, most; /* words after its name */
	enum takes takes;
	void (*run)(struct vm *vm, char *word[]);
	/* Or, of a VM: NULL, and `done` is said; or a sentence why not. */
	const char *(*act)(struct vm *vm);
	const char *done;
};

/* ---- what acts on machines ---- */

static const char *pause_vm(struct vm *vm)
{
	if (vm->paused & PAUSE_OPERATOR)
		return "it is paused already";
	vm_pause(vm, PAUSE_OPERATOR);
	return NULL;
}

static const char *resume_vm(struct vm *vm)
{
	if (!vm->paused)
		return "it is not paused";
	vm_resume(vm, PAUSE_OPERATOR);
	return vm->paused ? "it goes on when the host has memory for it" : NULL;
}

static const char *power_off_vm(struct vm *vm)
{
	monitor_post(vm, MON_ENTRY_POWER_BUTTON);
	return vm->paused ? "its power button is pressed; it notices when it goes on" : NULL;
}

static void show_console(struct vm *vm, char *word[])
{
	(void)word;
	console_show(vm);
}

static void quit(struct vm *vm, char *word[])
{
	(void)vm, (void)word;
	say(&console, "all machines are ended, then the host is switched off\n");
	host_quit();
}

/* ---- the table ---- */

static void help(struct vm *vm, char *word[]);

static const struct command commands[] = {
	{ "help", "[COMMAND]", "this list, or one command's usage", 0, 1, A_COMMAND, .run = help },
	{ "list", "", "all machines: memory in MiB, processor time, state", 0, 0, NOTHING, .run = show_list },
	{ "info", "VM", "all of one machine, each of its processors", 1, 1, A_VM, .run = show_info },
	{ "exits", "VM", "what its processors came out of the guest for", 1, 1, A_VM, .run = show_exits },
	{ "ledger", "", "where every frame of memory is, and whether it adds up", 0, 0, NOTHING, .run = show_ledger },
	{ "audit", "", "holds every table of the running system against the truth", 0, 0, NOTHING, .run = inspect_audit },
	{ "walk", "VM[/PROCESSOR] [gpa] ADDRESS", "each step of a translation: guest tables, pmap, nested tables", 2, 3, A_VCPU,
	  .run = inspect_walk },
	{ "console", "VM", "goes to its console; Ctrl-] leads to the next, behind the last back here", 1, 1, RUNNING, .run = show_console },
	{ "start", "VM", "makes the machine and starts it", 1, 1, A_VM, .act = vm_start, .done = "is being made" },
	{ "pause", "VM", "its processors and devices stop", 1, 1, RUNNING, .act = pause_vm, .done = "paused" },
	{ "resume", "VM", "they go on", 1, 1, RUNNING, .act = resume_vm, .done = "goes on" },
	{ "power-off", "VM", "presses its power button: the guest decides; destroy asks nobody", 1, 1, RUNNING, .act = power_off_vm,
	  .done = "its power button is pressed" },
	{ "reset", "VM", "ends it at once and starts it again", 1, 1, A_VM, .act = vm_reset, .done = "ends and starts again" },
	{ "destroy", "VM", "ends it at once", 1, 1, A_VM, .act = vm_destroy, .done = "is being taken apart" },
	{ "forget", "VM", "gives up its definition; images that no other needs are freed", 1, 1, A_VM, .act = vm_forget, .done = "forgotten" },
	{ "quit", "", "ends all machines and the host", 0, 0, NOTHING, .run = quit },
};

static const struct command *command_named(const char *name)
{
	for (u32 i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void say_usage(const struct command *c)
{
	say(&console, "usage: %s %s: %s\n", c->name, c->arguments, c->what);
}

static const struct command *wanted(const char *name)
{
	const struct command *c = command_named(name);
	if (!c)
		say(&console, "there is no command %s; help lists them\n", name);
	return c;
}

static void help(struct vm *vm, char *word[])
{
	(void)vm;
	if (word[0]) {
		const struct command *c = wanted(word[0]);
		if (c)
			say_usage(c);
		return;
	}
	for (u32 i = 0; i < ARRAY_SIZE(commands); i++) {
		say_column(&console, commands[i].name, 10);
		say_column(&console, commands[i].arguments, 30);
		say(&console, "%s\n", commands[i].what);
	}
}

/* ---- one line ---- */

/* At most WORDS_MOST words; more of them count. */
static u32 split(char *text, char *word[])
{
	u32 count = 0;
	for (bool blank = true; *text; text++) {
		if (*text == ' ')
			*text = 0;
		else if (blank && count++ < WORDS_MOST)
			word[count - 1] = text;
		blank = !*text;
	}
	return count;
}

/* The n-th that may be named; NULL: there are no more. */
static struct vm *nth_vm(u32 n)
{
	for (u32 i = 0; i < vm_count; i++)
		if (vms[i].state != VM_FORGOTTEN && n-- == 0)
			return &vms[i];
	return NULL;
}

/* The VM that the word names; what follows a '/' is put behind it, as a word of its own. */
static struct vm *named_vm(const struct command *c, char *word[])
{
	struct vm *vm;
	for (char *p = word[0]; c->takes == A_VCPU && *p; p++)
		if (*p == '/') {
			*p = 0;
			word[WORDS_VCPU] = p + 1;
		}
	vm = vm_find(word[0]);
	if (vm)
		return vm;
	say(&console, "there is no machine %s; there are:", word[0]);
	for (u32 n = 0; (vm = nth_vm(n)); n++)
		say(&console, " %s", vm->definition->name);
	say(&console, "\n");
	return NULL;
}

void command_run(char *text)
{
	char *word[WORDS_MOST + 2] = { NULL };
	u32 count = split(text, word);
	const struct command *c = count ? wanted(word[0]) : NULL;
	if (!c)
		return;
	if (count - 1 < c->least || count - 1 > c->most) {
		say_usage(c);
		return;
	}
	struct vm *vm = c->takes >= A_VM ? named_vm(c, word + 1) : NULL;
	if (c->takes >= A_VM && !vm)
		return;
	if (vm && c->takes >= RUNNING && vm->state != VM_RUNNING) {
		say(&console, "%s: it does not run; list tells what it does\n", vm->definition->name);
	} else if (vm && c->act) {
		const char *why = c->act(vm);
		say(&console, "%s: %s\n", vm->definition->name, why ? why : c->done);
	} else {
		c->run(vm, word + 1);
	}
}

const char *command_candidate(const char *text, u32 n)
{
	char copy[LINE_BYTES], *word[WORDS_MOST] = { NULL };
	u32 length = (u32)format_text(copy, sizeof copy, "%s", text);
	bool unfinished = length && copy[length - 1] != ' ';
	u32 finished = split(copy, word) - unfinished;
	const struct command *c = finished == 1 && word[0] ? command_named(word[0]) : NULL;
	const struct vm *vm = c && c->takes >= A_VM ? nth_vm(n) : NULL;
	if (vm)
		return vm->definition->name;
	return (finished == 0 || (c && c->takes == A_COMMAND)) && n < ARRAY_SIZE(commands) ? commands[n].name : NULL;
}
