/*
 * must: what a fuzzer has found, in a sentence.
 */
#ifndef TESTS_FUZZ_MUST_H
#define TESTS_FUZZ_MUST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "found: %s\n", what);
	abort();
}

#endif
