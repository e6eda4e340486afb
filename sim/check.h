/*
 * check: for tests that show that a CHECK stands where it should.
 *
 *   assert_true(SIM_CHECKS(frames_unref(&f, 1)));
 *
 * What the expression had done before the CHECK stays done: for objects that the test throws away.
 */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include <setjmp.h>
#include <stdbool.h>

struct sim_check {
	bool expected;
	jmp_buf back;
	void (*tell)(void); /* what led there, before the test ends; may be NULL */
};
extern struct sim_check sim_check;

#define SIM_CHECKS(expression) \
	__extension__({ \
		volatile bool checked_ = true; \
		if (!setjmp(sim_check.back)) { \
			sim_check.expected = true; \
			(void)(expression); \
			sim_check.expected = false; \
			checked_ = false; \
		} \
		checked_; \
	})

#endif
