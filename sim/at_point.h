/*
 * at_point: what a marked point of core is in the fake machine: others may come between (sim/crew.h). Included before everything else
 * by the build of the host's objects.
 */
#ifndef SIM_AT_POINT_H
#define SIM_AT_POINT_H

#ifndef __ASSEMBLY__
void sim_at_point(unsigned point);
#endif
#define AT_POINT(point) sim_at_point(point)

#endif
