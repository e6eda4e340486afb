/*
 * fuzz_operator: what libFuzzer types at the operator's console, over a hypervisor that only remembers what it was asked.
 *
 * The first byte chooses. Either a line alone: a model of its text and a small terminal, whose row must show prompt and text after each byte.
 * Or the whole console, where bytes from 80h up are what happens meanwhile: a machine says something, ends, is paused, a walk comes or is
 * late. However that ends, Ctrl-C brings the prompt and `list` answers.
 */
#include "tests/unit/operator_world.h"

#include "hv/operator/console.h"
#include "hv/operator/line.h"
#include "tests/fuzz/must.h"

#define ROW_BYTES 512u
#define PROMPT "ringmur> "
#define BYTES_MOST 600u
#define OUTPUT_MOST 32768u /* of one byte typed: all that was noted meanwhile, or a console's replay */
#define ENTERED 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BELL = 7, BACKSPACE = 8, TAB = 9, LF = 10, CR = 13, ESCAPE = 27, DELETE = 127 };
#define CONTROL(letter) ((letter) & 31)

/* ---- a terminal of one row: what stands above is of no interest ---- */

static struct { char row[ROW_BYTES]; u32 column; u32 escape; } t;

static void clear_row(void)
{
	memset(t.row, ' ', sizeof(t.row));
	t.column = 0;
}

static void show_byte(char c)
{
	if (t.escape) {
		t.escape = c == '[' ? 2 : 0;
		if (c == 'J')
			clear_row();
		return;
	}
	switch (c) {
	case '\n': clear_row(); break;
	case '\r': t.column = 0; break;
	case '\b':
		must(t.column > 0, "goes back beyond the row");
		t.column--;
		break;
	case BELL: break;
	case ESCAPE: t.escape = 1; break;
	default:
		must(c >= ' ' && c < DELETE && t.column < ROW_BYTES, "shows what nobody sees");
		t.row[t.column++] = c;
	}
}

static void show(void *context, const char *text, u32 length)
{
	(void)context;
	must(length <= SAY_PIECE, "a piece is too long for the line");
	for (u32 i = 0; i < length; i++) {
		if (t.escape == 2 && text[i] != 'H' && text[i] != 'J')
			continue; /* numbers of a sequence */
		if (t.escape == 2)
			t.escape = 1;
		show_byte(text[i]);
	}
}

/* ---- the line, and a model of it ---- */

static struct { char text[LINE_BYTES]; u32 length; u8 before; bool in_sequence; char past[ENTERED][LINE_BYTES]; u32 entered; } m;

static void cut_word(void)
{
	while (m.length && m.text[m.length - 1] == ' ')
		m.length--;
	while (m.length && m.text[m.length - 1] != ' ')
		m.length--;
}

static void compare_row(const struct line *l)
{
	u32 prompt = (u32)strlen(PROMPT);
	must(l->length < LINE_BYTES && strlen(l->text) == l->length, "the line's end is not its end");
	must(t.column == prompt + l->length && memcmp(t.row, PROMPT, prompt) == 0 && memcmp(t.row + prompt, l->text, l->length) == 0,
	     "the row shows another text");
	for (u32 i = t.column; i < ROW_BYTES; i++)
		must(t.row[i] == ' ', "the row shows what was taken back");
}

static bool was_entered(const char *text)
{
	for (u32 i = 0; i < ENTERED; i++)
		if (strcmp(m.past[i], text) == 0)
			return true;
	return false;
}

static void adopt(const struct line *l)
{
	memcpy(m.text, l->text, sizeof(m.text));
	m.length = l->length;
}

/* A byte of a terminal's sequence is none of the text; the arrows bring lines that were entered. */
static bool model_sequence(const struct line *l, u8 byte)
{
	if (!m.in_sequence) {
		m.in_sequence = byte == '[' && m.before == ESCAPE;
		return m.in_sequence;
	}
	m.in_sequence = byte == '[' || byte == ';' || (byte >= '0' && byte <= '9');
	if (byte == 'A' || byte == 'B') {
		must(strcmp(l->text, m.text) == 0 || !l->length || was_entered(l->text), "an arrow brings what was never entered");
		adopt(l);
	}
	return true;
}

static void model_byte(const struct line *l, u8 byte)
{
	if (byte >= ' ' && byte < DELETE && m.length + 1 < LINE_BYTES)
		m.text[m.length++] = (char)byte;
	else if (byte == BACKSPACE || byte == DELETE)
		m.length -= m.length > 0;
	else if (byte == CONTROL('U') || byte == CONTROL('C'))
		m.length = 0;
	else if (byte == CONTROL('W'))
		cut_word();
	else if (byte == TAB) { /* it only adds */
		must(l->length >= m.length && memcmp(l->text, m.text, m.length) == 0, "completion has changed what was typed");
		adopt(l);
	}
	m.text[m.length] = 0;
}

static bool model_enters(u8 byte) { return !m.in_sequence && (byte == CR || (byte == LF && m.before != CR)); }

static void fuzz_line(const u8 *data, size_t size)
{
	static struct line l;
	const struct say to = { .write = show };
	memset(&t, 0, sizeof(t));
	memset(&m, 0, sizeof(m));
	clear_row();
	l = (struct line){ .to = &to, .prompt = PROMPT, .candidate = command_candidate };
	line_begin(&l);
	for (size_t i = 0; i < size && i < BYTES_MOST; i++) {
		bool enters = model_enters(data[i]), entered = line_type(&l, data[i]);
		must(entered == enters, enters ? "a line is not entered" : "a line is entered by nothing");
		if (entered) {
			must(strcmp(l.text, m.text) == 0, "another line is entered");
			if (m.length && strcmp(m.past[(m.entered + ENTERED - 1) % ENTERED], m.text) != 0) /* twice the same is kept once */
				memcpy(m.past[m.entered++ % ENTERED], m.text, LINE_BYTES);
			line_begin(&l);
			m.length = 0;
			m.text[0] = 0;
		} else if (!model_sequence(&l, data[i])) {
			model_byte(&l, data[i]);
		}
		m.before = data[i];
		must(strcmp(l.text, m.text) == 0, "the line is another than was typed");
		compare_row(&l);
	}
}

/* ---- the whole console ---- */

static void walk_answers(void)
{
	for (u32 i = 0; i < vm_count; i++)
		for (u32 v = 0; v < vms[i].vcpus; v++)
			operator_walk(&vms[i].vcpu[v]);
}

static void walk_is_late(void)
{
	struct hv_timer *due = timer;
	timer = NULL;
	if (due)
		due->fire(due);
}

static void happen(u8 what)
{
	static const char *const said[] = { "login: ", "\033[1;31mred\033[0m", "\033[6n", "a long line of text, once more\n" };
	struct vm *vm = &vms[what % MACHINES];
	switch (what >> 3 & 15) {
	case 0: case 1: operator_output(vm, (const u8 *)said[what & 3], (u32)strlen(said[what & 3])); break;
	case 2: vm->state = VM_RUNNING; break;
	case 3: vm->state = VM_DEFINED; break;
	case 4: vm->state = VM_FORGOTTEN; break;
	case 5: vm->paused ^= PAUSE_MEMORY; break;
	case 6: operator_note("%s: something has happened", vm->definition->name); break;
	case 7: walk_answers(); break;
	case 8: walk_is_late(); break;
	case 9: refused = what & 1 ? "it is not off" : NULL; break;
	case 10: audit_free = what & 1; break;
	case 11: vm->pmap.resident = what; break;
	case 12: to_show = what & 3; break;
	default: vm->vcpu[0].exits[EXIT_HLT] += what;
	}
}

static s32 open_lines, open_bytes; /* typed, and nothing has come of it yet */
static u32 waiting; /* typed while a walk waits for its vCPU, or an audit for its turn: answered all at once, when that is over */

static void one_byte(u8 byte)
{
	open_lines += byte == CR || byte == LF;
	open_bytes += byte < 0x80;
	written = 0;
	line[0] = asked[0] = 0;
	for (u32 i = 0; i < MACHINES; i++)
		typed[i][0] = 0;
	if (byte & 0x80)
		happen(byte & 0x7f);
	else
		operator_input(&byte, 1);
	turns();
	must(written <= OUTPUT_MOST * (1 + waiting), "one byte typed is answered by too many");
	waiting = timer || audit_called ? waiting + 1 : 0;
	for (const char *a = asked; *a; a++)
		open_lines -= *a == ';';
	must(open_lines >= 0, "something is asked for that was not entered");
	for (u32 i = 0; i < MACHINES; i++)
		open_bytes -= (s32)strlen(typed[i]);
	must(open_bytes >= 0, "machines hear what was not typed");
}

/* No work is left, no machine is in the foreground. */
static void come_back(void)
{
	audit_free = true;
	do { /* what was typed meanwhile may wait for the next one */
		walk_is_late();
		turns();
	} while (timer);
	for (u32 i = 0; i < MACHINES; i++)
		vms[i].state = VM_DEFINED;
	one_byte(CONTROL('C')); /* it may end a terminal's sequence */
	one_byte(CONTROL('C'));
}

static bool ends_with_prompt(void)
{
	u32 prompt = (u32)strlen(PROMPT);
	return written >= prompt && strcmp(line + written - prompt, PROMPT) == 0;
}

static void fuzz_console(const u8 *data, size_t size)
{
	audit_free = true;
	open_lines = open_bytes = 0;
	waiting = 0;
	world_begin();
	for (size_t i = 0; i < size && i < BYTES_MOST; i++)
		one_byte(data[i]);
	come_back();
	must(ends_with_prompt(), "Ctrl-C brings no prompt");
	type("list\r");
	must(strstr(line, "web") && ends_with_prompt(), "list does not answer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1) {
		world_begin();
		come_back(); /* completion names machines that do not run, too */
		fuzz_line(data + 1, size - 1);
	} else {
		fuzz_console(data + 1, size - 1);
	}
	return 0;
}
