/*
 * smp: the other processors, started one after the other.
 *
 * INIT to each, 10 ms, then for each: STARTUP, a while, STARTUP again if it has not come. A page below 1 MiB holds the 16-bit code meanwhile;
 * what was in it is put back. A processor that does not come is reported and left out: those after it move up.
 * Each that comes compares its TSC with the boot processor's.
 */
#include "core/bits.h"
#include "core/check.h"
#include "x86/asm/insn_start.h"
#include "x86/boot/memory_map.h"
#include "x86/boot/start.h"
#include "x86/cpu/log.h"
#include "x86/cpu/stacks.h"
#include "x86/cpu/string.h"
#include "x86/irq/irq.h"

#define INIT_US 10000u
#define FIRST_WAIT_US 10000u
#define SECOND_WAIT_US 500000u
#define SLICE_US 10u
#define SYNC_ROUNDS 64u
#define SYNC_ROUNDS_LEAST 4u /* on a busy host an emulator may manage few in the time */
#define SYNC_WAIT_US 500000u

/* For asm/boot.S. */
u64 smp_stack;
struct cpu *smp_cpu;
void smp_arrive(struct cpu *c);

extern const u8 smp_entry[], smp_entry_end[];

static void (*run_there)(struct cpu *);

/* ---- are the TSCs one clock? ---- */

/*
 * Both processors raise one common value to what their TSC says, in turns; a TSC that lies behind what the other has already written shows
 * that they differ by more than a message takes.
 */
static struct { u64 last; u32 backwards, rounds[2]; } sync;

static void sync_turns(u32 me)
{
	u64 until = rdtsc() + timer_rates.khz * SYNC_WAIT_US / 1000;
	for (u32 i = 0; i < SYNC_ROUNDS; i++) {
		while (__atomic_load_n(&sync.rounds[!me], __ATOMIC_ACQUIRE) < i + me) {
			if ((s64)(rdtsc() - until) > 0)
				return;
			pause();
		}
		u64 last = __atomic_load_n(&sync.last, __ATOMIC_ACQUIRE), now = rdtsc_ordered();
		if (now < last)
			__atomic_fetch_add(&sync.backwards, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&sync.last, now, __ATOMIC_RELEASE);
		__atomic_store_n(&sync.rounds[me], i + 1, __ATOMIC_RELEASE);
	}
}

/* ---- the processor that comes ---- */

static void adopt(struct cpu *c)
{
	trap_init_cpu(c); /* first: what follows may ask for what is not there */
	cpu_enable();
	apic_init_cpu(0);
	timer_init_cpu();
}

/* From asm/boot.S, on its own early stack, with the early tables. */
void smp_arrive(struct cpu *c)
{
	adopt(c);
	c->online = true;
	sync_turns(1);
	run_there(c);
	panic("processor %u came back from its work", c->id);
}

/* ---- the processor that calls ---- */

static bool wait_online(const struct cpu *c, u32 microseconds)
{
	for (u32 waited = 0; waited < microseconds && !c->online; waited += SLICE_US)
		delay_us(SLICE_US);
	return c->online;
}

static bool start_one(struct cpu *c, u64 page)
{
	u32 startup = (u32)APIC_STARTUP | APIC_ASSERT | (u32)(page >> PAGE_SHIFT);
	smp_cpu = c;
	smp_stack = (u64)&cpu_stacks[c->id] + sizeof(struct cpu_stacks);
	memset(&sync, 0, sizeof(sync));
	full_fence();
	apic_send(c->apic_id, startup);
	if (!wait_online(c, FIRST_WAIT_US)) {
		apic_send(c->apic_id, startup);
		if (!wait_online(c, SECOND_WAIT_US))
			return false;
	}
	sync_turns(0);
	return true;
}

static void init_all(const struct boot_info *boot)
{
	for (u32 i = 1; i < boot->cpu_count; i++)
		apic_send(boot->apic_id[i], APIC_INIT | APIC_ASSERT | APIC_LEVEL);
	delay_us(INIT_US);
}

/* With its id already given: trap_init_cpu and the stacks go by it. */
static struct cpu *prepare(u32 id, u32 apic)
{
	struct cpu *c = &cpus[id];
	*c = (struct cpu){ .self = c, .id = id, .apic_id = apic };
	return c;
}

static void start_all(const struct boot_info *boot, u64 page)
{
	for (u32 i = 1; i < boot->cpu_count; i++) {
		struct cpu *c = prepare(cpu_total, boot->apic_id[i]);
		if (!start_one(c, page)) {
			/* INIT keeps a late one from arriving on a stack that the next one has. */
			apic_send(c->apic_id, APIC_INIT | APIC_ASSERT | APIC_LEVEL);
			log_line("processor with APIC id %u did not start; going on without it", c->apic_id);
			continue;
		}
		cpu_total++;
		if (sync.backwards || sync.rounds[0] < SYNC_ROUNDS_LEAST) {
			log_line("processor %u: its TSC is not in step with processor 0's (%u of %u times behind)", c->id, sync.backwards,
				 2 * sync.rounds[0]);
			boot_tsc_is_unsteady();
		}
	}
}

/* With the 16-bit code in the page, which then gets back what it held. */
static void start_by(const struct boot_info *boot, u64 page)
{
	static u8 kept[PAGE_SIZE];
	u64 size = (u64)smp_entry_end - (u64)smp_entry;
	CHECK(size <= sizeof(kept));
	u8 *at = early_at(hpa(page));
	memcpy(kept, at, size);
	memcpy(at, smp_entry, size);
	init_all(boot);
	start_all(boot, page);
	memcpy(at, kept, size);
}

void smp_start(const struct boot_info *boot, void (*ap_main)(struct cpu *))
{
	u64 page = memory_map_low_page(boot);
	CHECK(this_cpu()->id == 0 && cpu_total == 1);
	run_there = ap_main;
	if (boot->cpu_count > 1 && page)
		start_by(boot, page);
	else if (boot->cpu_count > 1)
		log_line("no memory below 1 MiB to start other processors in");
	log_line("%u processor%s, TSC at %lu kHz, %s", cpu_total, cpu_total == 1 ? "" : "s", boot->tsc_khz,
		 boot->tsc_steady ? "steady" : "not steady");
}
