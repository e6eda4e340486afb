/*
 * instruction: fetching, judging and leaving behind the instruction that caused an exit.
 *
 * The bytes are fetched as the guest's processor would, through its own tables; the instruction there must be the one that the exit names,
 * or another vCPU has changed it meanwhile: then the guest runs again and nothing has happened.
 */
#include "core/bits.h"
#include "core/gwalk_fast.h"
#include "hv/hv.h"
#include "hv/point.h"
#include "x86/asm/insn.h"
#include "x86/cpu/regs.h"
#include "x86/decode.h"

#define HALF_CANONICAL 0xffffffffull

static const struct gwalk_memory memory = { .read = window_load, .exchange = window_exchange };

/* ---- events ---- */

void inject(struct vcpu *v, u8 vector, bool has_error, u32 error)
{
	v->g->event = (struct event){ .valid = true, .type = EVENT_OF_EXCEPTION, .vector = vector, .has_error = has_error, .error = error };
}

void inject_gp(struct vcpu *v)
{
	inject(v, VECTOR_GP, true, 0);
}

void inject_ud(struct vcpu *v)
{
	inject(v, VECTOR_UD, false, 0);
}

static void inject_pf(struct vcpu *v, u64 address, u32 error)
{
	backend->write_cr(v->g, 2, address);
	write_cr2(address); /* as at the start of a turn */
	inject(v, VECTOR_PF, true, error);
}

#define RARE __attribute__((noinline))

static RARE u64 wrap_rip(const struct vcpu *v, u64 rip)
{
	struct guest_mode m;
	if (rip <= UINT16_MAX)
		return rip;
	backend->mode(v->g, &m);
	return m.bits == 64 ? rip : rip & HALF_CANONICAL;
}

static RARE void trap_after(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	g->rflags &= ~(u64)RFLAGS_RF;
	if (g->rflags & RFLAGS_TF && !g->event.valid) {
		backend->write_dr(g, 6, backend->read_dr(g, 6) | DR6_BS);
		inject(v, VECTOR_DB, false, 0);
	}
}

void advance(struct vcpu *v, u64 next_rip)
{
	struct guest_cpu *g = v->g;
	g->rip = next_rip >> 32 == g->rip >> 32 ? next_rip : wrap_rip(v, next_rip);
	g->shadow = false;
	if (__builtin_expect(g->rflags & (RFLAGS_TF | RFLAGS_RF), 0))
		trap_after(v);
}

/* ---- walking with the vCPU's registers ---- */

static inline bool same_mode(const struct gwalk_registers *a, const struct gwalk_registers *b)
{
	return a->cr0 == b->cr0 && a->cr4 == b->cr4 && a->efer == b->efer && !((a->rflags ^ b->rflags) & RFLAGS_AC);
}

static RARE void make_walk_mode(struct vcpu *v, const struct gwalk_registers *r)
{
	struct gwalk_cpu cpu = { .maxphyaddr = features.phys_bits, .gib_pages = features.gib_pages, .nx = features.nx, .pse36 = true };
	v->walk = gwalk_mode_of(r, &cpu);
	v->walk_of = *r;
}

/* The mode is made from the registers only when they have changed; CR3 alone changes often. */
static inline const struct gwalk_mode *vcpu_walk_mode(struct vcpu *v, const struct gwalk_registers *r)
{
	if (__builtin_expect(!same_mode(r, &v->walk_of), 0))
		make_walk_mode(v, r);
	v->walk.cr3 = r->cr3;
	return &v->walk;
}

struct gwalk_mode vcpu_walk_now(struct vcpu *v)
{
	struct guest_mode m;
	backend->mode(v->g, &m);
	return *vcpu_walk_mode(v, &m.paging);
}

static u64 linear_rip(const struct guest_mode *m, u64 rip)
{
	return m->bits == 64 ? rip : (m->cs_base + rip) & HALF_CANONICAL;
}

/* What a walk in software answers; the processor's own, where no RAM is, ends the VM too (exits.c). */
static RARE status walk_failed(struct vcpu *v, u64 at, status r)
{
	if (r != DEVICE && r != BAD_ADDRESS)
		return r;
	vm_kill(v, "its page tables for %lx lie where there is no RAM", at);
	return DENIED;
}

/* Where the byte at `at` lies. FAULT: the guest gets its #PF. */
static status translate_fetch(struct vcpu *v, const struct guest_mode *m, u64 at, gpa_t *out)
{
	struct gwalk_result w;
	u32 access = GW_FETCH | (m->cpl == 3 ? GW_USER : 0);
	status r = gwalk_with(vcpu_walk_mode(v, &m->paging), &memory, NULL, gva(at), access, true, &w);
	*out = w.at;
	if (__builtin_expect(r == OK, 1))
		return OK;
	if (r == FAULT)
		inject_pf(v, at, w.error);
	return walk_failed(v, at, r);
}

/* The bytes of the instruction at RIP from number `from` on, as far as their page goes. */
static status fetch_part(struct vcpu *v, const struct guest_mode *m, u8 bytes[16], u32 from, u32 *got)
{
	u64 at = linear_rip(m, v->g->rip + from);
	gpa_t place;
	status r = translate_fetch(v, m, at, &place);
	at_hv_point(v, HV_POINT_FETCH);
	*got = from + (u32)min_u64(INSN_MAX_BYTES - from, PAGE_SIZE - (at & PAGE_MASK));
	return r == OK ? window_read(place, bytes + from, *got - from) : r;
}

status fetch(struct vcpu *v, const struct guest_mode *m, u8 bytes[16], u32 *got)
{
	*got = INSN_MAX_BYTES;
	return backend->fetched(v->g, bytes) ? OK : fetch_part(v, m, bytes, 0, got);
}

static enum decode_mode decode_mode_of(const struct guest_mode *m)
{
	return m->bits == 64 ? DECODE_64 : m->bits == 32 ? DECODE_32 : DECODE_16;
}

static status decode_bytes(struct vcpu *v, const struct guest_mode *m, u8 bytes[16], u32 got, struct insn *i)
{
	enum decode_result d = decode(bytes, got, decode_mode_of(m), i);
	if (d == DECODE_MORE && got < INSN_MAX_BYTES) {
		status r = fetch_part(v, m, bytes, got, &got);
		if (r != OK)
			return r;
		d = decode(bytes, got, decode_mode_of(m), i);
	}
	if (d == DECODE_INVALID)
		inject_ud(v);
	else if (d == DECODE_TOO_LONG)
		inject_gp(v);
	else
		return d == DECODE_OK ? OK : NOT_THERE;
	return FAULT;
}

status instruction_decode(struct vcpu *v, struct insn *i)
{
	struct guest_mode m;
	u8 bytes[16];
	u32 got;
	backend->mode(v->g, &m);
	status r = fetch(v, &m, bytes, &got);
	return r == OK ? decode_bytes(v, &m, bytes, got, i) : r;
}

/* Another instruction than the exit named stands there now: run it. If that goes on, the exit's own cannot be decoded: its program's fault. */
#define MISMATCHES_MAX 10000u
static RARE status mismatch(struct vcpu *v)
{
	if (++v->mismatches <= MISMATCHES_MAX)
		return AGAIN;
	v->mismatches = 0;
	inject_ud(v);
	return FAULT;
}

/* It must be `id`. */
static status instruction_named(struct vcpu *v, u32 id, struct insn *i)
{
	status r = instruction_decode(v, i);
	if (r == NOT_THERE || (r == OK && i->id != id))
		return mismatch(v);
	v->mismatches = 0;
	return r;
}

#define PLAIN_LENGTH 2u
#define PLAIN_MASK 0xffffu

status instruction_find_end(struct vcpu *v, u32 plain, u32 id, u64 *next_rip)
{
	struct guest_mode m;
	struct insn i;
	gpa_t place;
	u64 first;
	backend->mode(v->g, &m);
	u64 at = linear_rip(&m, v->g->rip);
	if (plain && (at & PAGE_MASK) <= PAGE_SIZE - sizeof first) {
		status r = translate_fetch(v, &m, at, &place);
		if (r == OK)
			r = window_load(NULL, place, sizeof first, &first);
		if (r != OK)
			return r;
		if ((first & PLAIN_MASK) == plain) {
			*next_rip = v->g->rip + PLAIN_LENGTH;
			v->mismatches = 0;
			return OK;
		}
	}
	status r = instruction_named(v, id, &i);
	if (r == OK)
		*next_rip = v->g->rip + i.length;
	return r;
}

/* ---- guest-virtual copies, for the monitor's emulator ---- */

struct gva_part { gpa_t at; u32 length; };

static status translate_part(struct vcpu *v, const struct gwalk_mode *mode, u64 at, u32 access, struct gva_part *part,
			     struct gva_fault *fault)
{
	struct gwalk_result w;
	status r = gwalk(mode, &memory, NULL, gva(at), access, true, &w);
	if (r == FAULT)
		*fault = (struct gva_fault){ .vector = VECTOR_PF, .error = w.error, .address = at };
	part->at = w.at;
	return r == OK ? OK : walk_failed(v, at, r);
}

static status copy_part(struct gva_part part, u8 *bytes, u32 access, gpa_t *device)
{
	status r = access & GW_WRITE ? window_write(part.at, bytes, part.length) : window_read(part.at, bytes, part.length);
	if (r == DEVICE || r == BAD_ADDRESS || r == DENIED)
		*device = part.at;
	return r;
}

status gva_copy(struct vcpu *v, gva_t at, void *bytes, u32 length, u32 access, struct gva_fault *fault, gpa_t *device)
{
	struct guest_mode m;
	struct gva_part part[2] = { { .length = length } };
	u32 parts = 1;
	backend->mode(v->g, &m);
	struct gwalk_mode mode = *vcpu_walk_mode(v, &m.paging);
	if (!gwalk_canonical(&mode, at) || !gwalk_canonical(&mode, gva(at.v + length - 1))) {
		*fault = (struct gva_fault){ .vector = VECTOR_GP };
		return FAULT;
	}
	if ((at.v & PAGE_MASK) + length > PAGE_SIZE) {
		part[0].length = (u32)(PAGE_SIZE - (at.v & PAGE_MASK));
		part[1].length = length - part[0].length;
		parts = 2;
	}
	at_hv_point(v, HV_POINT_OPERAND);
	for (u32 i = 0, done = 0; i < parts; done += part[i++].length) {
		status r = translate_part(v, &mode, at.v + done, access, &part[i], fault);
		if (r != OK)
			return r;
	}
	for (u32 i = 0, done = 0; i < parts; done += part[i++].length) {
		status r = copy_part(part[i], (u8 *)bytes + done, access, device);
		if (r != OK)
			return r;
	}
	return OK;
}
