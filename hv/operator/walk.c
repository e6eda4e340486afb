#include "hv/operator/walk.h"

#include "core/bits.h"
#include "x86/cpu/string.h"

#define INDEX_MASK (BIT(PT_INDEX_BITS) - 1)

/* ---- words ---- */

static void say_rights(const struct say *to, const struct pt_format *f, u64 entry, bool leaf)
{
	const struct { u64 bit; const char *name; bool of_leaf; } bits[] = {
		{ f->present, "P", false }, { f->write, "W", false }, { f->user, "U", false }, { f->accessed, "A", false },
		{ f->dirty, "D", true }, { f->global, "G", true }, { f->no_exec, "NX", false },
	};
	for (u32 i = 0; i < ARRAY_SIZE(bits); i++)
		if (bits[i].bit)
			say_column(to, entry & bits[i].bit && (leaf || !bits[i].of_leaf) ? bits[i].name : "-", (u32)strlen(bits[i].name) + 1);
	say(to, leaf ? "-> page\n" : entry & f->present ? "-> table\n" : "not present\n");
}

static struct pmap_backing look(const struct walk *w, gpa_t at)
{
	lock_take(&w->nested->pmap->lock);
	struct pmap_backing b = pmap_look(w->nested->pmap, gpa_frame(at));
	lock_give(&w->nested->pmap->lock);
	return b;
}

/* ---- from a guest-physical address on ---- */

static void draw_nested(const struct walk *w, u64 address)
{
	const struct pt *t = &w->nested->table;
	hfn_t table = t->root;
	enum pt_what what = PT_TABLE;
	say(w->to, "nested tables, by gpa %lx\n  level index  table hpa     entry             rights\n", address);
	for (u8 level = t->format->levels; what == PT_TABLE; level--) {
		lock_take(&w->nested->pmap->lock);
		struct pt_slot slot = pt_find(t, address, level);
		u64 entry = __atomic_load_n(slot.entry, __ATOMIC_RELAXED), span = pt_span(slot.level), index = address / span & INDEX_MASK;
		lock_give(&w->nested->pmap->lock);
		what = slot.what;
		say(w->to, "  %5u %5lu  %012lx  %016lx  ", slot.level, index, frame_hpa(table).v, entry);
		say_rights(w->to, t->format, entry, what == PT_LEAF);
		table = pt_entry_frame(t->format, entry);
		if (what == PT_LEAF)
			say(w->to, "  = host-physical %lx\n", frame_hpa(table).v + address % span);
		if (what == PT_HOLE)
			say(w->to, "  = not filled: the next access asks the pmap\n");
	}
}

void walk_physical(const struct walk *w, gpa_t at)
{
	struct pmap_backing b = look(w, at);
	say(w->to, "pmap of gpa %lx: ", frame_gpa(gpa_frame(at)).v);
	if (b.state == PMAP_PRESENT)
		say(w->to, "present, %s, %s, at hpa %lx\n", b.writable ? "writable" : "read-only",
		    b.level == 1 ? "a frame of 4 KiB" : "in a block of 2 MiB", frame_hpa(b.frame).v);
	else
		say(w->to, b.state == PMAP_EMPTY ? "RAM, never touched\n" : "not RAM: a device's, or nobody's\n");
	if (b.state == PMAP_PRESENT || b.state == PMAP_EMPTY)
		draw_nested(w, at.v);
}

/* ---- the guest's tables ---- */

/* While gwalk goes down: draws each entry as it is read. */
struct trace {
	const struct walk *walk;
	u64 address;
	u32 level;
	bool large; /* PS means something */
};

static status trace_read(void *context, gpa_t at, u32 size, u64 *value)
{
	struct trace *t = context;
	const struct walk *w = t->walk;
	struct pmap *p = w->nested->pmap;
	u32 level = t->level--, bits = size == sizeof(u32) ? 10 : PT_INDEX_BITS;
	u64 index = (t->address >> (PAGE_SHIFT + bits * (level - 1))) & (BIT(bits) - 1), table = at.v - index * size;
	lock_take(&p->lock);
	struct pmap_backing b = pmap_look(p, gpa_frame(at));
	*value = b.state == PMAP_PRESENT ? w->read(w->context, b.frame, (u32)(at.v & PAGE_MASK), size) : 0;
	lock_give(&p->lock);
	say(w->to, "  %5u %5lu  %012lx  ", level, index, table);
	if (b.state == PMAP_PRESENT)
		say(w->to, "%012lx  ", frame_hpa(b.frame).v | (table & (u64)PAGE_MASK));
	else
		say_column(w->to, b.state == PMAP_EMPTY ? "untouched" : "not RAM", 14);
	say(w->to, "%016lx  ", *value);
	say_rights(w->to, &fmt_host, *value, *value & fmt_host.present && (level == 1 || (level < 4 && t->large && *value & fmt_host.large)));
	return b.state == PMAP_PRESENT || b.state == PMAP_EMPTY ? OK : BAD_ADDRESS;
}

void walk_virtual(const struct walk *w, const struct gwalk_mode *mode, gva_t at)
{
	static const struct gwalk_memory memory = { .read = trace_read }; /* it is told not to update: nothing is exchanged */
	static const struct { const char *name; u32 levels; } modes[] = {
		[GWALK_OFF] = { "paging is off", 0 }, [GWALK_32] = { "32-bit paging", 2 }, [GWALK_PAE] = { "PAE paging", 3 },
		[GWALK_4] = { "4-level paging", 4 }, [GWALK_5] = { "5-level paging", 5 },
	};
	u64 linear = mode->paging < GWALK_4 ? (u32)at.v : at.v;
	struct trace t = { .walk = w, .address = linear, .level = modes[mode->paging].levels,
			   .large = mode->paging != GWALK_32 || mode->pse };
	struct gwalk_mode judged = *mode;
	struct gwalk_result r = { .page_size = PAGE_SIZE };
	judged.smep = judged.smap = false; /* rights are shown, not judged */
	say(w->to, "guest-virtual %lx, %s, CR3 %lx\n", at.v, modes[mode->paging].name, mode->cr3);
	if (!gwalk_canonical(mode, at)) {
		say(w->to, "  = #GP: the address is not canonical\n");
		return;
	}
	if (t.level)
		say(w->to, "  level index  table gpa     = hpa         entry             rights\n");
	status st = gwalk(&judged, &memory, &t, gva(linear), 0, false, &r);
	if (st != OK) {
		say(w->to, st != FAULT ? "  = the table lies outside of the VM's memory\n" : r.error & GW_RESERVED ?
		    "  = #PF: a bit that must be 0 is set\n" : "  = #PF: the entry is not present\n");
		return;
	}
	say(w->to, "  = guest-physical %lx, page of %lu KiB, %s, %s\n", r.at.v, r.page_size >> 10, r.writable ? "writable" : "read-only",
	    r.user ? "user" : "supervisor");
	walk_physical(w, r.at);
}
