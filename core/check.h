/*
 * check: our own bugs. CHECK ends the hypervisor (or the test) with file, line and text.
 *
 * No input of a guest, a monitor, a file or a person may reach a failing CHECK.
 */
#ifndef CORE_CHECK_H
#define CORE_CHECK_H

#include <assert.h> /* static_assert */

/* Given by whoever links core: x86 panics, the host tests abort. */
_Noreturn void check_failed(const char *file, int line, const char *what);

#define CHECK(x) (__builtin_expect(!!(x), 1) ? (void)0 : check_failed(__FILE__, __LINE__, #x))

#endif
