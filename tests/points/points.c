/*
 * points: ring 0's marked points in a test build: a guest orders that its vCPU stops when it comes to a point, with interrupts off as ring 0
 * always is, until another processor has passed a second point, or the guest's other vCPU says so (channel.h). It also does on
 * order what the hypervisor does of its own accord only: splitting, merging, protecting and taking away memory of a running guest.
 *
 * One order at a time on a host. Nobody waits for ever: after PATIENCE_MS a processor goes on, and the order says that it gave up.
 */
#include "hv/hv.h"
#include "hv/point.h"
#include "tests/points/channel.h"
#include "x86/asm/insn.h"
#include "x86/svm/vmcb.h"

#define PATIENCE_MS 10000u
#define WATCH_MS 2000u
#define WATCH_TURNS 200u
#define RELEASE_BUDGET 64u

static struct order {
	u32 state; /* enum points_state; by __atomic */
	u32 stop, until;
	struct vcpu *v;
	bool again;
	u32 cpu; /* where it stopped */
} order;

static struct vcpu *current[MAX_CPUS]; /* whose vCPU each processor serves */

static u32 state(void) { return __atomic_load_n(&order.state, __ATOMIC_SEQ_CST); }

static bool becomes(u32 from, u32 to)
{
	return __atomic_compare_exchange_n(&order.state, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* ---- stopping ---- */

static void stop_here(void)
{
	order.cpu = this_cpu()->id;
	if (!becomes(POINTS_WAITING, POINTS_STOPPED))
		return;
	for (u64 end = tsc_now() + host_tsc_khz * PATIENCE_MS; tsc_now() < end && state() == POINTS_STOPPED;)
		pause();
	(void)becomes(POINTS_STOPPED, POINTS_GAVE_UP);
}

static void come_to(struct vcpu *v, u32 point)
{
	switch (state()) {
	case POINTS_WAITING:
		if (point == order.stop && v == order.v)
			stop_here();
		break;
	case POINTS_STOPPED:
		if (point == order.until && this_cpu()->id != order.cpu)
			(void)becomes(POINTS_STOPPED, POINTS_WENT_ON);
		break;
	default:
		break;
	}
}

/* Before anybody has ordered anything a processor may not even know who it is. */
void points_core(unsigned point)
{
	if (state() >= POINTS_WAITING)
		come_to(current[this_cpu()->id], point);
}

/* ---- commands ---- */

static u64 order_stop(struct vcpu *by, u64 point, u64 rest)
{
	struct vm *vm = by->entity.vm;
	u32 vcpu = rest & 0xffff;
	if (state() == POINTS_STOPPED || vcpu >= vm->vcpus)
		return POINTS_NONE;
	__atomic_store_n(&order.state, POINTS_NONE, __ATOMIC_SEQ_CST);
	order.stop = (u32)point;
	order.until = rest >> 16 & 0xffff;
	order.again = rest >> 32;
	order.v = &vm->vcpu[vcpu];
	__atomic_store_n(&order.state, order.v == by ? POINTS_LATER : POINTS_WAITING, __ATOMIC_SEQ_CST);
	return state();
}

static u64 let_go(void)
{
	u64 was = state();
	if (was == POINTS_STOPPED && !becomes(POINTS_STOPPED, order.again ? POINTS_WAITING : POINTS_WENT_ON))
		was = POINTS_GAVE_UP;
	return was;
}

static u64 tag_of(const struct vm *vm, u64 vcpu)
{
	if (vcpu >= vm->vcpus)
		return 0;
	const struct tag *t = &vm->vcpu[vcpu].g->tag;
	return t->generation ? (u64)t->cpu << 56 | t->generation << 32 | t->number : 0;
}

static u64 split(struct vm *vm, gpa_t at)
{
	struct pt_slot slot;
	lock_take(&vm->pmap.lock);
	status r = pt_reach(&vm->nested.table, align_down(at.v, PAGE_SIZE), 1, &slot);
	lock_give(&vm->pmap.lock);
	return (u64)r;
}

static u64 merge(struct vm *vm, gpa_t at)
{
	SETTLEMENT(debt, &mm.settler);
	lock_take(&vm->pmap.lock);
	status r = ptview_merge(&vm->nested, gpa_frame(at), &debt);
	lock_give(&vm->pmap.lock);
	settle(&debt);
	return (u64)r;
}

/* This processor has the page in its own window, and must not have it there afterwards. */
static u64 punch(struct vm *vm, gpa_t at)
{
	gfn_t f = gpa_frame(at);
	u64 done, word;
	if (window_load(NULL, at, sizeof word, &word) != OK)
		return (u64)BAD_ADDRESS;
	SETTLEMENT(debt, &mm.settler);
	lock_take(&vm->pmap.lock);
	status r = ptview_drop(&vm->nested, f, 1, RELEASE_BUDGET, &debt, &done);
	if (r == OK)
		r = ptview_drop(&vm->space.window, f, 1, RELEASE_BUDGET, &debt, &done);
	if (r == OK)
		r = pmap_release(&vm->pmap, f, 1, RELEASE_BUDGET, &debt, &done);
	lock_give(&vm->pmap.lock);
	settle(&debt);
	if (r == OK)
		r = window_load(NULL, at, sizeof word, &word);
	return r == OK && word ? (u64)IN_USE : (u64)r;
}

/*
 * The vCPU of the order stops where it comes out, before it could fault the right in again. As long as it has not come out, it must have had no need
 * to: then it writes still.
 */
static u64 watch_word(gpa_t page)
{
	u64 before, now, end = tsc_now() + host_tsc_khz * WATCH_MS;
	u32 more = WATCH_TURNS;
	if (window_load(NULL, page, sizeof before, &before) != OK)
		return POINTS_REFUSED;
	for (; tsc_now() < end && more; pause()) {
		more -= state() == POINTS_STOPPED;
		if (window_load(NULL, page, sizeof now, &now) != OK || now != before)
			return POINTS_CHANGED;
	}
	return more ? POINTS_UNDECIDED : POINTS_STABLE;
}

static u64 protect(struct vm *vm, gpa_t at)
{
	gpa_t page = gpa(align_down(at.v, PAGE_SIZE));
	SETTLEMENT(debt, &mm.settler);
	lock_take(&vm->pmap.lock);
	status r = ptview_protect(&vm->nested, gpa_frame(page), 1, &debt);
	lock_give(&vm->pmap.lock);
	settle(&debt);
	return r == OK ? watch_word(page) : POINTS_REFUSED;
}

static u64 command(struct vcpu *v, u32 what, u64 a, u64 b)
{
	struct vm *vm = v->entity.vm;
	switch (what) {
	case POINTS_HELLO: return POINTS_THERE;
	case POINTS_STOP: return order_stop(v, a, b);
	case POINTS_STATE: return state();
	case POINTS_LET_GO: return let_go();
	case POINTS_ASK: return __atomic_fetch_or(&cpus[order.cpu].events, CPU_RESCHED, __ATOMIC_SEQ_CST);
	case POINTS_FORGET: return becomes(POINTS_WAITING, POINTS_NONE) || becomes(POINTS_LATER, POINTS_NONE);
	case POINTS_TAG: return tag_of(vm, a);
	case POINTS_SPLIT: return split(vm, gpa(a));
	case POINTS_MERGE: return merge(vm, gpa(a));
	case POINTS_PUNCH: return punch(vm, gpa(a));
	case POINTS_PROTECT: return protect(vm, gpa(a));
	default: return 0;
	}
}

static void after_exit(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	if (order.v == v)
		(void)becomes(POINTS_LATER, POINTS_WAITING);
	if (g->exit.code == VMEXIT_CPUID && (u32)g->gpr[MON_RAX] == POINTS_LEAF)
		g->gpr[MON_RSI] = command(v, (u32)g->gpr[MON_RCX], g->gpr[MON_RDI], g->gpr[MON_R8]);
}

void points_hv(struct vcpu *v, unsigned point)
{
	current[this_cpu()->id] = v;
	if (point == HV_POINT_EXIT)
		after_exit(v);
	points_core(point);
}
