/*
 * inspect: audit and walk: what goes on in later turns, beside the VMs.
 *
 * A walk is asked of the vCPU and drawn in a turn of it, for its registers and its VM's memory are mapped only there. `state` decides who has the
 * question: asked -> taken (by the vCPU) -> done, or asked -> idle (the time is up).
 */
#include "core/audit.h"
#include "core/bits.h"
#include "core/env.h"
#include "hv/operator/console.h"
#include "hv/operator/walk.h"
#include "x86/cpu/string.h"
#include "x86/mm/slots.h"

/* ---- audit ---- */

static bool auditing; /* its turn has come */

static enum work audit_work(void)
{
	static const char *const kinds[] = { "absent", "free", "image", "boot", "pool", "table", "guest", "private", "scrubbing" };
	static_assert(ARRAY_SIZE(kinds) == FRAME_KINDS, "a name each, in the order of enum frame_kind");
	const struct audit_state *audit;
	if (!auditing) {
		auditing = audit_claim(&operator_entity);
		if (!auditing)
			return WORK_WAITS;
		audit_call(false);
		audit_start(NULL);
	}
	if (audit_slice(&audit))
		return WORK_MORE;
	auditing = false;
	say(&console, "frames:");
	for (u32 k = 0; k < FRAME_KINDS; k++)
		say(&console, " %s %lu", kinds[k], audit->ledger.kind[k]);
	say(&console, "\naudit: %lu findings\n", audit->findings);
	if (audit->skipped)
		say(&console, "%lu sums were not compared: what they sum up changed meanwhile\n", audit->skipped);
	audit_unclaim(&operator_entity);
	return WORK_DONE;
}

void inspect_audit(struct vm *vm, char *word[])
{
	(void)vm, (void)word;
	audit_call(true);
	console_work(audit_work);
}

/* ---- walk ---- */

#define WALK_TIME_MS 2000u
#define ADDRESS_DIGITS 16u
#define WALK_SLOT SCRUB_SLICE_FRAMES /* the first that is not for scrubbing */

enum { WALK_IDLE, WALK_ASKED, WALK_TAKEN, WALK_DONE };

static struct {
	u32 state;
	struct vcpu *v;
	u64 at;
	bool physical;
	bool late;
	struct hv_timer timer;
} asked;

static u64 read_frame(void *context, hfn_t frame, u32 offset, u32 size)
{
	u64 value = 0;
	(void)context;
	memcpy(&value, (const u8 *)slot_map(WALK_SLOT, frame) + offset, size);
	slot_unmap(WALK_SLOT);
	return value;
}

void operator_walk(struct vcpu *v)
{
	struct walk w = { .to = &console, .nested = &v->entity.vm->nested, .read = read_frame };
	if (asked.v != v || !change_state(&asked.state, WALK_ASKED, WALK_TAKEN))
		return;
	say(&console, "walk of %s, vCPU %u: ", v->entity.vm->definition->name, v->id);
	if (asked.physical) {
		walk_physical(&w, gpa(asked.at));
	} else {
		struct gwalk_mode mode = vcpu_walk_now(v);
		walk_virtual(&w, &mode, gva(asked.at));
	}
	change_state(&asked.state, WALK_TAKEN, WALK_DONE);
	sched_wake(&operator_entity);
}

static void walk_late(struct hv_timer *t)
{
	(void)t;
	asked.late = true;
	sched_wake(&operator_entity);
}

static enum work walk_work(void)
{
	const char *name = asked.v->entity.vm->definition->name;
	if (change_state(&asked.state, WALK_DONE, WALK_IDLE)) {
		timer_set(&asked.timer, TIMER_NEVER);
		return WORK_DONE;
	}
	if (!asked.late || !change_state(&asked.state, WALK_ASKED, WALK_IDLE))
		return WORK_WAITS;
	say(&console, "walk: vCPU %u of %s has had no turn in %u s: see info %s\n", asked.v->id, name, WALK_TIME_MS / 1000, name);
	return WORK_DONE;
}

/* Hexadecimal, with or without 0x. */
static bool address(const char *text, u64 *value)
{
	u32 digits = 0;
	*value = 0;
	text += text[0] == '0' && text[1] == 'x' ? 2 : 0;
	for (; *text; text++, digits++) {
		u32 letter = (u32)(*text | 0x20) - 'a', digit = *text <= '9' ? (u32)(*text - '0') : letter < 6 ? letter + 10 : 16;
		if (digit >= 16 || digits == ADDRESS_DIGITS)
			return false;
		*value = *value << 4 | digit;
	}
	return digits != 0;
}

/* What is wrong with the words, or NULL and it is asked for. */
static const char *judge(struct vm *vm, char *word[])
{
	const char *number = word[WORDS_VCPU] ? word[WORDS_VCPU] : "0";
	bool parted = strcmp(word[1], "gpa") == 0, joined = strncmp(word[1], "gpa:", 4) == 0;
	const char *at = parted ? word[2] : joined ? word[1] + 4 : word[1];
	u32 id = (u32)(number[0] - '0');
	if (id >= vm->vcpus || number[1])
		return "it has no such processor; info lists those that it has";
	if (!at || (!parted && word[2]) || !address(at, &asked.at))
		return "an address is up to 16 hexadecimal digits, as ffffffff81000000; of guest-physical memory: gpa:1000 or gpa 1000";
	asked.v = &vm->vcpu[id];
	asked.physical = parted || joined;
	return NULL;
}

void inspect_walk(struct vm *vm, char *word[])
{
	const char *why = judge(vm, word);
	if (why) {
		say(&console, "%s%s%s %s: %s\n", word[0], word[WORDS_VCPU] ? "/" : "", word[WORDS_VCPU] ? word[WORDS_VCPU] : "", word[1], why);
		return;
	}
	asked.late = false;
	__atomic_store_n(&asked.state, WALK_ASKED, __ATOMIC_SEQ_CST);
	timer_init(&asked.timer, walk_late);
	timer_set(&asked.timer, tsc_now() + WALK_TIME_MS * host_tsc_khz);
	interrupts_request(asked.v, REQUEST_WALK);
	console_work(walk_work);
}
