/*
 * sim: the machine, its environment for core, and its VMs. The TLBs are in tlb.c.
 */
#include "sim/sim.h"
#include "core/bits.h"
#include "sim/check.h"
#include "sim/crew.h"
#include "sim/tlb.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_FRAMES 8192u
#define DEFAULT_TAGS 16u
#define RELEASE_TRIES 100000u
#define PATIENCE 2000u
#define LEFTOVER 0xd1 /* what RAM holds before anyone has scrubbed it */
#define IMAGE_FRAMES 64u
#define HOLE_FIRST 1000u /* a hole in the RAM, across a block's border */
#define HOLE_FRAMES 100u

void sim_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("sim: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	if (sim_check.tell)
		sim_check.tell();
	abort();
}

u64 sim_random(struct sim *s, u64 below)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random % below;
}

/* ---- the environment ---- */

static void env_scrub(void *context, hfn_t first, u32 count)
{
	struct sim *s = context;
	CHECK(count > 0 && count <= SCRUB_SLICE_FRAMES);
	for (u32 i = 0; i < count; i++)
		if (frame_of(&s->frames, hfn_add(first, i))->kind != FRAME_SCRUBBING)
			sim_fail("frame %lu is scrubbed while it is in use", (unsigned long)(first.v + i));
	memset(s->ram.at + frame_hpa(first).v, 0, (size_t)count * PAGE_SIZE);
	s->scrubs += count;
	sim_adversary(s, 1);
	crew_pause("scrubbed");
}

static bool env_pool_map(void *context, hfn_t first)
{
	struct sim *s = context;
	CHECK(first.v % BLOCK_FRAMES == 0);
	return !s->pool_map_fails;
}

static void env_kick(void *context, unsigned cpu)
{
	struct sim *s = context;
	s->cpu[cpu].kicked = true;
	sim_adversary(s, 4);
}

/* A kicked processor leaves the guest, flushes what it must, and as likely as not goes on where it was. */
static void answer_kick(struct sim *s, unsigned cpu)
{
	struct sim_cpu *c = &s->cpu[cpu];
	struct sim_vcpu *was = c->running;
	c->kicked = false;
	if (was)
		sim_leave(s, cpu);
	if (c->space)
		sim_space(s, cpu, c->space);
	if (was && sim_random(s, 2))
		sim_enter(s, cpu, was);
}

static void env_relax(void *context)
{
	struct sim *s = context;
	if (crew_is_running()) { /* the others answer for themselves */
		sim_serve(s, s->current);
		crew_wait("relax");
		return;
	}
	if (++s->patience > PATIENCE)
		sim_fail("a settlement waits for ever");
	sim_adversary(s, 8);
	unsigned cpu = (unsigned)sim_random(s, SIM_CPUS);
	if (s->cpu[cpu].kicked)
		answer_kick(s, cpu);
}

static void env_breathe(void *context)
{
	(void)context; /* its interrupts are served where it waits */
}

static void env_flush_here(void *context, struct view *v)
{
	struct sim *s = context;
	struct sim_cpu *c = &s->cpu[s->current];
	CHECK(c->space && v == &c->space->window.view); /* ring 0 runs: it is in no nested view */
	sim_serve(s, s->current);
}

static unsigned env_this_cpu(void *context)
{
	return ((struct sim *)context)->current;
}

/* ---- the machine ---- */

static void lay_out_ram(struct sim *s)
{
	for (u64 i = 0; i < s->frames.limit; i++) {
		if (i < IMAGE_FRAMES)
			frame_become(&s->frames.at[i], FRAME_IMAGE, OWNER_HYPERVISOR);
		else if (i < HOLE_FIRST || i >= HOLE_FIRST + HOLE_FRAMES)
			frame_become(&s->frames.at[i], FRAME_FREE, OWNER_NONE);
	}
	memset(s->ram.at, LEFTOVER, s->ram.bytes);
}

struct sim *sim_new(const struct sim_config *c)
{
	struct sim *s = calloc(1, sizeof(*s));
	CHECK(s);
	s->random = c->seed * 2 + 1;
	s->frames.limit = c->frames ? c->frames : DEFAULT_FRAMES;
	s->frames.at = calloc(s->frames.limit, sizeof(struct frame));
	s->ram.bytes = s->frames.limit << PAGE_SHIFT;
	s->own_ram = c->ram ? NULL : aligned_alloc(BLOCK_SIZE, align_up(s->ram.bytes, BLOCK_SIZE));
	s->ram.at = c->ram ? c->ram : s->own_ram;
	s->alloc_memory = calloc(1, alloc_bytes(s->frames.limit));
	CHECK(s->frames.at && s->ram.at && s->alloc_memory);
	lay_out_ram(s);
	s->env = (struct mem_env){ env_scrub, env_pool_map, env_kick, env_relax, env_breathe, env_flush_here, env_this_cpu, s };
	alloc_init(&s->alloc, s->frames, s->alloc_memory, &s->env);
	pool_init(&s->pool, &s->alloc, s->ram.at);
	s->settler = (struct settler){ .alloc = &s->alloc, .pool = &s->pool, .env = &s->env };
	for (u32 i = 0; i < SIM_CPUS; i++)
		tagger_init(&s->cpu[i].tagger, c->tags ? c->tags : DEFAULT_TAGS, c->flush_by_tag);
	for (u32 i = 0; i < SIM_VMS; i++)
		s->vm[i].pmap.large = !c->small;
	return s;
}

void sim_free(struct sim *s)
{
	free(s->frames.at);
	free(s->own_ram);
	free(s->alloc_memory);
	free(s);
}

/* ---- VMs ---- */

/* The processor that runs core has left its guest. */
static void come_out(struct sim *s)
{
	if (s->cpu[s->current].running)
		sim_leave(s, s->current);
	s->patience = 0;
}

void sim_destroy_view(struct sim *s, struct ptview *v)
{
	status st;
	do {
		SETTLEMENT(debt, &s->settler);
		lock_take(&v->pmap->lock);
		st = ptview_destroy(v, &debt);
		lock_give(&v->pmap->lock);
		settle(&debt);
	} while (st == AGAIN);
	CHECK(st == OK);
}

static void end_view(struct sim *s, struct ptview *v)
{
	come_out(s);
	sim_destroy_view(s, v);
}

status sim_vm_start(struct sim *s, struct sim_vm *vm, owner_t owner, u64 ram)
{
	bool large = vm->pmap.large;
	status st = pmap_init(&vm->pmap, owner, &s->pool, &s->alloc);
	vm->pmap.large = large;
	if (st != OK)
		return st;
	vm->ram = ram;
	vm->key = (owner + (++s->starts << 16)) * 0x9e3779b97f4a7c15ull;
	CHECK(pmap_add_range(&vm->pmap, gfn(SIM_RAM_FIRST), ram, PMAP_EMPTY, false) == OK);
	CHECK(pmap_add_range(&vm->pmap, gfn(SIM_RAM_FIRST + ram), 1, PMAP_DEVICE, false) == OK);
	st = ptview_init(&vm->nested, "nested", &fmt_npt, &vm->pmap, &s->settler, 0,
			 (enum pt_rights)(PT_READ | PT_WRITE | PT_EXEC));
	if (st == OK) {
		st = ptview_init(&vm->window, "window", &fmt_host, &vm->pmap, &s->settler, SIM_WINDOW_BASE,
				 (enum pt_rights)(PT_READ | PT_WRITE | PT_USER));
		if (st != OK)
			end_view(s, &vm->nested);
	}
	if (st != OK) {
		pmap_destroy(&vm->pmap);
		vm->pmap.large = large;
		return st;
	}
	for (u32 i = 0; i < SIM_VCPUS; i++)
		vm->vcpu[i] = (struct sim_vcpu){ .vm = vm };
	vm->alive = true;
	return OK;
}

void sim_vm_end(struct sim *s, struct sim_vm *vm)
{
	bool large = vm->pmap.large;
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++) {
		struct sim_cpu *c = &s->cpu[cpu];
		if (c->running && c->running->vm == vm)
			sim_leave(s, cpu);
		if (c->space == vm && sim_random(s, 2))
			sim_space(s, cpu, NULL);
	}
	end_view(s, &vm->nested);
	/* The window's tables are the space itself: nobody may stand in it when they go. */
	for (unsigned cpu = 0; cpu < SIM_CPUS; cpu++)
		if (s->cpu[cpu].space == vm)
			sim_space(s, cpu, NULL);
	end_view(s, &vm->window);
	CHECK(sim_release(s, vm, SIM_RAM_FIRST, vm->ram, 64) == OK);
	pmap_destroy(&vm->pmap);
	vm->alive = false;
	memset(vm, 0, sizeof(*vm));
	vm->pmap.large = large;
}

/* One slice, under the lock: out of both views, then out of the truth. *done: guest frames dealt with. */
static status release_slice(struct sim_vm *vm, gfn_t at, u64 count, u32 budget, struct settlement *debt, u64 *done)
{
	u64 n = count;
	status st = OK;
	struct ptview *views[] = { &vm->nested, &vm->window };
	for (u32 i = 0; i < ARRAY_SIZE(views); i++) {
		u64 dropped;
		if (hfn_is_none(views[i]->table.root))
			continue;
		status now = ptview_drop(views[i], at, n, budget, debt, &dropped);
		if (now != OK) {
			st = now;
			n = dropped;
		}
	}
	*done = 0;
	if (n == 0)
		return st;
	status now = pmap_release(&vm->pmap, at, n, budget, debt, done);
	return now != OK ? now : st;
}

status sim_release(struct sim *s, struct sim_vm *vm, u64 first, u64 count, u32 budget)
{
	for (u32 tries = 0; tries < RELEASE_TRIES; tries++) {
		u64 done;
		SETTLEMENT(debt, &s->settler);
		come_out(s);
		lock_take(&vm->pmap.lock);
		status st = release_slice(vm, gfn(first), count, budget, &debt, &done);
		lock_give(&vm->pmap.lock);
		settle(&debt);
		first += done;
		count -= done;
		if (st != AGAIN)
			return st;
	}
	sim_fail("a release makes no progress");
}

void sim_finding(void *context, const char *what, u64 owner, u64 where)
{
	(void)context;
	fprintf(stderr, "audit: %s (owner %lu, at %lu)\n", what, (unsigned long)owner, (unsigned long)where);
}

void sim_audit(struct sim *s)
{
	struct audit_vm vms[SIM_VMS];
	u32 n = 0;
	for (u32 i = 0; i < SIM_VMS; i++)
		if (s->vm[i].alive)
			vms[n++] = (struct audit_vm){ &s->vm[i].pmap, { &s->vm[i].nested, &s->vm[i].window }, 2 };
	struct audit_host host = { .alloc = &s->alloc, .pool = &s->pool, .vm = vms, .vm_count = n, .quiet = true };
	if (audit_all(&host, sim_finding, NULL))
		sim_fail("the audit has findings");
}

u64 audit_all(const struct audit_host *host, audit_finding *finding, void *context)
{
	struct audit_state s;
	audit_begin(&s, host, finding, context);
	while (audit_step(&s, UINT16_MAX))
		continue;
	return s.findings;
}
