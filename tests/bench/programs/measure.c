// SPDX-License-Identifier: MIT
/*
 * What a program in user mode, and a process, costs: the same static program on
 * the host and in every kind of guest. Prints "bench NAME VALUE ns", with VALUE
 * the median of BATCHES batches, per operation.
 *
 * loop-*    user mode alone: no system call, no page that is new
 * syscall   getppid, by the instruction
 * fault     the first write to a page of anonymous memory
 * fork      a child that ends at once, waited for
 * exec      a child that runs this program again, which ends at once
 * switch    a byte to another process through a pipe and one back
 *
 * One processor for all of it, as a guest has one.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 5
#define BATCH_NS 20000000.0 /* at least; the count of operations is doubled until it takes that long */
#define COUNT_MAX (1u << 30)

static volatile uint64_t sink;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- loops ---- */

static void loop_integer(uint32_t n)
{
	uint64_t x = 88172645463325252ull;

	for (uint32_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		x *= 0x9e3779b97f4a7c15ull;
	}
	sink = x;
}

static void loop_double(uint32_t n)
{
	double x = 0.3;

	for (uint32_t i = 0; i < n; i++)
		x = 3.99 * x * (1.0 - x);
	sink = (uint64_t)(x * 1e6);
}

#define WORDS (1u << 17) /* 1 MiB: beyond the first cache, within the second or third */
static uint64_t words[WORDS];

/* Loads and stores all over the place, in an order that no prefetcher guesses. */
static void loop_memory(uint32_t n)
{
	uint64_t at = 1, sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		at = at * 6364136223846793005ull + 1442695040888963407ull;
		sum += words[at >> 47];
		words[at >> 47] = sum;
	}
	sink = sum;
}

/* And in order. */
static void loop_stream(uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		sum += words[i % WORDS];
		words[i % WORDS] = sum ^ i;
	}
	sink = sum;
}

__attribute__((noinline)) static uint32_t fib(uint32_t n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* Calls and returns: fib(10) is 177 of them. */
static void loop_calls(uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += fib(10 + (sink & 1));
	sink = sum & ~1ull;
}

static uint64_t add(uint64_t x)
{
	return x + 3;
}

static uint64_t turn(uint64_t x)
{
	return x << 5 | x >> 59;
}

static uint64_t flip(uint64_t x)
{
	return ~x;
}

static uint64_t times(uint64_t x)
{
	return x * 7;
}

/* Calls through pointers, and branches that depend on data. */
static void loop_indirect(uint32_t n)
{
	static uint64_t (*volatile const table[])(uint64_t) = { add, turn, flip, times };
	uint64_t x = 1;

	for (uint32_t i = 0; i < n; i++) {
		x = table[(x ^ i) & 3](x);
		if (x & 4)
			x ^= i;
	}
	sink = x;
}

/* ---- the kernel ---- */

static void do_syscall(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		syscall(SYS_getppid);
}

static void do_fault(uint32_t n)
{
	const uint32_t most = 4096; /* pages at a time: 16 MiB */

	while (n) {
		uint32_t pages = n < most ? n : most;
		uint8_t *memory = mmap(NULL, pages * 4096ul, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			die("mmap");
		madvise(memory, pages * 4096ul, MADV_NOHUGEPAGE);
		for (uint32_t i = 0; i < pages; i++)
			((volatile uint8_t *)memory)[i * 4096ul] = 1;
		munmap(memory, pages * 4096ul);
		n -= pages;
	}
}

static void reap(pid_t pid)
{
	int status;

	if (pid < 0)
		die("fork");
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		die("wait");
}

static void do_fork(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		reap(pid);
	}
}

static void do_exec(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid) {
			execl("/proc/self/exe", "measure", "nothing", (char *)NULL);
			_exit(1);
		}
		reap(pid);
	}
}

static int to_peer[2], from_peer[2];

static void do_switch(uint32_t n)
{
	char byte = 0;

	for (uint32_t i = 0; i < n; i++)
		if (write(to_peer[1], &byte, 1) != 1 || read(from_peer[0], &byte, 1) != 1)
			die("pipe");
}

static pid_t start_peer(void)
{
	pid_t pid;
	char byte;

	if (pipe(to_peer) || pipe(from_peer))
		die("pipe");
	pid = fork();
	if (pid)
		return pid;
	close(to_peer[1]);
	close(from_peer[0]);
	while (read(to_peer[0], &byte, 1) == 1)
		if (write(from_peer[1], &byte, 1) != 1)
			break;
	_exit(0);
}

/* ---- */

struct measure {
	const char *name;
	void (*run)(uint32_t n);
	uint32_t first; /* operations to begin with */
};

static const struct measure measures[] = {
	{ "loop-integer", loop_integer, 1 << 20 }, { "loop-double", loop_double, 1 << 20 },
	{ "loop-memory", loop_memory, 1 << 20 },   { "loop-stream", loop_stream, 1 << 20 },
	{ "loop-calls", loop_calls, 1 << 12 },     { "loop-indirect", loop_indirect, 1 << 20 },
	{ "syscall", do_syscall, 256 },            { "fault", do_fault, 256 },
	{ "fork", do_fork, 4 },                    { "exec", do_exec, 4 },
	{ "switch", do_switch, 64 },
};

static double timed(const struct measure *m, uint32_t n)
{
	double start = now();

	m->run(n);
	return now() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const struct measure *m)
{
	uint32_t n = m->first;
	double each[BATCHES];

	/* The first calls are for the caches, and the translators. */
	while (timed(m, n) < BATCH_NS && n < COUNT_MAX)
		n *= 2;
	for (int i = 0; i < BATCHES; i++)
		each[i] = timed(m, n) / n;
	qsort(each, BATCHES, sizeof(each[0]), by_value);
	printf("bench %s %.4f ns\n", m->name, each[BATCHES / 2]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	cpu_set_t one;
	pid_t peer;

	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	peer = start_peer();
	for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++)
		report(&measures[i]);
	close(to_peer[1]);
	reap(peer);
	puts("bench end");
	return 0;
}
