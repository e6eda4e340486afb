/*
 * string: the four functions that a C compiler may call by itself, and two more.
 */
#ifndef MONITOR_LIB_STRING_H
#define MONITOR_LIB_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

#endif
