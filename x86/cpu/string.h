/*
 * string: the few functions of the C library that ring 0 has (asm/string.S). Hosted builds get the C library's.
 */
#ifndef X86_CPU_STRING_H
#define X86_CPU_STRING_H

#include <stddef.h>

void *memcpy(void *__restrict to, const void *__restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t most);

#endif
