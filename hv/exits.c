/*
 * exits: what an exit leads to, as a const table. What ring 0 can settle by itself ends here; the rest becomes an entry in the
 * monitor's queue, and the vCPU sleeps until it is answered.
 */
#include "core/bits.h"
#include "hv/hv.h"
#include "x86/asm/access.h"
#include "x86/asm/insn.h"
#include "x86/cpu/log.h"
#include "x86/cpu/regs.h"
#include "x86/decode.h"

static enum action exit_interrupt(struct vcpu *v)
{
	(void)v;
	interrupts_take();
	return ACTION_RESUME;
}

static enum action exit_resume(struct vcpu *v)
{
	(void)v;
	return ACTION_RESUME;
}

static enum action exit_nmi_window(struct vcpu *v)
{
	v->iret_rip = v->g->rip;
	return ACTION_RESUME;
}

/* An answer that depends on the vCPU's state. XCR0 as the processor has it: an emulator may let guests set it without an exit. */
static __attribute__((noinline)) void patch_cpuid(struct vcpu *v, const struct cpuid_row *row, u32 subleaf, u32 out[CPUID_REGISTERS])
{
	struct cpuid_dynamic d = { .apic_id = v->id, .apic_enabled = lapic_globally_enabled(&v->lapic),
				   .cr4 = backend->read_cr(v->g, 4), .xcr0 = features.xsave ? xgetbv(0) : v->g->xcr0 };
	cpuid_patch(&v->entity.vm->cpuid, row, subleaf, &d, out);
}

static enum action exit_cpuid(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	u64 next;
	if (instruction_end(v, PLAIN_CPUID, INSN_CPUID, &next) != OK)
		return ACTION_RESUME;
	u32 subleaf = (u32)g->gpr[MON_RCX];
	const struct cpuid_row *row = cpuid_find(&v->entity.vm->cpuid, (u32)g->gpr[MON_RAX], subleaf);
	const u32 *answer = row->out;
	u32 patched[CPUID_REGISTERS];
	if (row->patch) {
		__builtin_memcpy(patched, row->out, sizeof patched);
		patch_cpuid(v, row, subleaf, patched);
		answer = patched;
	}
	g->gpr[MON_RAX] = answer[CPUID_EAX];
	g->gpr[MON_RBX] = answer[CPUID_EBX];
	g->gpr[MON_RCX] = answer[CPUID_ECX];
	g->gpr[MON_RDX] = answer[CPUID_EDX];
	advance(v, next);
	return ACTION_RESUME;
}

static enum action exit_hlt(struct vcpu *v)
{
	u64 next;
	if (instruction_end(v, 0, INSN_HLT, &next) != OK)
		return ACTION_RESUME;
	advance(v, next);
	if (!v->g->event.valid)
		__atomic_fetch_or(&v->blocked, BLOCK_HALT, __ATOMIC_SEQ_CST);
	return ACTION_RESUME; /* the loop looks whether it may run, and sleeps if not */
}

/* ---- memory ---- */

static enum action ask_emulation(struct vcpu *v, u64 address, bool mmio, bool write, u16 port)
{
	struct guest_mode m;
	struct mon_entry e = { .kind = MON_ENTRY_EMULATE, .vcpu = v->id };
	u8 bytes[16];
	u32 got;
	backend->mode(v->g, &m);
	if (fetch(v, &m, bytes, &got) != OK)
		return ACTION_RESUME;
	e.emulate.address = address;
	e.emulate.is_mmio = mmio;
	e.emulate.write = write;
	e.emulate.port = port;
	e.emulate.port_bytes = mmio ? 0 : v->g->exit.io.size;
	e.emulate.length = (u16)got;
	e.emulate.lapic = lapic_has_page(&v->lapic) ? lapic_page(&v->lapic) : MON_NO_PAGE;
	__builtin_memcpy(e.emulate.bytes, bytes, got);
	v->p->exit = e;
	return monitor_post_exit(v);
}

/*
 * Plain moves of one operand, in the direction that the processor has judged: another vCPU may have made a store of the load that faulted.
 * false: the emulator's, which judges for itself.
 */
static bool is_plain_move(const struct insn *i, bool write)
{
	bool load = i->id == INSN_LOAD || i->id == INSN_LOAD_ZERO || i->id == INSN_LOAD_SIGN;
	return i->memory && (write ? i->id == INSN_STORE : load);
}

void exit_finish_load(struct vcpu *v, const struct insn *i, u64 value)
{
	u32 bits = i->memory_size * 8u;
	if (i->id == INSN_LOAD_SIGN && bits < 64)
		value = (u64)((s64)(value << (64 - bits)) >> (64 - bits));
	insn_set(i, v->g->gpr, i->reg, i->operand_size, value);
}

static u64 store_value(const struct vcpu *v, const struct insn *i)
{
	return i->has_immediate ? i->immediate : insn_get(i, v->g->gpr, i->reg, i->operand_size);
}

/* Is the fault at the start of a page the second half of an access that began in the page before? */
static bool began_before(struct vcpu *v, const struct insn *i, gpa_t at)
{
	struct mon_vcpu s;
	if (at.v & PAGE_MASK)
		return false;
	backend->get(v->g, &s);
	const struct mon_segment *segments[] = { &s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs };
	return (segments[i->segment]->base + insn_offset(i, s.gpr, s.rip)) & PAGE_MASK;
}

/* Such an access is the emulator's, which does both halves. */
static bool crosses_page(struct vcpu *v, const struct insn *i, gpa_t at)
{
	return (at.v & PAGE_MASK) + i->memory_size > PAGE_SIZE || began_before(v, i, at);
}

static enum action lapic_access(struct vcpu *v, gpa_t at, bool write)
{
	struct insn i;
	u32 offset = at.v & PAGE_MASK;
	status r = instruction_decode(v, &i);
	if (r == NOT_THERE || (r == OK && (!is_plain_move(&i, write) || crosses_page(v, &i, at))))
		return ask_emulation(v, at.v, true, write, 0);
	if (r != OK)
		return ACTION_RESUME;
	if (i.id == INSN_STORE)
		lapic_write(&v->lapic, offset, i.memory_size, store_value(v, &i), vcpu_tsc(v));
	else
		exit_finish_load(v, &i, lapic_read(&v->lapic, offset, i.memory_size, vcpu_tsc(v)));
	if (lapic_deadline(&v->lapic) != v->timer_for)
		vcpu_timer_changed(v);
	advance(v, v->g->rip + i.length);
	return ACTION_RESUME;
}

/* An access to what is no RAM: reads all ones, writes go nowhere, unless a device is there. The monitor does both. */
static enum action device_access(struct vcpu *v, gpa_t at, bool write)
{
	struct insn i;
	if (v->g->exit.nested.table)
		return vm_kill(v, "its page tables lie at %lx, where there is no RAM", at.v);
	/* Not an access of the instruction at RIP: to carry that out would be wrong, and the event would come back for ever. */
	if (v->g->event.valid)
		return vm_kill(v, "event %x is delivered by way of %lx, where there is no RAM", v->g->event.vector, at.v);
	if (v->g->exit.nested.access == PMAP_EXEC)
		return vm_kill(v, "it executes at %lx, where there is no RAM", at.v);
	if ((at.v & ~PAGE_MASK) == lapic_page(&v->lapic) && lapic_has_page(&v->lapic))
		return lapic_access(v, at, write);
	status r = instruction_decode(v, &i);
	if (r == OK && is_plain_move(&i, write) && !crosses_page(v, &i, at)) {
		v->p->exit = (struct mon_entry){ .kind = MON_ENTRY_MMIO, .vcpu = v->id };
		v->p->exit.mmio.address = at.v;
		v->p->exit.mmio.size = i.memory_size;
		v->p->exit.mmio.write = i.id == INSN_STORE;
		v->p->exit.mmio.value = i.id == INSN_STORE ? store_value(v, &i) : 0;
		v->p->insn = i;
		return monitor_post_exit(v);
	}
	if (r != OK && r != NOT_THERE)
		return ACTION_RESUME;
	return ask_emulation(v, at.v, true, write, 0);
}

static enum action exit_nested(struct vcpu *v)
{
	struct vm *vm = v->entity.vm;
	gpa_t at = v->g->exit.nested.at;
	u64 came = __atomic_load_n(&mm.alloc.came, __ATOMIC_SEQ_CST);
	u8 access = v->g->exit.nested.access;
	status r = ptview_resolve(&vm->nested, at, access);
	if (r == OK || r == AGAIN)
		return ACTION_RESUME;
	if (r == DEVICE || r == BAD_ADDRESS || r == DENIED)
		return device_access(v, at, access == PMAP_WRITE);
	if (r != NO_MEMORY)
		return vm_kill(v, "guest address %lx cannot be resolved (%s)", at.v, status_name(r));
	vm_starve(vm, came);
	return ACTION_RESUME;
}

static enum action exit_io(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	if (g->exit.io.string)
		return ask_emulation(v, 0, false, !g->exit.io.in, g->exit.io.port);
	v->p->exit = (struct mon_entry){ .kind = MON_ENTRY_IO, .vcpu = v->id };
	v->p->exit.io.port = g->exit.io.port;
	v->p->exit.io.size = g->exit.io.size;
	v->p->exit.io.out = !g->exit.io.in;
	v->p->exit.io.value = g->gpr[MON_RAX] & (g->exit.io.size == 1 ? UINT8_MAX : g->exit.io.size == 2 ? UINT16_MAX : UINT32_MAX);
	return monitor_post_exit(v);
}

/* ---- registers ---- */

static u64 cr4_allowed(void)
{
	return CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT |
	       (features.fsgsbase ? CR4_FSGSBASE : 0) | (features.xsave ? CR4_OSXSAVE : 0) | (features.smep ? CR4_SMEP : 0) |
	       (features.smap ? CR4_SMAP : 0) | (features.umip ? CR4_UMIP : 0);
}

static bool guest_write_cr4(struct vcpu *v, u64 value)
{
	bool long_mode = backend->read_msr(v->g, MSR_EFER) & EFER_LMA;
	if (value & ~cr4_allowed() || (long_mode && !(value & CR4_PAE)))
		return false;
	backend->write_cr(v->g, 4, value);
	return true;
}

static bool guest_write_cr8(struct vcpu *v, u64 value)
{
	if (value > 15)
		return false;
	lapic_set_cr8(&v->lapic, (u32)value);
	return true;
}

static enum action exit_cr(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	struct insn i;
	status r = backend->mov_cr(g, &i) ? OK : instruction_decode(v, &i);
	if (r != OK || (i.id != INSN_MOV_TO_CR && i.id != INSN_MOV_FROM_CR))
		return ACTION_RESUME;
	bool good = true;
	if (i.id == INSN_MOV_FROM_CR)
		insn_set(&i, g->gpr, i.rm, i.operand_size, i.reg == 8 ? lapic_cr8(&v->lapic) : backend->read_cr(g, i.reg));
	else if (i.reg == 8)
		good = guest_write_cr8(v, insn_get(&i, g->gpr, i.rm, i.operand_size));
	else if (i.reg == 4)
		good = guest_write_cr4(v, insn_get(&i, g->gpr, i.rm, i.operand_size));
	else
		return ACTION_RESUME;
	if (!good)
		inject_gp(v);
	else
		advance(v, g->rip + i.length);
	return ACTION_RESUME;
}

/* XCR0, SDM vol. 1, 13.3: x87 always, AVX only with SSE, nothing that this VM does not have. */
static enum action exit_xsetbv(struct vcpu *v)
{
	struct guest_cpu *g = v->g;
	struct guest_mode m;
	u64 next;
	if (instruction_end(v, 0, INSN_XSETBV, &next) != OK)
		return ACTION_RESUME;
	u64 value = (u32)g->gpr[MON_RAX] | g->gpr[MON_RDX] << 32;
	backend->mode(g, &m);
	bool good = (u32)g->gpr[MON_RCX] == 0 && m.cpl == 0 && !(value & ~v->entity.vm->cpuid.xcr0_mask);
	if (!(m.paging.cr4 & CR4_OSXSAVE)) {
		inject_ud(v);
	} else if (!good || !xsetbv_or_fault(0, value)) {
		inject_gp(v);
	} else {
		g->xcr0 = value;
		advance(v, next);
	}
	return ACTION_RESUME;
}

/* ---- instructions that do nothing, or do not exist ---- */

static enum action exit_skip(struct vcpu *v)
{
	struct insn i;
	status r = instruction_decode(v, &i);
	if (r == OK && (i.id == INSN_WBINVD || i.id == INSN_INVD || i.id == INSN_PAUSE))
		advance(v, v->g->rip + i.length);
	/* Many a PAUSE in a short time, says the processor's filter: it waits for another vCPU, which may have no processor. */
	return r == OK && i.id == INSN_PAUSE ? ACTION_YIELD : ACTION_RESUME;
}

static enum action exit_undefined(struct vcpu *v)
{
	inject_ud(v);
	return ACTION_RESUME;
}

static enum action exit_privileged(struct vcpu *v)
{
	inject_gp(v);
	return ACTION_RESUME;
}

static enum action exit_hypercall(struct vcpu *v)
{
	u64 next;
	if (instruction_end(v, 0, INSN_VMMCALL, &next) != OK)
		return ACTION_RESUME;
	advance(v, next);
	return paravirt_call(v);
}

/* The interrupt that waited goes in at the entry. */
static enum action exit_window(struct vcpu *v)
{
	(void)v;
	timers_arm_late(this_cpu());
	return ACTION_RESUME;
}

/* #DB and #AC are seen here so that a guest that loops on delivering one comes back to us each time. */
static enum action exit_exception(struct vcpu *v)
{
	const struct exit_info *x = &v->g->exit;
	if (x->exception.vector == VECTOR_DB && interrupts_stepped(v))
		return ACTION_RESUME;
	inject(v, x->exception.vector, x->exception.has_error, x->exception.error);
	interrupts_take(); /* delivering it may be the next exit, before any interrupt could be one */
	return ACTION_RESUME;
}

static enum action exit_shutdown(struct vcpu *v)
{
	struct vm *vm = v->entity.vm;
	if (vm->definition->reset == RESET_END)
		return vm_kill(v, "triple fault");
	vm_record(v);
	vm_end(vm, RESET_RESTART, "triple fault");
	return ACTION_SLEEP;
}

static enum action exit_invalid(struct vcpu *v)
{
	return vm_kill(v, "its processor was put into a state that cannot be");
}

static enum action exit_unknown(struct vcpu *v)
{
	return vm_kill(v, "exit %x is not known", v->g->exit.code);
}

static enum action exit_machine_check(struct vcpu *v)
{
	panic("a machine check while %s ran", v->entity.vm->definition->name);
}

struct exit_row {
	enum action (*handle)(struct vcpu *v);
	const char *name;
};

static const struct exit_row exits[EXIT_KINDS] = {
	[EXIT_INTERRUPT] = { exit_interrupt, "interrupt" },
	[EXIT_NMI] = { exit_resume, "nmi" },
	[EXIT_WINDOW] = { exit_window, "window" },
	[EXIT_NMI_WINDOW] = { exit_nmi_window, "nmi-window" },
	[EXIT_NESTED] = { exit_nested, "nested" },
	[EXIT_IO] = { exit_io, "io" },
	[EXIT_MSR] = { exit_msr, "msr" },
	[EXIT_CPUID] = { exit_cpuid, "cpuid" },
	[EXIT_HLT] = { exit_hlt, "hlt" },
	[EXIT_CR] = { exit_cr, "cr" },
	[EXIT_EXCEPTION] = { exit_exception, "exception" },
	[EXIT_XSETBV] = { exit_xsetbv, "xsetbv" },
	[EXIT_WBINVD] = { exit_skip, "wbinvd" },
	[EXIT_PAUSE] = { exit_skip, "pause" },
	[EXIT_HYPERCALL] = { exit_hypercall, "hypercall" },
	[EXIT_MACHINE_CHECK] = { exit_machine_check, "machine-check" },
	[EXIT_UNDEFINED] = { exit_undefined, "undefined" },
	[EXIT_PRIVILEGED] = { exit_privileged, "privileged" },
	[EXIT_SHUTDOWN] = { exit_shutdown, "shutdown" },
	[EXIT_INVALID] = { exit_invalid, "invalid" },
	[EXIT_UNKNOWN] = { exit_unknown, "unknown" },
};

const char *exit_name(enum exit_kind kind)
{
	return exits[kind].name;
}

enum action exit_handle(struct vcpu *v, enum exit_kind kind)
{
	return exits[kind].handle(v);
}
