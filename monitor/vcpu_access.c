/*
 * vcpu_access: see vcpu_access.h.
 */
#include "monitor/vcpu_access.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/call.h"
#include "monitor/lib/log.h"
#include "monitor/lib/string.h"

#define VECTOR_UD 6u
#define VECTOR_PF 14u
/* #DF, #TS, #NP, #SS, #GP, #PF, #AC push an error code. */
#define VECTORS_WITH_ERROR (BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17))
#define ANSWER_VECTOR 0xffull
#define ANSWER_ERROR_SHIFT 8u
#define ANSWER_GPA 0x000fffffffffffffull

/* What MON_GVA_READ or MON_GVA_WRITE answered. */
static enum emulate_access judge(u64 answer, u64 *gpa, struct emulate_fault *fault)
{
	if (answer == 0)
		return EMULATE_ACCESS_DONE;
	if (answer & MON_ACCESS_DEVICE) {
		*gpa = answer & ANSWER_GPA;
		return EMULATE_ACCESS_DEVICE;
	}
	if (answer & MON_ACCESS_ENDED)
		return EMULATE_ACCESS_NOWHERE;
	fault->vector = (u32)(answer & ANSWER_VECTOR) % 32;
	fault->has_error = (VECTORS_WITH_ERROR & BIT(fault->vector)) != 0;
	fault->error = (u32)(answer >> ANSWER_ERROR_SHIFT) & 0xffffu;
	fault->cr2 = fault->vector == VECTOR_PF ? ring0_comm()->vcpu.cr2 : 0;
	return EMULATE_ACCESS_FAULT;
}

static bool is_lapic(const struct vcpu_access *a, u64 gpa)
{
	return (gpa & ~PAGE_MASK) == a->lapic;
}

/* The local APIC is ring 0's; every other device is the machine's. */
static u64 mmio_read(void *context, u64 gpa, u32 size)
{
	const struct vcpu_access *a = context;

	return is_lapic(a, gpa) ? ring0_lapic_read(a->vcpu, gpa, size) : machine_mmio_read(a->machine, gpa, size);
}

static void mmio_write(void *context, u64 gpa, u32 size, u64 value)
{
	const struct vcpu_access *a = context;

	if (is_lapic(a, gpa))
		ring0_lapic_write(a->vcpu, gpa, size, value);
	else
		machine_mmio_write(a->machine, gpa, size, value);
}

static enum emulate_access read_piece(void *context, u64 gva, u8 *to, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	const struct vcpu_access *a = context;
	enum emulate_access result = judge(ring0_gva_read(a->vcpu, gva, length, 0), gpa, fault);

	if (result == EMULATE_ACCESS_DONE)
		memcpy(to, ring0_comm()->buffer, length);
	return result;
}

static enum emulate_access write_piece(void *context, u64 gva, const u8 *from, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	const struct vcpu_access *a = context;

	memcpy(ring0_comm()->buffer, from, length);
	return judge(ring0_gva_write(a->vcpu, gva, length), gpa, fault);
}

static u32 first_half(u64 gva, u32 length)
{
	return (u32)min_u64(length, PAGE_SIZE - (gva & PAGE_MASK));
}

static enum emulate_access read_linear(void *context, u64 gva, void *to, u32 length, u64 *gpa, struct emulate_fault *fault)
{
	enum emulate_access result = read_piece(context, gva, to, length, gpa, fault);
	u32 first = first_half(gva, length);

	if (result != EMULATE_ACCESS_DEVICE || first == length)
		return result;
	/* A device on one side of a page boundary: ring 0 has judged both halves. */
	for (u32 done = 0, part = first; done < length; done += part, part = length - done) {
		result = read_piece(context, gva + done, (u8 *)to + done, part, gpa, fault);
		for (u32 i = 0; result == EMULATE_ACCESS_DEVICE && i < part; i++)
			((u8 *)to)[done + i] = (u8)mmio_read(context, *gpa + i, 1);
		if (result == EMULATE_ACCESS_FAULT)
			return result;
	}
	return EMULATE_ACCESS_DONE;
}

static enum emulate_access write_linear(void *context, u64 gva, const void *from, u32 length, u64 *gpa,
					struct emulate_fault *fault)
{
	enum emulate_access result = write_piece(context, gva, from, length, gpa, fault);
	u32 first = first_half(gva, length);

	if (result != EMULATE_ACCESS_DEVICE || first == length)
		return result;
	for (u32 done = 0, part = first; done < length; done += part, part = length - done) {
		result = write_piece(context, gva + done, (const u8 *)from + done, part, gpa, fault);
		for (u32 i = 0; result == EMULATE_ACCESS_DEVICE && i < part; i++)
			mmio_write(context, *gpa + i, 1, ((const u8 *)from)[done + i]);
		if (result == EMULATE_ACCESS_FAULT)
			return result;
	}
	return EMULATE_ACCESS_DONE;
}

static enum emulate_access fetch(void *context, u64 gva, void *to, u32 length, struct emulate_fault *fault)
{
	const struct vcpu_access *a = context;
	u64 gpa;
	enum emulate_access result = judge(ring0_gva_read(a->vcpu, gva, length, MON_FETCH), &gpa, fault);

	if (result == EMULATE_ACCESS_DONE)
		memcpy(to, ring0_comm()->buffer, length);
	return result == EMULATE_ACCESS_DEVICE ? EMULATE_ACCESS_NOWHERE : result; /* no code in devices */
}

static u32 in(void *context, u16 port, u32 size)
{
	const struct vcpu_access *a = context;

	return machine_in(a->machine, port, size);
}

static void out(void *context, u16 port, u32 size, u32 value)
{
	const struct vcpu_access *a = context;

	machine_out(a->machine, port, size, value);
}

/*
 * A guest's program that may use one port, or a device's page, must not get at another port by another vCPU that makes an OUT of its
 * instruction meanwhile.
 */
static bool port_judged(void *context, u16 port, u32 size, bool out)
{
	const struct vcpu_access *a = context;

	return size == a->judged.size && port == a->judged.port && out == a->judged.out;
}

const struct emulate_ops vcpu_access_ops = {
	.read = read_linear,
	.write = write_linear,
	.fetch = fetch,
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.in = in,
	.out = out,
	.port_judged = port_judged,
};

static u64 low_bytes(const u8 *bytes)
{
	u64 value = 0;

	for (u32 i = 0; i < sizeof(value); i++)
		value = value << 8 | bytes[i];
	return value;
}

static void unknown(u32 vcpu, const struct mon_vcpu *cpu, const u8 *bytes, u32 length)
{
	log_line("vcpu %u: the instruction at %lx cannot be emulated: %u bytes, beginning with %lx", vcpu, cpu->rip, length,
		 low_bytes(bytes));
	ring0_emulate_fault(vcpu, VECTOR_UD, 0, 0);
}

static void deliver(u32 vcpu, const struct mon_vcpu *before, const struct mon_vcpu *after, const struct emulate_fault *f)
{
	if (memcmp(before->gpr, after->gpr, sizeof(before->gpr)) != 0) { /* a REP got part of the way */
		ring0_comm()->vcpu = *after;
		ring0_set_vcpu(vcpu);
	}
	ring0_emulate_fault(vcpu, f->vector, f->has_error ? f->error | MON_HAS_ERROR : 0, f->cr2);
}

void vcpu_emulate(struct machine *m, const struct mon_entry *entry)
{
	struct vcpu_access access = { m, entry->vcpu, entry->emulate.lapic, { entry->emulate.port, entry->emulate.port_bytes, entry->emulate.write } };
	/* Copies: the calls made on the way use the comm page. */
	struct mon_vcpu before = ring0_comm()->vcpu, cpu = before;
	struct emulate_fault fault = { 0 };
	u8 bytes[sizeof(entry->emulate.bytes)];
	u32 length = (u32)min_u64(entry->emulate.length, 15);
	enum emulate_result result;

	memcpy(bytes, entry->emulate.bytes, sizeof(bytes));
	result = emulate_instruction(&vcpu_access_ops, &access, &cpu, bytes, length, &fault);
	if (m->ended)
		return;
	switch (result) {
	case EMULATE_DONE:
		ring0_comm()->vcpu = cpu;
		ring0_emulated(access.vcpu);
		break;
	case EMULATE_RETRY:
		ring0_emulate_retry(access.vcpu);
		break;
	case EMULATE_FAULT:
		deliver(access.vcpu, &before, &cpu, &fault);
		break;
	case EMULATE_UNKNOWN:
		unknown(access.vcpu, &cpu, bytes, length);
		break;
	}
}
