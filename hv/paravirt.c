/*
 * paravirt: what a guest and the hypervisor tell each other, by KVM's rules, so that vCPUs that share processors do not wait for one that
 * is not running. docs/paravirt.md has the whole story.
 *
 *   guest -> here   hypercalls: wake that vCPU, interrupt these, let another run
 *   here  -> guest  one page a vCPU: how long it waited for a processor, and whether it waits now
 *   guest -> here   in the same page: "forget your translations before you go on"
 */
#include "hv/hv.h"
#include "hv/point.h"
#include "x86/asm/insn.h"

/* ---- hypercalls ---- */

enum hypercall { CALL_POLL_IRQ = 1, CALL_KICK = 5, CALL_SEND_IPI = 10, CALL_YIELD = 11 };
enum { CALL_EPERM = -1, CALL_EINVAL = -22, CALL_ENOSYS = -1000 };

/* SEND_IPI's fourth argument is an ICR; its destination is in the bitmap. */
#define ICR_KIND(icr) ((enum lapic_kind)((icr) >> 8 & 7))
#define ICR_ELSEWHERE (BIT(11) | BITS(19, 18)) /* logical mode, shorthands */

/*
 * a[0] and a[1] are a bitmap of APIC IDs that begins at a[2]. There are so few that the first word names all that can exist, in 32-bit
 * code too. Answers how many have accepted it.
 */
static_assert(VM_MAX_VCPUS <= 32, "one word");
static s64 send_ipi(struct vm *vm, const u64 a[4])
{
	struct lapic_message m = { .kind = ICR_KIND(a[3]), .vector = (u8)a[3] };
	s64 sent = 0;
	if (a[3] & ICR_ELSEWHERE || (m.kind != LAPIC_FIXED && m.kind != LAPIC_NMI))
		return CALL_EINVAL;
	for (u64 id = a[2]; id < vm->vcpus; id++)
		if (a[0] >> (id - a[2]) & 1 && (m.kind == LAPIC_NMI || lapic_enabled(&vm->vcpu[id].lapic))) {
			interrupts_deliver(&vm->vcpu[id], &m);
			sent++;
		}
	return sent;
}

static s64 call(struct vm *vm, u64 number, const u64 a[4], enum action *then)
{
	u64 id = number == CALL_KICK ? a[1] : a[0]; /* APIC IDs are the vCPUs' numbers */
	struct vcpu *target = id < vm->vcpus ? &vm->vcpu[id] : NULL;
	if (number == CALL_SEND_IPI)
		return send_ipi(vm, a);
	if (number == CALL_KICK && target)
		interrupts_request(target, REQUEST_KICK);
	if (number == CALL_YIELD && target) {
		sched_yield_to(&target->entity);
		*then = ACTION_YIELD;
	}
	return number == CALL_POLL_IRQ || number == CALL_KICK || number == CALL_YIELD ? 0 : CALL_ENOSYS;
}

/* Outside of 64-bit code registers have 32 bits: what stands above them is not the caller's. */
enum action paravirt_call(struct vcpu *v)
{
	u64 *r = v->g->gpr;
	struct guest_mode m;
	enum action then = ACTION_RESUME;
	backend->mode(v->g, &m);
	u64 mask = m.bits == 64 ? UINT64_MAX : UINT32_MAX;
	const u64 a[4] = { r[MON_RBX] & mask, r[MON_RCX] & mask, r[MON_RDX] & mask, r[MON_RSI] & mask };
	r[MON_RAX] = (u64)(m.cpl != 0 ? CALL_EPERM : call(v->entity.vm, r[MON_RAX] & mask, a, &then)) & mask;
	return then;
}

/* ---- the page ---- */

/* KVM's struct kvm_steal_time: ns; a version, odd while they are written (never: it is one store); in the lowest byte enum preempted. */
struct steal_page { u64 steal; u32 version, flags, preempted, pad[11]; };
static_assert(sizeof(struct steal_page) == 64 && offsetof(struct steal_page, preempted) == 16, "KVM");

enum preempted { RUNNING = 0, PREEMPTED = 1 }; /* the guest makes PREEMPTED 3: flush before you go on */
#define STEAL_ENABLE 1ull
#define STEAL_RESERVED BITS(5, 1)
#define NS_PER_MS 1000000ull

status paravirt_write(u64 at, const void *page, u64 bytes)
{
	u8 last; /* of two pages both are there, or neither is written */
	status r = window_read(gpa(at + bytes - 1), &last, sizeof last);
	if (r == OK)
		r = window_write(gpa(at), page, bytes);
	return r == BAD_ADDRESS || r == DEVICE || r == DENIED ? FAULT : r;
}

status paravirt_write_steal(struct vcpu *v, u32 msr, u64 value)
{
	static const struct steal_page fresh;
	(void)msr;
	if (!v->entity.vm->cpuid.steal_time || value & STEAL_RESERVED)
		return FAULT;
	status r = value & STEAL_ENABLE ? paravirt_write(value & ~STEAL_ENABLE, &fresh, sizeof fresh) : OK;
	if (r == OK)
		v->steal = (struct steal){ .msr = value };
	return r;
}

static u64 page_at(const struct vcpu *v) { return v->steal.msr & ~STEAL_ENABLE; }
static u64 preempted_at(const struct vcpu *v) { return page_at(v) + offsetof(struct steal_page, preempted); }

/*
 * Only between two instructions: from now on others may leave a flush in the page instead of waiting for this vCPU, and one whose access
 * the monitor still works on would finish it by the old translation.
 */
enum turn paravirt_yield(struct vcpu *v)
{
	if (v->steal.msr & STEAL_ENABLE && !v->blocked)
		v->steal.told = window_exchange(NULL, gpa(preempted_at(v)), sizeof(u32), RUNNING, PREEMPTED) == OK;
	return TURN_YIELD;
}

/*
 * Until the page says RUNNING others rely on the flush, so the vCPU does not run before. PREEMPTED becoming RUNNING in one exchange
 * proves that nobody asked; in any other case it is stored, and all of this vCPU's translations are forgotten after that.
 */
static bool take_back(struct vcpu *v)
{
	u64 came = __atomic_load_n(&mm.alloc.came, __ATOMIC_SEQ_CST);
	at_hv_point(v, HV_POINT_RESUMES);
	if (window_exchange(NULL, gpa(preempted_at(v)), sizeof(u32), PREEMPTED, RUNNING) != OK) {
		status r = paravirt_write(preempted_at(v), &(const u32){ RUNNING }, sizeof(u32));
		if (r == NO_MEMORY)
			vm_starve(v->entity.vm, came);
		if (r == FAULT)
			v->steal.msr = 0; /* there is no memory any more */
		else if (r != OK)
			return false;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		tag_forget(&v->g->tag);
	}
	v->steal.told = false;
	return true;
}

/* An update that does not reach the page comes with the next one. */
bool paravirt_resume(struct vcpu *v)
{
	struct steal *s = &v->steal;
	u64 waited = v->entity.waited;
	if (s->told && !take_back(v))
		return false;
	if (s->msr & STEAL_ENABLE && s->shown != waited) {
		u64 ns = waited / host_tsc_khz * NS_PER_MS + waited % host_tsc_khz * NS_PER_MS / host_tsc_khz;
		struct steal_page page = { .steal = ns, .version = s->version += 2 };
		(void)!window_write(gpa(page_at(v)), &page, offsetof(struct steal_page, preempted));
		s->shown = waited;
	}
	return true;
}
