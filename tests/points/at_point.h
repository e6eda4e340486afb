/*
 * at_point: what a marked point is in the test build of ring 0 (points.c). Included before everything else by that build, and no other.
 */
#ifndef POINTS_AT_POINT_H
#define POINTS_AT_POINT_H

#ifndef __ASSEMBLY__
struct vcpu;
void points_core(unsigned point);
void points_hv(struct vcpu *v, unsigned point);
#endif
#define AT_POINT(point) points_core(point)
#define AT_HV_POINT(vcpu, point) points_hv(vcpu, point)

#endif
