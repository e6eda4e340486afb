/*
 * crew: processors that run at once. Each runs its own program as a coroutine; at every marked point of core (core/point.h), and
 * wherever a program pauses, the dice decide who goes on: one seed, one interleaving, as often as it is asked for.
 *
 *   - at a point a processor goes on, or another does, or it sleeps there for long while the others act;
 *   - who waits (for a lock, for a processor that must forget) never goes on before someone else has;
 *   - "inside" may stay in the store buffer of its processor until a fence, or until its next store;
 *   - at each point the adversary has its turn, and what every TLB could use now is judged.
 *
 * When nobody gets on any more, or anything is found, the last points are printed.
 */
#ifndef SIM_CREW_H
#define SIM_CREW_H

#include "core/point.h"
#include "sim/sim.h"

/* Runs `program` on processors 0 .. cpus-1 until all of them have returned. `look` is called at each point; may be NULL. */
void crew_run(struct sim *s, u32 cpus, void (*program)(struct sim *s, unsigned cpu), void (*look)(struct sim *s));
/* A point of a program; without a crew, nothing. */
void crew_pause(const char *where);
/* The same where nothing can be done before another processor has gone on. */
void crew_wait(const char *where);
/* The processor has done something of use: nobody is stuck. */
void crew_gets_on(void);
bool crew_is_running(void);
/* Without a crew: called at each point, to act there as another processor would; NULL: nobody. */
extern void (*crew_act)(enum point point);

/* How often a point was passed, and how often others came between there. */
struct crew_count { u64 passed, between; };
struct crew_count crew_counted(enum point point);
const char *crew_point_name(enum point point);

#endif
