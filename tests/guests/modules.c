/* modules: Multiboot modules arrive whole, in order, page-aligned, outside everything else, with their command lines. */
#include "lib/guest.h"

enum { B_SIZE = 65549, FIRST = 33, SPAN = 90 };

static bool pattern(const u8 *data, u32 size)
{
	for (u32 i = 0; i < size; i++)
		if (data[i] != FIRST + (i * 7 + i / 256) % SPAN)
			return false;
	return true;
}

static bool in_ram(const struct module *m)
{
	u64 from = (u64)m->data, to = from + m->size;

	for (unsigned i = 0; i < boot.ranges; i++)
		if (boot.range[i].type == RANGE_RAM && from >= boot.range[i].base && to <= boot.range[i].base + boot.range[i].size)
			return true;
	return false;
}

GUEST(modules)
{
	static const char text[] = "Ringmur, module one: amber, basalt, cinnabar.\n";
	const struct module *a = &boot.module[0], *b = &boot.module[1];

	if (!check_equal("there are two modules", boot.modules, 2))
		return;
	say("# %lx + %x `%s`, %lx + %x `%s`\n", (word)a->data, a->size, a->text, (word)b->data, b->size, b->text);
	check("the first has its text", a->size == sizeof text - 1 && same(a->data, text, sizeof text - 1));
	check("  and its command line", ends_with(a->text, "amber one"));
	check_equal("the second has its size", b->size, B_SIZE);
	check("  and its contents", pattern(b->data, b->size));
	check("  and its command line", ends_with(b->text, "basalt two"));
	check("they are page-aligned", !((word)a->data & 0xfff) && !((word)b->data & 0xfff));
	check("they lie in RAM", in_ram(a) && in_ram(b));
	check("they lie outside the image", a->data >= (u8 *)image_end && b->data >= (u8 *)image_end);
	check("they do not overlap", a->data + a->size <= b->data || b->data + b->size <= a->data);
}
