// SPDX-License-Identifier: MIT
/* What the kernel does for one process. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define PAGE 4096ul

/* By the instruction, past what the C library may know by itself. */
static void do_syscall(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		syscall(SYS_getppid);
}

static uint8_t *map(size_t bytes)
{
	uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		give_up("mmap");
	return memory;
}

/* The first write to a page of anonymous memory, and that page's part of the mapping's end. */
static void do_fault(uint32_t n)
{
	const uint32_t most = 4096; /* pages at a time: 16 MiB */

	while (n) {
		uint32_t pages = n < most ? n : most;
		uint8_t *memory = map(pages * PAGE);

		madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
		for (uint32_t i = 0; i < pages; i++)
			((volatile uint8_t *)memory)[i * PAGE] = 1;
		munmap(memory, pages * PAGE);
		n -= pages;
	}
}

/* A mapping of 64 KiB made, one page of it written, and taken away. */
static void do_mmap(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *memory = map(16 * PAGE);

		*(volatile uint8_t *)memory = 1;
		munmap(memory, 16 * PAGE);
	}
}

static uint8_t *protected;

/* Between two pages that nobody may touch, lest the kernel join it with a neighbour that chance gave it, and part it again. */
static const char *begin_mprotect(void)
{
	protected = map(3 * PAGE) + PAGE;
	if (mprotect(protected - PAGE, PAGE, PROT_NONE) || mprotect(protected + PAGE, PAGE, PROT_NONE))
		return strerror(errno);
	*(volatile uint8_t *)protected = 1;
	return NULL;
}

static void end_mprotect(void)
{
	munmap(protected - PAGE, 3 * PAGE);
}

/* A present page is made read-only and writable again: page-table entries that are there change. */
static void do_mprotect(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		mprotect(protected, PAGE, PROT_READ);
		mprotect(protected, PAGE, PROT_READ | PROT_WRITE);
		*(volatile uint8_t *)protected = 2;
	}
}

const struct workload kernel_workloads[] = {
        {"syscall", UNIT_NS, do_syscall, .first = 64},
        {"page-fault", UNIT_NS, do_fault, .first = 64},
        {"mmap", UNIT_NS, do_mmap, .first = 16},
        {"mprotect", UNIT_NS, do_mprotect, .first = 16, .begin = begin_mprotect, .end = end_mprotect},
        {0},
};
