/*
 * options: the table of Ringmur's own words. Pure, builds hosted.
 */
#include "x86/boot/options.h"

#include "core/bits.h"
#include "x86/boot/machines.h"
#include "x86/boot/words.h"

static const char *const lines[] = { "com1", "com2", "none", NULL };
static const char *const answers[] = { "auto", "no", "yes", NULL };
static const char *const screens[] = { "yes", "no", NULL };
static const char *const panics[] = { "halt", "exit", NULL };

#define MIB (1ull << 20)
#define MOST_SCRUB (1ull << 52)
#define MOST_PORT 0xffff

#define AT(member) (u32) offsetof(struct options, member)
static const struct word_rule table[] = {
	{ "console", WORD_ONE_OF, AT(console), lines, 0, 0 },
	{ "log", WORD_ONE_OF, AT(log), lines, 0, 0 },
	{ "panic", WORD_ONE_OF, AT(panic), panics, 0, 0 },
	{ "mem", WORD_BYTES, AT(mem), NULL, MIB, MACHINE_MEMORY_MOST },
	{ "scrub", WORD_BYTES, AT(scrub), NULL, 0, MOST_SCRUB },
	{ "vcpus", WORD_NUMBER, AT(vcpus), NULL, 1, MACHINE_VCPUS_MAX },
	{ "cpus", WORD_NUMBER, AT(cpus), NULL, 1, MAX_CPUS },
	{ "fail-alloc", WORD_NUMBER, AT(fail_alloc), NULL, 1, UINT32_MAX },
	{ "probe", WORD_NUMBER, AT(probe), NULL, 1, UINT32_MAX },
	{ "mark-port", WORD_NUMBER, AT(mark_port), NULL, 1, MOST_PORT },
	{ "name", WORD_NAME, AT(name), NULL, 0, 0 },
	{ "operator", WORD_ONE_OF, AT(operator), answers, 0, 0 },
	{ "screen", WORD_ONE_OF, AT(screen), screens, 0, 0 },
	{ "hide", WORD_FLAGS, AT(hide), NULL, 0, 0 },
};

#define FEATURE(text, member) { text, (u32) offsetof(struct features, member) }
static const struct { const char *name; u32 offset; } feature_names[] = {
	FEATURE("svm", svm), FEATURE("npt", npt), FEATURE("nrip", nrip), FEATURE("decode-assist", decode_assist),
	FEATURE("clean-bits", clean_bits), FEATURE("flush-by-asid", flush_by_asid),
	FEATURE("pause-filter", pause_filter), FEATURE("nx", nx), FEATURE("smep", smep), FEATURE("smap", smap),
	FEATURE("umip", umip), FEATURE("gib-pages", gib_pages), FEATURE("xsave", xsave), FEATURE("fsgsbase", fsgsbase),
	FEATURE("pge", pge), FEATURE("x2apic", x2apic), FEATURE("tsc-deadline", tsc_deadline),
	FEATURE("invariant-tsc", invariant_tsc), FEATURE("rdtscp", rdtscp),
	FEATURE("x87-pointers", x87_pointers),
};
static_assert(ARRAY_SIZE(feature_names) <= 64, "one bit each in options.hide");

const char *option_feature(u32 index, u32 *offset)
{
	if (index >= ARRAY_SIZE(feature_names))
		return NULL;
	*offset = feature_names[index].offset;
	return feature_names[index].name;
}

void options_defaults(struct options *o)
{
	*o = (struct options){
		.console = LINE_COM1, .log = LINE_COM2, .panic = PANIC_HALT, .mem = MACHINE_MEMORY, .scrub = 512 * MIB,
		.vcpus = 1, .cpus = MAX_CPUS, .name = "guest",
	};
}

static const char *feature_name(u32 index)
{
	u32 offset;
	return option_feature(index, &offset);
}

status options_parse(struct options *o, const char *text, char error[WORDS_ERROR_BYTES])
{
	static const struct words words = { .rule = table, .count = ARRAY_SIZE(table), .flag = feature_name };
	return words_parse(&words, o, text, error);
}
