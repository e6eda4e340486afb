/*
 * point: marked places in hv, as core/point.h has them for core: nothing in ring 0, not one instruction. A build that acts there (tests/points)
 * is told the vCPU, too.
 */
#ifndef HV_POINT_H
#define HV_POINT_H

#include "core/point.h"

enum hv_point {
	HV_POINT_EXIT = POINTS_END, /* a vCPU has come out, nothing has been looked at */
	HV_POINT_FETCH,             /* it is known where its instruction lies, nothing has been read */
	HV_POINT_OPERAND,           /* the emulator wants an operand, nothing has been translated */
	HV_POINT_ENTRY,             /* what it enters with is decided, its processor's events have not been looked at again */
	HV_POINT_RESUMES,           /* the vCPU is to run again, its page says still that it does not */
};

struct vcpu;

#ifndef AT_HV_POINT
#define AT_HV_POINT(vcpu, point) ((void)(vcpu), AT_POINT(point))
#endif

static inline void at_hv_point(struct vcpu *v, enum hv_point point) { AT_HV_POINT(v, point); }

#endif
