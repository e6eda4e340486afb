/*
 * membench: what a guest does with its memory, in eleven phases, each timed by RDTSC and by CLOCK_MONOTONIC.
 *
 *   membench [phaseport=0xNNN] [only=name,name] [scale=N]
 *
 * Results are printed only at the end, so that no console output lies inside a timed phase. With phaseport= an OUT goes to that port
 * before each phase (value: 1 up, in the order of the table below) and after it (0x80 | the same), for a hypervisor to count its exits
 * by. That needs iopl, which makes every system call some 50 instructions longer: take counts with it, times without.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_THP_DISABLE
#define PR_SET_THP_DISABLE 41
#endif

#define PAGE 4096ul
#define MIB (1ul << 20)
#define LINE 64ul /* bytes of a cache line: the stride of the pointer chases */
#define PHASE_END 0x80u

static unsigned scale = 1;
static unsigned long ops; /* of the phase that ran last */

static uint64_t read_tsc(void)
{
	uint32_t low, high;
	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static uint64_t monotonic_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static void touch(char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		((volatile char *)p)[i] = 1;
}

/* ---- the phases ---- */

static void nothing(void)
{
}

static void page_fault_storm(void)
{
	for (unsigned i = 0; i < 4 * scale; i++) {
		char *p = map(64 * MIB);
		touch(p, 64 * MIB);
		munmap(p, 64 * MIB);
	}
	ops = 4 * scale * (64 * MIB) / PAGE;
}

#define HEAP (16 * MIB)
#define COW_PAGES 256ul
static char *heap;

static void fork_before(void)
{
	heap = map(HEAP);
	touch(heap, HEAP);
}

static void fork_after(void)
{
	munmap(heap, HEAP);
}

static void fork_children(unsigned count, size_t child_touches)
{
	for (unsigned i = 0; i < count; i++) {
		int status;
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			touch(heap, child_touches);
			_exit(0);
		}
		if (waitpid(child, &status, 0) != child)
			die("waitpid");
	}
	ops = count;
}

static void fork_exit(void)
{
	fork_children(200 * scale, 0);
}

static void fork_cow(void)
{
	fork_children(40 * scale, COW_PAGES * PAGE);
}

static void **chase;
static size_t chase_bytes;
static void *volatile sink;

/* One cycle over all lines, in the order of a full-period linear congruence. */
static void chase_build(size_t bytes)
{
	size_t lines = bytes / LINE, stride = LINE / sizeof(void *);

	chase_bytes = bytes;
	chase = map(bytes);
	for (size_t i = 0; i < lines; i++)
		chase[i * stride] = &chase[((i * 2862933555777941757ull + 3037000493ull) & (lines - 1)) * stride];
}

static void chase_256_before(void)
{
	chase_build(256 * MIB);
}

static void chase_32_before(void)
{
	chase_build(32 * MIB);
}

static void chase_after(void)
{
	munmap(chase, chase_bytes);
}

static void chase_run(void)
{
	void **p = chase;
	unsigned long count = 1000000ul * scale;

	for (unsigned long i = 0; i < count; i++)
		p = *p;
	sink = p;
	ops = count;
}

static void pipe_echo(int from, int to, unsigned count)
{
	char c;
	for (unsigned i = 0; i < count; i++)
		if (read(from, &c, 1) != 1 || write(to, &c, 1) != 1)
			_exit(1);
	_exit(0);
}

static void pipe_ping_pong(void)
{
	int there[2], back[2], status;
	char c = 0;
	unsigned count = 5000 * scale;

	if (pipe(there) || pipe(back))
		die("pipe");
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		pipe_echo(there[0], back[1], count);
	for (unsigned i = 0; i < count; i++)
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			die("pipe");
	waitpid(child, &status, 0);
	close(there[0]);
	close(there[1]);
	close(back[0]);
	close(back[1]);
	ops = count;
}

static void getpid_loop(void)
{
	unsigned count = 200000 * scale;
	for (unsigned i = 0; i < count; i++)
		syscall(SYS_getpid);
	ops = count;
}

#define FLIP_PAGES 16ul
static char *flips;

static void mprotect_before(void)
{
	flips = map(FLIP_PAGES * PAGE);
	touch(flips, FLIP_PAGES * PAGE);
}

static void mprotect_after(void)
{
	munmap(flips, FLIP_PAGES * PAGE);
}

static void mprotect_flips(void)
{
	unsigned count = 5000 * scale;
	for (unsigned i = 0; i < count; i++) {
		mprotect(flips, FLIP_PAGES * PAGE, PROT_READ);
		(void)*(volatile char *)flips;
		mprotect(flips, FLIP_PAGES * PAGE, PROT_READ | PROT_WRITE);
		touch(flips, FLIP_PAGES * PAGE);
	}
	ops = count;
}

static void cpuid_loop(void)
{
	unsigned count = 2000 * scale;
	for (unsigned i = 0; i < count; i++) {
		uint32_t a = 0, b, c = 0, d;
		__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
	}
	ops = count;
}

static void clock_loop(void)
{
	unsigned count = 100000 * scale;
	struct timespec t;
	for (unsigned i = 0; i < count; i++)
		clock_gettime(CLOCK_MONOTONIC, &t);
	ops = count;
}

static void spin(void)
{
	unsigned long count = 20000000ul * scale;
	for (unsigned long i = 0; i < count; i++)
		__asm__ volatile("" : : "r"(i));
	ops = count;
}

static struct phase {
	const char *name;
	void (*before)(void), (*run)(void), (*after)(void);
	uint64_t tsc, ns;
	unsigned long ops;
	int done;
} phases[] = {
	{ .name = "pf64",     .before = nothing,          .run = page_fault_storm, .after = nothing },
	{ .name = "fork",     .before = fork_before,      .run = fork_exit,        .after = fork_after },
	{ .name = "forkcow",  .before = fork_before,      .run = fork_cow,         .after = fork_after },
	{ .name = "chase256", .before = chase_256_before, .run = chase_run,        .after = chase_after },
	{ .name = "chase32",  .before = chase_32_before,  .run = chase_run,        .after = chase_after },
	{ .name = "pipe",     .before = nothing,          .run = pipe_ping_pong,   .after = nothing },
	{ .name = "getpid",   .before = nothing,          .run = getpid_loop,      .after = nothing },
	{ .name = "mprotect", .before = mprotect_before,  .run = mprotect_flips,   .after = mprotect_after },
	{ .name = "cpuid",    .before = nothing,          .run = cpuid_loop,       .after = nothing },
	{ .name = "clock",    .before = nothing,          .run = clock_loop,       .after = nothing },
	{ .name = "spin",     .before = nothing,          .run = spin,             .after = nothing },
};
#define PHASES (sizeof phases / sizeof *phases)

static int selected(const char *only, const char *name)
{
	size_t length = strlen(name);

	while (only && *only) {
		if (strncmp(only, name, length) == 0 && (only[length] == ',' || only[length] == 0))
			return 1;
		only = strchr(only, ',');
		only += only != NULL;
	}
	return 0;
}

static void run_phase(struct phase *p, unsigned number, unsigned short port)
{
	p->before();
	if (port)
		outb((unsigned char)number, port);
	uint64_t ns = monotonic_ns(), tsc = read_tsc();
	p->run();
	uint64_t tsc_end = read_tsc(), ns_end = monotonic_ns();
	if (port)
		outb((unsigned char)(PHASE_END | number), port);
	p->tsc = tsc_end - tsc;
	p->ns = ns_end - ns;
	p->ops = ops;
	p->done = 1;
	p->after();
}

static void hypervisor_name(char name[13])
{
	uint32_t a = 0x40000000, words[3], c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(words[0]), "+c"(c), "=d"(words[2]));
	words[1] = c;
	memcpy(name, words, sizeof words);
	name[12] = 0;
}

static void report(uint64_t tsc, uint64_t ns)
{
	char name[13];
	uint64_t tsc_end = read_tsc(), ns_end = monotonic_ns();

	hypervisor_name(name);
	printf("BENCH-BEGIN hv=\"%s\" start_tsc=%lu start_mono_ns=%lu\n", name, tsc, ns);
	for (struct phase *p = phases; p < phases + PHASES; p++)
		if (p->done)
			printf("BENCH %s ops=%lu tsc=%lu mono_ns=%lu tsc_per_op=%lu\n", p->name, p->ops, p->tsc, p->ns,
			       p->tsc / (p->ops ? p->ops : 1));
	printf("BENCH-END tsc=%lu mono_ns=%lu\n", tsc_end - tsc, ns_end - ns);
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	unsigned short port = 0;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "phaseport=", 10) == 0)
			port = (unsigned short)strtoul(argv[i] + 10, NULL, 0);
		else if (strncmp(argv[i], "only=", 5) == 0)
			only = argv[i] + 5;
		else if (strncmp(argv[i], "scale=", 6) == 0)
			scale = (unsigned)strtoul(argv[i] + 6, NULL, 0);
	}
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (port && iopl(3)) {
		perror("iopl");
		port = 0;
	}
	uint64_t tsc = read_tsc(), ns = monotonic_ns();
	for (unsigned i = 0; i < PHASES; i++)
		if (!only || selected(only, phases[i].name))
			run_phase(&phases[i], i + 1, port);
	report(tsc, ns);
	return 0;
}
