/*
 * machines: one definition a line, its words judged by a table. Pure, builds hosted.
 */
#include "x86/boot/machines.h"

#include "core/bits.h"
#include "x86/boot/multiboot.h"
#include "x86/boot/start.h"
#include "x86/boot/words.h"
#include "x86/cpu/log.h"
#include "x86/cpu/string.h"

#define LINE_BYTES 4096u
#define MODULE_OF_LINES "vms"
#define LINE_BEGINS "vm"
#define MEMORY_DISK "memory:"
#define MIB (1ull << 20)
#define WEIGHT_MOST 10000u
#define SECTOR 512u

KEPT struct machine_definition machines[MACHINES_MAX];
KEPT u32 machine_count;

/* What the rules fill: a definition, and what is judged after them. */
struct line {
	struct machine_definition machine;
	char disk[WORD_NAME_BYTES];
};

static const char *const engines[] = { "auto", "nested", NULL };
static const char *const starts[] = { "yes", "no", NULL };
static const char *const resets[] = { "restart", "end", NULL };

#define AT(member) (u32) offsetof(struct line, member)
static const struct word_rule rules[] = {
	{ "name", WORD_NAME, AT(machine.name), NULL, 0, 0 },
	{ "mem", WORD_BYTES, AT(machine.memory), NULL, MIB, MACHINE_MEMORY_MOST },
	{ "vcpus", WORD_NUMBER, AT(machine.vcpus), NULL, 1, MACHINE_VCPUS_MAX },
	{ "weight", WORD_NUMBER, AT(machine.weight), NULL, 1, WEIGHT_MOST },
	{ "kernel", WORD_MODULE, AT(machine.kernel), NULL, 0, 0 },
	{ "initrd", WORD_MODULES, AT(machine.modules), NULL, 0, MODULES_MOST - 1 },
	{ "module", WORD_MODULES, AT(machine.modules), NULL, 0, MODULES_MOST - 1 },
	{ "cmdline", WORD_TEXT, AT(machine.cmdline), NULL, 0, MON_CMDLINE_MAX },
	{ "disk", WORD_NAME, AT(disk), NULL, 0, 0 },
	{ "monitor", WORD_MODULE, AT(machine.monitor), NULL, 0, 0 },
	{ "mmu", WORD_ONE_OF, AT(machine.mmu), engines, 0, 0 },
	{ "start", WORD_ONE_OF, AT(machine.start), starts, 0, 0 },
	{ "reset", WORD_ONE_OF, AT(machine.reset), resets, 0, 0 },
};

static const struct word_rule memory_disk_rule = { MEMORY_DISK, WORD_BYTES, 0, NULL, SECTOR, MON_DISK_MAX };

/* `disk=`: a module's name, or memory:SIZE. */
static bool judge_disk(const char *disk, const struct boot_info *boot, struct mon_disk *d, char *error)
{
	size_t prefix = sizeof(MEMORY_DISK) - 1;
	if (!disk[0])
		return true;
	if (strncmp(disk, MEMORY_DISK, prefix) == 0) {
		d->kind = MON_DISK_MEMORY;
		if (word_bytes(&memory_disk_rule, disk + prefix, &d->bytes)) {
			d->bytes = align_down(d->bytes, SECTOR);
			return true;
		}
		format_text(error, WORDS_ERROR_BYTES, "disk=%s: it must be memory:SIZE, from 512 bytes to 64G, such as memory:64M", disk);
		return false;
	}
	d->kind = MON_DISK_IMAGE;
	d->module = module_find(boot, disk);
	if (d->module == MODULE_NONE) {
		format_text(error, WORDS_ERROR_BYTES, "disk=%s: no boot module has this name, and it is not memory:SIZE, such as memory:64M", disk);
		return false;
	}
	d->bytes = align_down(boot->module[d->module].bytes, SECTOR);
	if (d->bytes == 0)
		format_text(error, WORDS_ERROR_BYTES, "disk=%s: the image is shorter than a sector of 512 bytes", disk);
	return d->bytes != 0;
}

static bool holds(const char *text, char c)
{
	while (*text && *text != c)
		text++;
	return *text;
}

static bool judge_whole(const struct machine_definition *m, const struct machine_definition *others, u32 count, char *error)
{
	if (!m->name[0])
		format_text(error, WORDS_ERROR_BYTES, "a machine needs a name: name=...");
	else if (holds(m->name, '/')) /* the operator parts machine and processor by it */
		format_text(error, WORDS_ERROR_BYTES, "name=%s: a machine's name holds no /", m->name);
	else if (m->kernel == MODULE_NONE)
		format_text(error, WORDS_ERROR_BYTES, "the machine %s needs a kernel: kernel=, the name of a boot module", m->name);
	for (u32 i = 0; i < count && !error[0]; i++)
		if (strcmp(others[i].name, m->name) == 0)
			format_text(error, WORDS_ERROR_BYTES, "name=%s: there are two machines of this name; each needs its own", m->name);
	return !error[0];
}

static bool parse_line(const char *words, const struct boot_info *boot, struct machine_definition *at, u32 count, char *error)
{
	static struct line line;
	struct words w = { .rule = rules, .count = ARRAY_SIZE(rules), .boot = boot };
	memset(&line, 0, sizeof(line));
	line.machine.memory = MACHINE_MEMORY;
	line.machine.vcpus = 1;
	line.machine.weight = MACHINE_WEIGHT;
	line.machine.kernel = line.machine.monitor = MODULE_NONE;
	if (words_parse(&w, &line, words, error) != OK || !judge_disk(line.disk, boot, &line.machine.disk, error) ||
	    !judge_whole(&line.machine, at, count, error))
		return false;
	at[count] = line.machine;
	return true;
}

/* The next line without its comment, blanks before it left out; NULL: no more. */
static const char *next_line(const char *text, const char *end, char line[LINE_BYTES], bool *cut)
{
	u32 length = 0;
	bool quoted = false, comment = false;
	if (text == end)
		return NULL;
	*cut = false;
	for (; text < end && *text != '\n'; text++) {
		if (*text == '"')
			quoted = !quoted;
		if (*text == '#' && !quoted)
			comment = true;
		if (comment || (!length && (*text == ' ' || *text == '\t' || *text == '\r')))
			continue;
		if (length + 1 < LINE_BYTES && *text)
			line[length++] = *text;
		else
			*cut = true;
	}
	line[length] = 0;
	return text < end ? text + 1 : end;
}

/* As much of it as a sentence has room for. */
static const char *first_word(char *line)
{
	u32 length = 0;
	while (length < WORD_NAME_BYTES && line[length] && line[length] != ' ' && line[length] != '\t')
		length++;
	line[length] = 0;
	return line;
}

static bool is_definition(const char *line)
{
	size_t length = sizeof(LINE_BEGINS) - 1;
	return strncmp(line, LINE_BEGINS, length) == 0 && (line[length] == ' ' || line[length] == '\t');
}

status machines_parse(const char *text, u64 bytes, const struct boot_info *boot, struct machine_definition *at, u32 *count,
		      char error[WORDS_ERROR_BYTES])
{
	static char line[LINE_BYTES], why[WORDS_ERROR_BYTES];
	const char *end = text + bytes;
	bool cut;
	*count = 0;
	for (u32 number = 1; (text = next_line(text, end, line, &cut)); number++) {
		why[0] = 0;
		if (cut)
			format_text(why, sizeof(why), "it is longer than %u bytes, or holds a byte 0", LINE_BYTES - 1);
		else if (!line[0] || line[0] == '\r')
			continue;
		else if (!is_definition(line))
			format_text(why, sizeof(why), "it begins with `%s` and must begin with `vm `, as in: vm name=web mem=2G kernel=vmlinuz",
				    first_word(line));
		else if (*count == MACHINES_MAX)
			format_text(why, sizeof(why), "there can be %u machines", MACHINES_MAX);
		else if (parse_line(line + sizeof(LINE_BEGINS), boot, at, *count, why))
			(*count)++;
		if (why[0]) {
			format_text(error, WORDS_ERROR_BYTES, "vms, line %u: %s", number, why);
			return BAD_VALUE;
		}
	}
	if (*count)
		return OK;
	format_text(error, WORDS_ERROR_BYTES, "vms: it defines no machine; a line is like: vm name=web mem=2G kernel=vmlinuz");
	return BAD_VALUE;
}

void machines_from_options(const struct options *o, const struct boot_info *boot, struct machine_definition *at, u32 *count)
{
	*count = 1;
	memset(at, 0, sizeof(*at));
	memcpy(at->name, o->name, sizeof(at->name));
	at->memory = o->mem;
	at->vcpus = o->vcpus;
	at->weight = MACHINE_WEIGHT;
	at->reset = RESET_END;
	at->monitor = MODULE_NONE;
	at->kernel = boot->module_count ? 0 : MODULE_NONE;
	for (u32 i = 1; i < boot->module_count && i < MODULES_MOST; i++)
		at->modules.at[at->modules.count++] = i;
	if (boot->module_count)
		format_text(at->cmdline, sizeof(at->cmdline), "%s", boot->module[0].cmdline);
}

/* Modules are called by name: the second of one name could never be. False: there is one, and `error` says so. */
static bool judge_names(const struct boot_info *boot, char *error)
{
	static char name[LINE_BYTES];
	for (u32 i = 0; i < boot->module_count; i++) {
		format_text(name, sizeof(name), "%s", boot->module[i].cmdline);
		u32 first = module_find(boot, first_word(name));
		if (first != MODULE_NONE && first != i) {
			format_text(error, WORDS_ERROR_BYTES, "two boot modules are called %s; each needs its own name", name);
			return false;
		}
	}
	return true;
}

const char *machines_read(const struct reader *reader, const struct boot_info *boot, struct options *o)
{
	static char error[WORDS_ERROR_BYTES];
	u32 lines = module_find(boot, MODULE_OF_LINES);
	if (lines == MODULE_NONE) {
		if (boot->module_count > MON_MAX_MODULES)
			return "there are more than 8 boot modules";
		machines_from_options(o, boot, machines, &machine_count);
		return machines[0].kernel != MODULE_NONE ? NULL :
		       "no kernel was given: the first boot module is the guest's kernel (./run guest FILE)";
	}
	if (!judge_names(boot, error))
		return error;
	const struct boot_module *m = &boot->module[lines];
	const char *text = reader_at(reader, m->first.v, m->bytes);
	if (!text)
		return "the module vms does not lie in memory that can be read";
	if (o->operator == ANSWER_AUTO)
		o->operator = ANSWER_YES;
	return machines_parse(text, m->bytes, boot, machines, &machine_count, error) == OK ? NULL : error;
}
