/*
 * The operator's console as a whole, over a hypervisor that only remembers what it was asked: consoles and their switches, every command
 * and its bad input, the ledger.
 */
#include "tests/unit/operator_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a person ---- */

static void command(const char *text)
{
	char with_enter[256];
	snprintf(with_enter, sizeof with_enter, "%s\r", text);
	type(with_enter);
}

static void expect(const char *text)
{
	if (!strstr(line, text))
		fail_msg("no '%s' in:\n%s", text, line);
}

static void speak(u32 vm, const char *text)
{
	operator_output(&vms[vm], (const u8 *)text, (u32)strlen(text));
}

static int setup(void **state)
{
	(void)state;
	world_begin();
	return 0;
}

/* ---- consoles ---- */

static void prompts(void **state)
{
	(void)state;
	assert_string_equal(line, "Ringmur. help lists the commands, Ctrl-] goes to the next console\r\nringmur> ");
	command("");
	assert_string_equal(line, "\r\nringmur> ");
	command("  pause   db  ");
	assert_string_equal(line, "  pause   db  \r\ndb: paused\r\nringmur> ");
	type("pau\tw\t\t");
	expect("pause web");
	expect("web  web-two  \r\nringmur> pause web");
	type("\x15walk d\t");
	expect("walk db ");
	type("\x15help wa\t");
	expect("help walk ");
	type("\x15nonsense w\tlist w\tpause db w\t\x15");
	assert_null(strstr(line, "web"));
}

static void switches(void **state)
{
	(void)state;
	speak(0, "one\n");
	speak(1, "two\n");
	assert_int_equal(written, strlen("Ringmur. help lists the commands, Ctrl-] goes to the next console\r\nringmur> "));
	type("li\x1d");
	expect("\033[0m\r\n--- web: Ctrl-] goes to the next console (2 of 4) ---\r\none\n");
	speak(0, "shown\n");
	speak(1, "kept\n");
	expect("shown\n");
	speak(0, "and whole, though the line takes 16 bytes at once\n");
	expect("shown\nand whole, though the line takes 16 bytes at once\n");
	assert_null(strstr(line, "kept"));
	type("root\r");
	assert_string_equal(typed[0], "root\r");
	assert_string_equal(typed[1], "");
	vms[1].paused = PAUSE_MEMORY;
	type("\x1d");
	assert_string_equal(line, "\033[0m\r\n--- db, paused: Ctrl-] goes to the next console (3 of 4) ---\r\ntwo\nkept\n");
	vms[2].state = VM_DEFINED; /* has no console */
	type("\x1dst\r");
	expect("--- operator: Ctrl-] goes to the next console (1 of 3), help lists the commands ---\r\nringmur> list\r\n");
	command("console db");
	expect("--- db, paused: Ctrl-] goes to the next console (3 of 3) ---");
	assert_null(strstr(strstr(line, "---"), "ringmur> "));
}

/* What it says between the switch and its monitor's turn is shown once, and after what it had said before. */
static void said_before_the_replay(void **state)
{
	(void)state;
	speak(0, "old\n");
	operator_input((const u8 *)"\x1d", 1);
	assert_int_equal(operator_turn(&processor, &operator_entity), TURN_SLEEP);
	written = 0;
	speak(0, "new\n");
	turns();
	assert_string_equal(line, "old\nnew\n");
}

/* What is typed ahead of a switch goes where the switch leads. */
static void typed_ahead(void **state)
{
	(void)state;
	type("console db\rselect\x1dx\x1dlist\r");
	assert_string_equal(typed[1], "select");
	assert_string_equal(typed[2], "x");
	expect("  0  web ");
}

/* Colours and questions of a terminal are for the moment in which they are said. */
static void replay_without_sequences(void **state)
{
	(void)state;
	speak(0, "a\033[6nb\033[1;31mred\033[0m\033Mc [x] \033\033[2Jd\n");
	for (u32 i = 0; i < 50; i++)
		speak(0, "0123456789\033[6n"); /* some lie across two pieces */
	type("\x1d");
	char *replayed = strstr(line, "---\r\n") + 5;
	assert_memory_equal(replayed, "abredc [x] d\n01234567890123456789", 33);
	assert_int_equal(strlen(replayed), strlen("abredc [x] d\n") + 500);
	speak(0, "\033[6n");
	expect("9\033[6n");
}

static void replay_is_bounded(void **state)
{
	(void)state;
	for (u32 i = 0; i < 100; i++) {
		char text[16];
		snprintf(text, sizeof text, "line %u\n", i);
		speak(0, text);
	}
	command("console web");
	assert_null(strstr(line, "line 75\n"));
	expect("---\r\nline 76\nline 77\n");
	expect("line 99\n");
}

static void what_becomes_of_it(void **state)
{
	(void)state;
	command("console web");
	vms[0].paused = PAUSE_MEMORY;
	operator_note("web is paused");
	type("");
	assert_string_equal(line, "\r\n--- web: paused: the host is full ---\r\n");
	assert_string_equal(logged, "web is paused");
	vms[0].paused = 0;
	type("");
	expect("--- web: running ---");
	vms[0].state = VM_ENDING;
	type("lost");
	vms[0].state = VM_STARTING; /* a reset: stays here */
	type("");
	assert_string_equal(line, "");
	assert_string_equal(typed[0], "");
	vms[0].state = VM_RUNNING;
	speak(0, "again");
	assert_string_equal(line, "again");
	vms[0].state = VM_DEFINED;
	operator_note("end: web %s", "power-off");
	type("");
	assert_string_equal(line, "\033[0m\r\n--- operator: Ctrl-] goes to the next console (1 of 3), help lists the commands ---\r\nringmur> "
				  "\r\n* web is paused\r\n* end: web power-off\r\nringmur> ");
	type("li");
	operator_note("started");
	type("");
	assert_string_equal(line, "\r\n* started\r\nringmur> li");
	type("\x15");
}

static void without_an_operator(void **state)
{
	(void)state;
	operator_present = false;
	written = 0;
	speak(0, "plain");
	assert_string_equal(line, "plain");
	operator_input((const u8 *)"\x1dx", 2);
	assert_string_equal(typed[0], "\x1dx");
	operator_note("told");
	assert_string_equal(logged, "told");
	assert_string_equal(line, "plain");
}

/* ---- commands ---- */

static void bad_input(void **state)
{
	static const struct { const char *text, *sentence; } table[] = {
		{ "foo", "there is no command foo; help lists them\r\n" },
		{ "help foo", "there is no command foo; help lists them\r\n" },
		{ "info", "usage: info VM: all of one machine, each of its processors\r\n" },
		{ "list all", "usage: list : all machines" },
		{ "info web db", "usage: info VM" },
		{ "walk web gpa 1 2 3", "usage: walk VM[/PROCESSOR] [gpa] ADDRESS" },
		{ "pause we", "there is no machine we; there are: web db web-two\r\n" },
		{ "pause web/1", "there is no machine web/1; there are: web db web-two\r\n" },
		{ "walk web", "usage: walk " },
		{ "walk web xyz", "web xyz: an address is up to 16 hexadecimal digits, as ffffffff81000000" },
		{ "walk web 0x", "web 0x: an address is" },
		{ "walk web gpa", "web gpa: an address is" },
		{ "walk web gpa:", "web gpa:: an address is" },
		{ "walk web 1 2", "web 1: an address is" },
		{ "walk web 12345678123456781", "web 12345678123456781: an address is" },
		{ "walk web 1:2", "web 1:2: an address is" },
		{ "walk web/2 1000", "web/2 1000: it has no such processor; info lists those that it has\r\n" },
		{ "walk web/ 1000", "web/ 1000: it has no such processor; info lists those that it has\r\n" },
		{ "walk web/10 1000", "web/10 1000: it has no such processor; info lists those that it has\r\n" },
		{ "walk none/0 1000", "there is no machine none; there are:" },
		{ "resume web", "web: it is not paused\r\n" },
	};
	(void)state;
	for (u32 i = 0; i < sizeof table / sizeof table[0]; i++) {
		command(table[i].text);
		expect(table[i].sentence);
		assert_string_equal(line + written - 11, "\r\nringmur> ");
	}
	vms[0].state = VM_DEFINED;
	static const char *const running[] = { "pause", "resume", "power-off", "console", "walk" };
	for (u32 i = 0; i < sizeof running / sizeof running[0]; i++) {
		char text[64];
		snprintf(text, sizeof text, "%s web%s", running[i], i == 4 ? " 1" : "");
		command(text);
		expect("web: it does not run; list tells what it does\r\nringmur> ");
	}
	assert_string_equal(asked, "");
}

/* What was answered, without what was typed. */
static void answered(const char *typed_text, const char *wrong, const char *right)
{
	command(typed_text);
	const char *answer = strstr(line, "\r\n");
	if (!answer || !strstr(answer, wrong) || !strstr(answer, right) || strcmp(line + written - 11, "\r\nringmur> ") != 0)
		fail_msg("'%s': '%s' or '%s' is not in: %s", typed_text, wrong, right, line);
}

/* Every command with a word too few, one too many, in capitals, cut short, and with machines that are none. */
static void every_command_misused(void **state)
{
	static const struct { const char *name; u32 least, most; bool vm; } all[] = {
		{ "help", 0, 1, false }, { "list", 0, 0, false }, { "info", 1, 1, true }, { "exits", 1, 1, true }, { "ledger", 0, 0, false },
		{ "audit", 0, 0, false }, { "walk", 2, 3, true }, { "console", 1, 1, true }, { "start", 1, 1, true }, { "pause", 1, 1, true },
		{ "resume", 1, 1, true }, { "power-off", 1, 1, true }, { "reset", 1, 1, true }, { "destroy", 1, 1, true },
		{ "forget", 1, 1, true }, { "quit", 0, 0, false },
	};
	static const char *const nobody[] = { "we", "webb", "WEB", "web-", "0", "web:", "*", "-", "/", "web/x/" };
	static const char *const words[] = { "", " web", " web 1", " web 1 2", " web 1 2 3" };
	char text[128], wrong[192];
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
		snprintf(wrong, sizeof wrong, "usage: %s ", all[i].name);
		for (u32 n = 0; n < ARRAY_SIZE(words); n++) {
			snprintf(text, sizeof text, "%s%s", all[i].name, words[n]);
			if (n < all[i].least || n > all[i].most)
				answered(text, wrong, all[i].vm ? "VM" : ": ");
		}
		for (u32 n = 0; all[i].vm && n < ARRAY_SIZE(nobody); n++) {
			if (n + 2 >= ARRAY_SIZE(nobody) && all[i].least == 2)
				break; /* a slash parts machine and processor there */
			snprintf(text, sizeof text, "%s %s%s", all[i].name, nobody[n], all[i].least == 2 ? " 1" : "");
			snprintf(wrong, sizeof wrong, "there is no machine %s;", nobody[n]);
			answered(text, wrong, "there are: web db web-two");
		}
		snprintf(text, sizeof text, "%cx%s", all[i].name[0] - 32, all[i].name + 1);
		snprintf(wrong, sizeof wrong, "there is no command %s;", text);
		answered(text, wrong, "help lists them");
		snprintf(text, sizeof text, "%.*s", (int)strlen(all[i].name) - 1, all[i].name);
		snprintf(wrong, sizeof wrong, "there is no command %s;", text);
		answered(text, wrong, "help lists them");
		snprintf(text, sizeof text, "help %s", all[i].name);
		snprintf(wrong, sizeof wrong, "usage: %s ", all[i].name);
		answered(text, wrong, ": ");
	}
	assert_string_equal(asked, "");
}

static void actions(void **state)
{
	(void)state;
	command("start web");
	expect("web: is being made");
	command("destroy db");
	command("reset web-two");
	command("forget db");
	command("power-off web");
	expect("web: its power button is pressed");
	command("quit");
	assert_string_equal(asked, "start web;destroy db;reset web-two;forget db;button web;quit;");
	refused = "it is not off";
	command("start web");
	expect("web: it is not off\r\nringmur> ");
	command("pause web");
	command("pause web");
	expect("web: it is paused already");
	command("power-off web");
	expect("web: its power button is pressed; it notices when it goes on");
	vms[0].paused |= PAUSE_MEMORY;
	command("list");
	expect("paused by the operator, and the host is full\r\n");
	command("resume web"); /* both reasons */
	expect("web: it goes on when the host has memory for it");
	vms[1].state = VM_FORGOTTEN;
	command("info db");
	expect("there is no machine db; there are: web web-two\r\n");
}

static void shows(void **state)
{
	(void)state;
	vms[0].vcpu[0].exits[EXIT_HLT] = 42;
	vms[0].vcpu[1].blocked = BLOCK_SIPI;
	vms[0].share.busy = 12345 * host_tsc_khz;
	vms[0].pmap.resident = 100;
	vms[1].state = VM_DEFINED;
	strcpy(vms[1].ending, "power-off");
	command("list");
	expect("  0  web          2         1         0    12.345 s          42  running\r\n");
	expect("  1  db           1         2         0     0.000 s           0  off (power-off)\r\n");
	command("info web");
	expect("web, number 0: running\r\n");
	expect("promised 1024 KiB = resident 400 + untouched 624;");
	expect("  kernel      kernel of all\r\n  cmdline     quiet\r\n");
	expect("  vCPU 0      ready;     0.000 s, 0 turns, 42 exits\r\n");
	expect("  vCPU 1      not started;");
	static char words[1500];
	memset(words, 'w', sizeof words - 1);
	memcpy(definitions[2].cmdline, words, sizeof words);
	command("info web-two");
	expect(words);
	command("info db");
	expect("db, number 1: off (power-off)\r\n");
	expect("  disk        memory, 4 KiB\r\n");
	command("exits web");
	expect("          42  hlt\r\n          42  of all kinds\r\nringmur> ");
	command("help");
	expect("help      [COMMAND]                     this list, or one command's usage\r\n");
	expect("quit  ");
	command("help walk");
	expect("usage: walk VM[/PROCESSOR] [gpa] ADDRESS: each step");
}

/* The log is drawn on the screen here, with interrupts let in after each piece. */
static void screen_is_drawn(void **state)
{
	(void)state;
	operator_entity.again = false;
	hv_logged();
	assert_true(operator_entity.again);
	to_show = 5;
	breaths = 0;
	turns();
	assert_int_equal(to_show, 0);
	assert_int_equal(breaths, 5);
	to_show = 1;
	processor.events = CPU_RESCHED;
	assert_int_equal(operator_turn(&processor, &operator_entity), TURN_YIELD);
	assert_int_equal(to_show, 1);
	processor.events = 0;
	turns();
}

static void audit(void **state)
{
	(void)state;
	command("audit");
	expect("\r\naudit: 7 findings\r\nringmur> ");
	assert_false(audit_called);
	audit_free = false; /* another one is running */
	command("audit");
	assert_null(strstr(line, "findings"));
	assert_true(audit_called);
	audit_free = true;
	audited.skipped = 2;
	turns();
	expect("\r\naudit: 7 findings\r\n2 sums were not compared: what they sum up changed meanwhile\r\nringmur> ");
	audited.skipped = 0;
	assert_false(audit_called);
}

static void ledger(void **state)
{
	(void)state;
	vms[0].pmap.resident = 100;
	vms[1].pmap.resident = 50;
	vms[1].private_frames = 7;
	mm.frames.limit = ALL_FRAMES;
	mm.pool.blocks = 1;
	mm.alloc.free_frames = 2000;
	u64 *kind = mm.alloc.kind;
	kind[FRAME_GUEST] = 150;
	kind[FRAME_PRIVATE] = 7;
	kind[FRAME_POOL] = BLOCK_FRAMES;
	kind[FRAME_IMAGE] = 300;
	kind[FRAME_BOOT] = 20;
	kind[FRAME_SCRUBBING] = 8;
	kind[FRAME_FREE] = 2000;
	kind[FRAME_ABSENT] = ALL_FRAMES - 2997;
	command("ledger");
	expect("        1024         400         624             0         0  web\r\n");
	expect("        2048         200        1848            28         0  db\r\n");
	expect("         600  guest: resident in machines\r\n");
	expect("       11988  = installed\r\nledger: adds up\r\nringmur> ");
	static const enum frame_kind moved[] = { FRAME_GUEST, FRAME_PRIVATE, FRAME_POOL, FRAME_FREE };
	for (u32 i = 0; i < sizeof moved / sizeof moved[0]; i++) {
		kind[moved[i]]++; /* the sum stays */
		kind[FRAME_IMAGE]--;
		command("ledger");
		expect("ledger: differs: ");
		assert_null(strstr(line, "adds up"));
		kind[moved[i]]--;
		kind[FRAME_IMAGE]++;
	}
	kind[FRAME_IMAGE]++;
	command("ledger");
	expect("ledger: differs: frames of all kinds, and those that there are: 4097 and 4096\r\n");
	kind[FRAME_IMAGE]--;
	vms[0].pmap.resident = 257; /* more than promised */
	kind[FRAME_GUEST] = 307;
	kind[FRAME_IMAGE] -= 157;
	command("ledger");
	expect("ledger: differs: machines with more resident than promised: 1 and 0\r\n");
}

static void walks(void **state)
{
	(void)state;
	command("walk web/1 0x8000000000000000");
	assert_string_equal(line, "walk web/1 0x8000000000000000\r\n");
	assert_int_equal(vms[0].vcpu[1].requests, REQUEST_WALK);
	assert_non_null(timer);
	operator_walk(&vms[0].vcpu[0]); /* was not asked */
	assert_string_equal(line, "walk web/1 0x8000000000000000\r\n");
	operator_walk(&vms[0].vcpu[1]);
	turns();
	expect("walk of web, vCPU 1: guest-virtual 8000000000000000, 4-level paging, CR3 0\r\n  = #GP: the address is not canonical\r\nringmur> ");
	assert_null(timer);
	command("walk db gpa:123");
	timer->fire(timer);
	turns();
	expect("walk: vCPU 0 of db has had no turn in 2 s: see info db\r\nringmur> ");
	operator_walk(&vms[1].vcpu[0]); /* too late: nothing is drawn */
	assert_string_equal(line + written - 11, "\r\nringmur> ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(prompts, setup), cmocka_unit_test_setup(switches, setup), cmocka_unit_test_setup(typed_ahead, setup),
		cmocka_unit_test_setup(said_before_the_replay, setup),
		cmocka_unit_test_setup(replay_is_bounded, setup), cmocka_unit_test_setup(replay_without_sequences, setup),
		cmocka_unit_test_setup(what_becomes_of_it, setup),
		cmocka_unit_test_setup(without_an_operator, setup), cmocka_unit_test_setup(bad_input, setup), cmocka_unit_test_setup(every_command_misused, setup),
		cmocka_unit_test_setup(actions, setup), cmocka_unit_test_setup(shows, setup), cmocka_unit_test_setup(screen_is_drawn, setup), cmocka_unit_test_setup(audit, setup),
		cmocka_unit_test_setup(ledger, setup), cmocka_unit_test_setup(walks, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
