/*
 * keys: fills memory with a keyed pattern, verifies it later, and searches all of the machine's memory for keys of others. Each job is
 * shared by as many threads as the machine has processors, one bound to each.
 *
 *   keys write MIB WORD     a pattern of the word's key over so much memory (a file in /keys, which is a tmpfs)
 *   keys verify WORD        compares it all
 *   keys search WORD...     reads all RAM through /proc/kcore, free pages too
 *
 * Prints one line; the status is 0 if all was written, all was right, nothing was found.
 */
#define _GNU_SOURCE
#include "../lib/key.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/keys/"
#define MIB (1ull << 20)
#define KERNEL_IMAGE 0xffffffff80000000ull /* from here on /proc/kcore shows RAM a second time */
#define NOT_RAM UINT64_MAX
enum { PROCESSORS = 64, WORDS = 16, RANGES = 64, NAME = 256, CHUNK = 1 << 20 };

static long processors;
static uint64_t *memory; /* of write and verify */
static uint64_t bytes;
static uint64_t key;
static uint64_t complement[WORDS]; /* of search */
static int words;
static struct { uint64_t offset, size; } ranges[RANGES];
static unsigned range_count;
static int kcore;

static _Noreturn void die(const char *what)
{
	printf("keys: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* A thread's share: chunks number mine, mine + processors, ... The answer is a count. */
typedef uint64_t chunk_fn(uint64_t offset, uint64_t size, void *buffer);

struct share {
	pthread_t thread;
	long mine;
	chunk_fn *each;
	uint64_t count;
};

static uint64_t write_chunk(uint64_t offset, uint64_t size, void *buffer)
{
	(void)buffer;
	for (uint64_t i = offset / 8; i < (offset + size) / 8; i++)
		memory[i] = key_pattern(key, i);
	return 0;
}

static uint64_t verify_chunk(uint64_t offset, uint64_t size, void *buffer)
{
	uint64_t wrong = 0;

	(void)buffer;
	for (uint64_t i = offset / 8; i < (offset + size) / 8; i++)
		wrong += memory[i] != key_pattern(key, i);
	return wrong;
}

static uint64_t search_chunk(uint64_t offset, uint64_t size, void *buffer)
{
	const uint64_t *word = buffer;
	uint64_t found = 0;

	if (pread(kcore, buffer, size, (off_t)offset) != (ssize_t)size)
		die("/proc/kcore");
	for (uint64_t i = 0; i < size / 8; i++)
		for (int k = 0; k < words; k++)
			found += (uint64_t)key_is(word[i], complement[k]);
	return found;
}

static void *work(void *argument)
{
	struct share *share = argument;
	void *buffer = share->each == search_chunk ? malloc(CHUNK) : NULL;
	cpu_set_t set;
	long turn = 0;

	CPU_ZERO(&set);
	CPU_SET(share->mine, &set);
	if (sched_setaffinity(0, sizeof set, &set))
		die("sched_setaffinity");
	for (unsigned r = 0; r < range_count; r++)
		for (uint64_t at = 0; at < ranges[r].size; at += CHUNK, turn++)
			if (turn % processors == share->mine) {
				uint64_t left = ranges[r].size - at;
				share->count += share->each(ranges[r].offset + at, left < CHUNK ? left : CHUNK, buffer);
			}
	free(buffer);
	return NULL;
}

static uint64_t together(chunk_fn *each)
{
	static struct share share[PROCESSORS];
	uint64_t count = 0;

	for (long i = 0; i < processors; i++) {
		share[i] = (struct share){ .mine = i, .each = each };
		if (pthread_create(&share[i].thread, NULL, work, &share[i]))
			die("pthread_create");
	}
	for (long i = 0; i < processors; i++) {
		pthread_join(share[i].thread, NULL);
		count += share[i].count;
	}
	return count;
}

static void add_range(uint64_t offset, uint64_t size)
{
	if (range_count == RANGES) {
		errno = E2BIG;
		die("ranges of RAM");
	}
	ranges[range_count].offset = offset;
	ranges[range_count++].size = size;
	bytes += size;
}

/* The pattern's file, of this size or, with 0, of the size that it has. */
static void open_pattern(const char *word, uint64_t size)
{
	char name[NAME];
	struct stat found;
	int file;

	snprintf(name, sizeof name, FOLDER "%s", word);
	file = open(name, size ? O_RDWR | O_CREAT | O_TRUNC : O_RDWR, 0600);
	if (file < 0 || (size && ftruncate(file, (off_t)size)) || fstat(file, &found))
		die(name);
	add_range(0, (uint64_t)found.st_size);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (memory == MAP_FAILED)
		die(name);
	key = ~key_complement(word);
}

/* /proc/kcore is an ELF core of the kernel's space; what has a physical address and is not the kernel's image is RAM. */
static void open_kcore(void)
{
	Elf64_Ehdr header;
	Elf64_Phdr part;

	kcore = open("/proc/kcore", O_RDONLY);
	if (kcore < 0 || pread(kcore, &header, sizeof header, 0) != sizeof header)
		die("/proc/kcore");
	for (unsigned i = 0; i < header.e_phnum; i++) {
		if (pread(kcore, &part, sizeof part, (off_t)(header.e_phoff + i * sizeof part)) != sizeof part)
			die("/proc/kcore");
		if (part.p_type == PT_LOAD && part.p_paddr != NOT_RAM && part.p_vaddr < KERNEL_IMAGE)
			add_range(part.p_offset, part.p_memsz);
	}
}

static int report(const char *word, const char *done, const char *what, uint64_t count)
{
	printf("keys: %s: %llu MiB %s by %ld processors, %llu %s\n", word, (unsigned long long)(bytes / MIB), done, processors,
	       (unsigned long long)count, what);
	return count ? 1 : 0;
}

int main(int argc, char **argv)
{
	processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (processors > PROCESSORS)
		processors = PROCESSORS;
	if (argc == 4 && !strcmp(argv[1], "write")) {
		open_pattern(argv[3], strtoull(argv[2], NULL, 0) * MIB);
		return report(argv[3], "written", "wrong", together(write_chunk));
	}
	if (argc == 3 && !strcmp(argv[1], "verify")) {
		open_pattern(argv[2], 0);
		return report(argv[2], "verified", "wrong", together(verify_chunk));
	}
	if (argc >= 3 && argc - 2 <= WORDS && !strcmp(argv[1], "search")) {
		for (words = 0; words < argc - 2; words++)
			complement[words] = key_complement(argv[words + 2]);
		open_kcore();
		return report("all RAM", "searched", "found", together(search_chunk));
	}
	printf("usage: keys write MIB WORD | keys verify WORD | keys search WORD...\n");
	return 2;
}
