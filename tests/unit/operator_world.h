/*
 * operator_world: a hypervisor that only remembers what it was asked, and a person at its console: what the operator's tests stand on.
 */
#ifndef TESTS_OPERATOR_WORLD_H
#define TESTS_OPERATOR_WORLD_H

#include "core/audit.h"
#include "hv/hv.h"
#include "hv/operator/say.h"
#include "hv/operator/scroll.h"
#include "x86/cpu/log.h"
#include "x86/mm/slots.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void world_must(bool right)
{
	if (!right)
		abort();
}

/* ---- the hypervisor ---- */

#define MACHINES 3u
#define ALL_FRAMES 4096u

struct vm vms[VMS_MAX];
u32 vm_count;
bool operator_present;
struct mm mm;
struct cpu cpus[MAX_CPUS];
u32 cpu_total = 1;
u64 host_tsc_khz = 1000000;
static const struct backend named = { .name = "svm" };
const struct backend *backend = &named;
static const struct boot_info boot = { .module = { { .cmdline = "kernel of all" } } };
const struct boot_info *boot_info = &boot;
static struct machine_definition definitions[MACHINES] = {
	{ .name = "web", .memory = 1 << 20, .vcpus = 2, .weight = 100, .cmdline = "quiet" },
	{ .name = "db", .memory = 2 << 20, .vcpus = 1, .weight = 200, .disk = { .kind = MON_DISK_MEMORY, .bytes = 4096 } },
	{ .name = "web-two", .memory = 1 << 20, .vcpus = 1, .weight = 100 },
};
static struct scroll scrolls[MACHINES];

static char line[1 << 20], logged[4096], asked[1 << 16], typed[MACHINES][64];
static u32 written, audits;
static bool audit_free = true;
static bool audit_called; /* the next one is the operator's */
static struct hv_timer *timer;

void console_write(const void *bytes, u32 count)
{
	world_must(written + count < sizeof line && count <= SAY_PIECE);
	memcpy(line + written, bytes, count);
	line[written += count] = 0;
}

void log_line(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(logged, sizeof logged, format, arguments);
	va_end(arguments);
}

static u32 to_show; /* pieces that the screen lacks of the log */
bool log_show(void) { return to_show && to_show--; }

static void note_asked(const char *what, const struct vm *vm)
{
	strcat(strcat(strcat(asked, what), vm ? vm->definition->name : ""), ";");
}

static const char *refused;
const char *vm_start(struct vm *vm) { return note_asked("start ", vm), refused; }
const char *vm_destroy(struct vm *vm) { return note_asked("destroy ", vm), refused; }
const char *vm_reset(struct vm *vm) { return note_asked("reset ", vm), refused; }
const char *vm_forget(struct vm *vm) { return note_asked("forget ", vm), refused; }
void vm_pause(struct vm *vm, enum vm_pause why) { vm->paused |= why; }
void vm_resume(struct vm *vm, enum vm_pause why) { vm->paused &= ~(u32)why; }
void host_quit(void) { note_asked("quit", NULL); }
void monitor_post(struct vm *vm, enum mon_entry_kind kind)
{
	world_must(kind == MON_ENTRY_POWER_BUTTON);
	note_asked("button ", vm);
}

void monitor_post_console(struct vm *vm, const u8 *bytes, u32 count)
{
	char *to = typed[vm - vms];
	strncat(to, (const char *)bytes, count < sizeof typed[0] - 1 - strlen(to) ? count : sizeof typed[0] - 1 - strlen(to));
}

struct vm *vm_find(const char *name)
{
	for (u32 i = 0; i < vm_count; i++)
		if (vms[i].state != VM_FORGOTTEN && strcmp(vms[i].definition->name, name) == 0)
			return &vms[i];
	return NULL;
}

u64 vm_exits_of(const struct vm *vm, enum exit_kind kind) { return vm->vcpu[0].exits[kind]; }
u64 vm_exits(const struct vm *vm) { return vm->vcpu[0].exits[EXIT_HLT]; }
const char *exit_name(enum exit_kind kind) { return kind == EXIT_HLT ? "hlt" : "other"; }
bool audit_claim(const void *by) { return by && audit_free; }
void audit_call(bool on) { audit_called = on; }
void audit_unclaim(const void *by) { world_must(by == &operator_entity); }
void audit_start(struct vm *gone) { world_must(gone == NULL); audits = 3; }
static struct audit_state audited;
bool audit_slice(const struct audit_state **result)
{
	*result = &audited;
	audited.findings = 7;
	for (u32 k = 0; k < FRAME_KINDS; k++)
		audited.ledger.kind[k] = mm.alloc.kind[k];
	return audits-- != 0;
}
void sched_wake(struct entity *e) { e->again = true; }
void interrupts_request(struct vcpu *v, u32 what) { v->requests |= what; sched_wake(&v->entity); }
bool sched_events(struct cpu *c) { return c->events & CPU_RESCHED; }
void share_init(struct share *s, u64 weight) { s->scale = weight; }
void entity_init(struct entity *e, enum entity_kind kind, struct vm *vm, struct share *share)
{
	*e = (struct entity){ .kind = kind, .vm = vm, .share = share };
}
void timer_init(struct hv_timer *t, void (*fire)(struct hv_timer *)) { *t = (struct hv_timer){ .fire = fire }; }
void timer_set(struct hv_timer *t, u64 deadline) { timer = deadline == ~0ull ? NULL : t; }
static u32 breaths;
void interrupts_take(void) { breaths++; }
void *slot_map(u32 slot, hfn_t frame) { (void)slot, (void)frame; abort(); }
void slot_unmap(u32 slot) { (void)slot; abort(); }
struct gwalk_mode vcpu_walk_now(struct vcpu *v) { (void)v; return (struct gwalk_mode){ .paging = GWALK_4 }; }

/* ---- a person ---- */

static struct cpu processor;

/* Turns until the operator sleeps; a VM that was asked to shows its console again, as its monitor's turn does. */
static inline void turns(void)
{
	for (u32 n = 0; operator_turn(&processor, &operator_entity) == TURN_YIELD; n++)
		world_must(n < 100000); /* all that was typed while something was being worked on comes at once */
	for (u32 i = 0; i < vm_count; i++)
		if (vms[i].replay)
			operator_replay(&vms[i]);
}

static inline void type(const char *bytes)
{
	written = 0;
	line[0] = 0;
	for (; *bytes; bytes++)
		operator_input((const u8 *)bytes, 1);
	turns();
}

/* Everything as after boot: three machines run, the operator is in the foreground. */
static inline void world_begin(void)
{
	memset(vms, 0, sizeof vms);
	memset(scrolls, 0, sizeof scrolls);
	memset(typed, 0, sizeof typed);
	memset(&mm, 0, sizeof mm);
	asked[0] = 0;
	refused = NULL;
	for (u32 i = 0; i < MACHINES; i++) {
		vms[i] = (struct vm){ .definition = &definitions[i], .vcpus = (u32)definitions[i].vcpus,
				      .scrollback = (u8 *)&scrolls[i], .nested = { .pmap = &vms[i].pmap } };
		for (u32 v = 0; v < vms[i].vcpus; v++)
			vms[i].vcpu[v] = (struct vcpu){ .id = v, .entity = { .vm = &vms[i] } };
	}
	vm_count = MACHINES;
	operator_present = true;
	turns(); /* back to the operator: the machine in the foreground is off */
	for (u32 i = 0; i < MACHINES; i++)
		vms[i].state = VM_RUNNING;
	written = 0;
	operator_init();
	turns();
}

#endif
