/*
 * show: what is known without looking into a VM: list, info, exits, and the ledger.
 */
#include "core/bits.h"
#include "hv/operator/console.h"
#include "x86/cpu/log.h"
#include "x86/cpu/string.h"

#define MIB_SHIFT 20u
#define KIB_OF_FRAMES(frames) ((frames) << (PAGE_SHIFT - 10))

/* ---- pieces ---- */

const char *show_state(const struct vm *vm, char text[STATE_BYTES])
{
	static const char *const paused[] = {
		"running", [PAUSE_OPERATOR] = "paused by the operator", [PAUSE_MEMORY] = "paused: the host is full",
		[PAUSE_OPERATOR | PAUSE_MEMORY] = "paused by the operator, and the host is full",
	};
	static const char *const states[] = {
		[VM_DEFINED] = "off", [VM_STARTING] = "starting", [VM_ENDING] = "ending", [VM_FORGOTTEN] = "forgotten",
	};
	u32 state = vm->state;
	if (state == VM_RUNNING)
		return paused[vm->paused];
	bool how = vm->ending[0] && state != VM_STARTING;
	format_text(text, STATE_BYTES, "%s%s%s%s", states[state], how ? " (" : "", how ? vm->ending : "", how ? ")" : "");
	return text;
}

static u64 promised(const struct vm *vm) { return vm->definition->memory >> PAGE_SHIFT; }
static u64 tables(const struct vm *vm) { return vm->pmap.tree.tables + vm->nested.table.tables + vm->space.window.table.tables; }

static void say_time(u64 ticks)
{
	u64 ms = ticks / max_u64(host_tsc_khz, 1);
	say(&console, "%6lu.%03lu s", ms / 1000, ms % 1000);
}

/* ---- list ---- */

static void say_row(u32 number, u32 width)
{
	const struct vm *vm = &vms[number];
	char state[STATE_BYTES];
	say(&console, "%3u  ", number);
	say_column(&console, vm->definition->name, width);
	say(&console, "  %5u  %8lu  %8lu", (u32)vm->definition->vcpus, vm->definition->memory >> MIB_SHIFT,
	    vm->pmap.resident >> (MIB_SHIFT - PAGE_SHIFT));
	say_time(vm->share.busy);
	say(&console, "  %10lu  %s\n", vm_exits(vm), show_state(vm, state));
}

void show_list(struct vm *vm, char *word[])
{
	u32 width = sizeof "name" - 1;
	(void)vm, (void)word;
	for (u32 i = 0; i < vm_count; i++)
		width = (u32)max_u64(width, strlen(vms[i].definition->name));
	say(&console, "  #  ");
	say_column(&console, "name", width);
	say(&console, "  vcpus  promised  resident        time       exits  state\n");
	for (u32 i = 0; i < vm_count; i++)
		say_row(i, width);
}

/* ---- info ---- */

static void say_vcpu(const struct vcpu *v)
{
	u32 blocked = v->blocked;
	u64 exits = 0;
	for (u32 k = 0; k < EXIT_KINDS; k++)
		exits += v->exits[k];
	say(&console, "  vCPU %u      ", v->id);
	if (v->entity.state == ENTITY_RUNNING)
		say(&console, "runs on processor %u", v->entity.cpu);
	else
		say(&console, "%s", blocked & BLOCK_START ? "waits for its VM's loader" : blocked & BLOCK_MONITOR ? "waits for its monitor" :
		    blocked & BLOCK_SIPI ? "not started" : blocked & BLOCK_HALT ? "halted" : "ready");
	say(&console, ";");
	say_time(v->entity.ticks);
	say(&console, ", %lu turns, %lu exits\n", v->entity.turns, exits);
}

static void say_images(const struct machine_definition *d)
{
	say(&console, "  kernel      %s", d->kernel == MODULE_NONE ? "none" : boot_info->module[d->kernel].cmdline);
	for (u32 i = 0; i < d->modules.count; i++)
		say(&console, ", %s", boot_info->module[d->modules.at[i]].cmdline);
	say(&console, "\n  cmdline     ");
	say_column(&console, d->cmdline, 0);
	say(&console, "\n");
	if (d->disk.kind != MON_DISK_NONE)
		say(&console, "  disk        %s, %lu KiB\n", d->disk.kind == MON_DISK_IMAGE ? boot_info->module[d->disk.module].cmdline : "memory",
		    d->disk.bytes >> 10);
}

/* How far each processor is through its tags: a vCPU that comes after the last one makes it flush them all. */
static void say_tags(void)
{
	say(&console, "  tags       ");
	for (u32 i = 0; i < cpu_total; i++)
		say(&console, " processor %u: %u of %u used, generation %lu%s", i, cpus[i].tagger.next - 1, cpus[i].tagger.limit - 1,
		    cpus[i].tagger.generation, i + 1 < cpu_total ? ";" : "\n");
}

void show_info(struct vm *vm, char *word[])
{
	char state[STATE_BYTES];
	(void)word;
	u64 resident = vm->pmap.resident;
	say(&console, "%s, number %u: %s\n", vm->definition->name, (u32)(vm - vms), show_state(vm, state));
	say(&console, "  memory      promised %lu KiB = resident %lu + untouched %lu; private %lu, tables %lu\n", KIB_OF_FRAMES(promised(vm)),
	    KIB_OF_FRAMES(resident), KIB_OF_FRAMES(promised(vm) - resident), KIB_OF_FRAMES(vm->private_frames), KIB_OF_FRAMES(tables(vm)));
	say(&console, "  engine      %s, nested\n  weight      %lu\n  time       ", backend->name, vm->definition->weight);
	say_time(vm->share.busy);
	say(&console, " of processors, %lu exits\n", vm_exits(vm));
	say_images(vm->definition);
	say_tags();
	if (vm->state != VM_RUNNING)
		return;
	say(&console, "  monitor     %s;", vm->monitor.entity.state == ENTITY_RUNNING ? "works" : vm->monitor.waiting ? "waits" : "ready");
	say_time(vm->monitor.entity.ticks);
	say(&console, ", %lu turns\n", vm->monitor.entity.turns);
	for (u32 i = 0; i < vm->vcpus; i++)
		say_vcpu(&vm->vcpu[i]);
}

void show_exits(struct vm *vm, char *word[])
{
	(void)word;
	for (u32 k = 0; k < EXIT_KINDS; k++) {
		u64 count = vm_exits_of(vm, k);
		if (count)
			say(&console, "%12lu  %s\n", count, exit_name(k));
	}
	say(&console, "%12lu  of all kinds\n", vm_exits(vm));
}

/* ---- the ledger ---- */

#define LEDGER_TRIES 100u

/* The same frames, counted twice: by the allocator, and by those who have them. */
struct sums {
	u64 kind[FRAME_KINDS]; /* FRAME_TABLE is part of FRAME_POOL here */
	u64 free, pool, resident, private;
	bool over; /* more is resident than was promised */
};

static u32 tries;

static struct sums take_sums(void)
{
	struct sums s = { .over = false };
	for (u32 i = 0; i < vm_count; i++) {
		u64 resident = vms[i].pmap.resident;
		s.resident += resident;
		s.private += vms[i].private_frames;
		s.over |= resident > promised(&vms[i]);
	}
	lock_take(&mm.pool.lock);
	lock_take(&mm.alloc.lock);
	memcpy(s.kind, mm.alloc.kind, sizeof s.kind);
	s.free = mm.alloc.free_frames;
	s.pool = (u64)mm.pool.blocks * BLOCK_FRAMES;
	lock_give(&mm.alloc.lock);
	lock_give(&mm.pool.lock);
	return s;
}

static u64 installed(const struct sums *s)
{
	u64 sum = 0;
	for (u32 k = 0; k < FRAME_KINDS; k++)
		sum += k == FRAME_ABSENT ? 0 : s->kind[k];
	return sum;
}

/* What does not agree, or NULL. */
static const char *difference(const struct sums *s, u64 *first, u64 *second)
{
	const struct { const char *what; u64 first, second; } pairs[] = {
		{ "guest frames, and what is resident in machines", s->kind[FRAME_GUEST], s->resident },
		{ "private frames, and what machines have of them", s->kind[FRAME_PRIVATE], s->private },
		{ "frames of tables and pool, and the pool's blocks", s->kind[FRAME_POOL], s->pool },
		{ "free frames, and the allocator's lists", s->kind[FRAME_FREE], s->free },
		{ "frames of all kinds, and those that there are", installed(s) + s->kind[FRAME_ABSENT], mm.frames.limit },
		{ "machines with more resident than promised", s->over, 0 },
	};
	for (u32 i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pairs[i].first != pairs[i].second) {
			*first = pairs[i].first;
			*second = pairs[i].second;
			return pairs[i].what;
		}
	return NULL;
}

static void say_machines(void)
{
	say(&console, "machines, KiB:\n    promised  = resident + untouched       private    tables  name\n");
	for (u32 i = 0; i < vm_count; i++) {
		const struct vm *vm = &vms[i];
		u64 resident = vm->pmap.resident;
		say(&console, "%12lu%12lu%12lu  %12lu%10lu  %s\n", KIB_OF_FRAMES(promised(vm)), KIB_OF_FRAMES(resident),
		    KIB_OF_FRAMES(promised(vm) - resident), KIB_OF_FRAMES(vm->private_frames), KIB_OF_FRAMES(tables(vm)), vm->definition->name);
	}
}

static void say_host(const struct sums *s)
{
	static const struct { enum frame_kind kind; const char *what; } rows[] = {
		{ FRAME_GUEST, "guest: resident in machines" }, { FRAME_PRIVATE, "private to machines: monitors, registers" },
		{ FRAME_POOL, "tables and pool" }, { FRAME_IMAGE, "Ringmur itself" }, { FRAME_BOOT, "boot modules" },
		{ FRAME_SCRUBBING, "being scrubbed, or prepared for a machine" }, { FRAME_FREE, "free" },
	};
	say(&console, "host, KiB:\n");
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		say(&console, "%12lu  %s\n", KIB_OF_FRAMES(s->kind[rows[i].kind]), rows[i].what);
	say(&console, "%12lu  = installed\n", KIB_OF_FRAMES(installed(s)));
}

static enum work ledger_work(void)
{
	struct sums s = take_sums();
	u64 first = 0, second = 0;
	const char *what = difference(&s, &first, &second);
	if (what && ++tries < LEDGER_TRIES)
		return WORK_MORE;
	say_machines();
	say_host(&s);
	if (what)
		say(&console, "ledger: differs: %s: %lu and %lu\n", what, first, second);
	else
		say(&console, "ledger: adds up\n");
	return WORK_DONE;
}

void show_ledger(struct vm *vm, char *word[])
{
	(void)vm, (void)word;
	tries = 0;
	console_work(ledger_work);
}
