/*
 * points: what the guests share that stop their own processors in ring 0 (tests/points), and the other processor that meddles meanwhile.
 */
#ifndef HOSTILE_POINTS_H
#define HOSTILE_POINTS_H

#include "hv/point.h"
#include "lib/guest.h"
#include "tests/points/channel.h"

enum { POLLS = 20000000 }; /* of the other side: for very long */

static inline u64 points(enum points_command what, u64 a, u64 b)
{
	u32 leaf = POINTS_LEAF, command = what, rest;
	u64 answer = 0;
	register u64 second __asm__("r8") = b;

	__asm__ volatile("cpuid" : "+a"(leaf), "+c"(command), "=d"(rest), "+S"(answer) : "D"(a), "r"(second) : "rbx", "memory");
	return answer;
}

static inline bool points_are_there(void)
{
	return check("this build has marked points", points(POINTS_HELLO, 0, 0) == POINTS_THERE);
}

/* That vCPU stops at its next `point`, until another processor has come to the point `until`; POINTS_GO: until the guest says so. */
static inline void stop_until(unsigned point, unsigned vcpu, unsigned until)
{
	points(POINTS_STOP, point, points_order(vcpu, until, 0));
}

static inline void stop_at(unsigned point, unsigned vcpu) { stop_until(point, vcpu, POINTS_GO); }

static inline bool is_stopped(void)
{
	for (unsigned i = 0; i < POLLS; i++) {
		u64 state = points(POINTS_STATE, 0, 0);
		if (state != POINTS_LATER && state != POINTS_WAITING)
			return state == POINTS_STOPPED;
	}
	return false;
}

/* --- the other processor ---------------------------------------------------------------------------------- */

static volatile u32 others_started;

static inline u32 own_id(void) { return lapic_x2() ? lapic_read(APIC_ID) : lapic_read(APIC_ID) >> 24; }

/* Starts those that `main` is for; their numbers are 1, 2, ... */
static inline bool start_others(unsigned wanted, void (*main)(void))
{
	const struct platform *p = platform();
	unsigned others = 0;

	lapic_enable();
	tsc_per_ms();
	for (unsigned i = 0; i < p->processors && others < wanted; i++)
		if (p->apic_id[i] != own_id())
			others += ap_start(p->apic_id[i], main, &others_started);
	return check_equal("the other processors start", others, wanted);
}

/*
 * One more processor that does what it is given: meanwhile(f) here, and other_main as its program. A guest of more processors has its own.
 */
static void (*volatile other_does)(void);

static inline void other_main(void)
{
	traps_load();
	lapic_enable();
	irqs_on(); /* none comes; a processor of Bochs whose guest has them off hears no kick either */
	__atomic_fetch_add(&others_started, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		if (other_does) {
			other_does();
			other_does = NULL;
		}
		relax();
	}
}

static inline void meanwhile(void (*what)(void)) { other_does = what; }

static inline bool is_over(void)
{
	for (unsigned i = 0; i < POLLS && other_does; i++)
		relax();
	return !other_does;
}

#endif
