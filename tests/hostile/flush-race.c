/*
 * flush-race: a guest's own flush for a vCPU that has no processor, left in that vCPU's page while it is about to get one: it comes back under a
 * new tag, so that nothing which it has cached is left. And no two vCPUs are ever under one tag. (MV-52, MV-51)
 *
 * Three vCPUs on two processors: the watcher reads a page by its own translation, the third one makes the processors scarce. The watcher
 * is stopped where its page still says that it does not run.
 */
#include "lib/kvm.h"
#include "points.h"

#define WINDOW 0x200000000ull
#define RIGHTS (PTE_P | PTE_W | PTE_U)
enum { WATCHER = 1, VCPUS = 3, TIMES = 12, SHARE = 5000 };

static struct steal *page[VCPUS];
static volatile bool enough;
static volatile u64 seen;
static volatile u32 rounds, ended;

/* KVM's call: the caller is preempted then, and the one that asks for flushes gets its turn although the watcher, stopped, holds a processor. */
static void yield_to(u64 id)
{
	u64 answer;

	__asm__ volatile("vmmcall" : "=a"(answer) : "a"(11ull), "b"(id) : "memory");
}

static void scarce(void)
{
	traps_load();
	lapic_enable();
	u32 self = own_id();

	wrmsr(MSR_STEAL_TIME, (word)page[self] | KVM_ENABLE);
	__atomic_fetch_add(&others_started, 1, __ATOMIC_SEQ_CST);
	for (u32 turns = 1; !enough; turns++) {
		if (self == WATCHER) {
			seen = *(volatile u64 *)WINDOW;
			rounds++;
		}
		if (turns % SHARE == 0)
			yield_to(0);
	}
	__atomic_fetch_add(&ended, 1, __ATOMIC_SEQ_CST);
}

static bool comes_to(const volatile u32 *what, u32 n)
{
	for (unsigned i = 0; i < POLLS && (s64)*what - n < 0; i++)
		points(POINTS_STATE, 0, 0);
	return (s64)*what - n >= 0;
}

static void flush(void)
{
	volatile u64 *place[2] = { page_alloc(), page_alloc() };
	u32 stopped = 0, deferred = 0, forgotten = 0, fresh = 0, gone = 0;

	for (unsigned i = 1; i <= TIMES; i++) {
		stop_at(HV_POINT_RESUMES, WATCHER);
		stopped += is_stopped();
		u64 before = points(POINTS_TAG, WATCHER, 0);
		*place[i & 1] = i;
		*(volatile u64 *)pte_at(read_cr3(), WINDOW, 1) = (word)place[i & 1] | RIGHTS;
		bool left = ask_flush(page[WATCHER]);
		u32 now = rounds;
		deferred += left && points(POINTS_LET_GO, 0, 0) == POINTS_STOPPED;
		if (!comes_to(&rounds, now + 2))
			break;
		fresh += seen == i;
		forgotten += points(POINTS_TAG, WATCHER, 0) != before;
		gone += !(page[WATCHER]->preempted & FLUSH);
	}
	check_equal("the watcher stops on its way back", stopped, TIMES);
	check_equal("  a flush is left for it", deferred, TIMES);
	check_equal("  it goes on under another tag", forgotten, TIMES);
	check_equal("  and reads the new page", fresh, TIMES);
	check_equal("  the wish is gone", gone, TIMES);
}

static void tags(void)
{
	u64 tag[VCPUS];
	u32 apart = 0;

	for (unsigned i = 0; i < VCPUS; i++)
		tag[i] = points(POINTS_TAG, i, 0);
	for (unsigned i = 0; i < VCPUS; i++)
		apart += tag[i] && tag[i] != tag[(i + 1) % VCPUS];
	check_equal("each vCPU has a tag of its own", apart, VCPUS);
}

GUEST(flush_race)
{
	for (unsigned i = 0; i < VCPUS; i++)
		page[i] = page_alloc();
	if (!points_are_there())
		return;
	map(WINDOW, (word)page_alloc(), RIGHTS, 1);
	wrmsr(MSR_STEAL_TIME, (word)page[0] | KVM_ENABLE);
	if (!start_others(VCPUS - 1, scarce))
		return;
	tags();
	flush();
	tags();
	enough = true;
	check("the others come to an end", comes_to(&ended, VCPUS - 1));
}
