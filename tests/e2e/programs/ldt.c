// SPDX-License-Identifier: MIT
/* A local descriptor table: data and 32-bit code through it, its inheritance, and what happens when an entry goes. */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define SELECTOR(n) ((uint16_t)((n) << 3 | 7)) /* LDT, ring 3 */

static int modify(int func, void *data, unsigned long n)
{
	return (int)syscall(SYS_modify_ldt, func, data, n);
}

static int set_entry(unsigned int number, void *base, unsigned int limit, unsigned int contents)
{
	struct user_desc desc = { .entry_number = number, .base_addr = (unsigned int)(uintptr_t)base, .limit = limit,
		                  .seg_32bit = 1, .contents = contents, .limit_in_pages = 0, .useable = 1 };

	return modify(0x11, &desc, sizeof(desc));
}

static void *low_page(int prot)
{
	void *page = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

static uint32_t read_gs(uint16_t selector, uint32_t offset)
{
	uint32_t value;

	__asm__ volatile("mov %1, %%gs; mov %%gs:(%2), %0; mov %3, %%gs"
	                 : "=&r"(value)
	                 : "r"((uint32_t)selector), "r"((uint64_t)offset), "r"(0));
	return value;
}

static uint32_t limit_of(uint16_t selector)
{
	uint32_t value;

	__asm__ volatile("lsl %1, %0" : "=r"(value) : "r"((uint32_t)selector) : "cc");
	return value;
}

static void data(uint32_t *page)
{
	unsigned char back[64 * 8];
	int n;

	page[0] = 0x600d;
	page[5] = 0xf00d;
	check(set_entry(3, page, 0xfff, MODIFY_LDT_CONTENTS_DATA) == 0, "an entry is made");
	check(read_gs(SELECTOR(3), 0) == 0x600d && read_gs(SELECTOR(3), 20) == 0xf00d, "its segment is read, base and all");
	check(limit_of(SELECTOR(3)) == 0xfff, "its limit is what was asked");
	memset(back, 0, sizeof(back));
	n = modify(0, back, sizeof(back));
	check(n >= 32 && back[3 * 8 + 5] == 0xf3, "read back: a data segment of ring 3, accessed (%d bytes, type %#x)", n,
	      back[3 * 8 + 5]);
	check(set_entry(8191, page, 0xfff, MODIFY_LDT_CONTENTS_DATA) == 0 && read_gs(SELECTOR(8191), 20) == 0xf00d,
	      "the last entry too");
	check(set_entry(8192, page, 0xfff, MODIFY_LDT_CONTENTS_DATA) < 0, "and none beyond it");
}

/* 64-bit code calls into 32-bit code by a far call through the LDT, which returns by a far return. */
static void code(uint8_t *page)
{
	/* mov $0x1233, %eax; inc %eax; lret */
	static const uint8_t text[] = { 0xb8, 0x33, 0x12, 0, 0, 0x40, 0xcb };
	static struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) target;
	uint32_t eax = 0;
	uint8_t *stack = page + 4096;

	memcpy(page + 0x100, text, sizeof(text));
	check(set_entry(4, page, 0xfff, MODIFY_LDT_CONTENTS_CODE) == 0, "a code segment is made");
	target.offset = 0x100; /* the segment's base is the page's */
	target.selector = SELECTOR(4);
	/* A far call with 32-bit operands pushes 32-bit cs and ip, which the far return takes; the stack must be low. */
	__asm__ volatile("mov %%rsp, %%r9; mov %2, %%rsp; lcall *(%1); mov %%r9, %%rsp"
	                 : "=a"(eax)
	                 : "r"(&target), "r"(stack)
	                 : "r9", "memory", "cc");
	check(eax == 0x1234, "it runs as 32-bit code, and returns (%#x)", eax);
}

static void inheritance(void)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(read_gs(SELECTOR(3), 0) == 0x600d ? 5 : 6);
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 5, "a child has the table");
	pid = fork();
	if (!pid) {
		uint32_t *own = low_page(PROT_READ | PROT_WRITE);

		own[0] = 0xb0b0;
		set_entry(3, own, 0xfff, MODIFY_LDT_CONTENTS_DATA);
		_exit(read_gs(SELECTOR(3), 0) == 0xb0b0 ? 5 : 6);
	}
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 5, "and changes its own");
	check(read_gs(SELECTOR(3), 0) == 0x600d, "the parent's is as it was");
}

static void removal(void)
{
	struct user_desc gone = { .entry_number = 3, .read_exec_only = 1, .seg_not_present = 1 };
	int status = -1;
	pid_t pid;

	check(modify(0x11, &gone, sizeof(gone)) == 0, "an entry is removed");
	pid = fork();
	if (!pid) {
		read_gs(SELECTOR(3), 0);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "its selector then faults (%#x)", status);
}

/* Other processes run meanwhile, with tables of their own or none. */
static void switching(void)
{
	int good = 0, status;

	for (int i = 0; i < 8; i++) {
		if (fork())
			continue;
		uint32_t *own = low_page(PROT_READ | PROT_WRITE);
		bool same = own && set_entry(1, own, 0xfff, MODIFY_LDT_CONTENTS_DATA) == 0;

		own[0] = 0x1000u + (uint32_t)i;
		for (int n = 0; n < 2000 && same; n++) {
			same = read_gs(SELECTOR(1), 0) == 0x1000u + (uint32_t)i;
			syscall(SYS_sched_yield);
		}
		_exit(same ? 5 : 6);
	}
	for (int i = 0; i < 8; i++) {
		wait(&status);
		good += WIFEXITED(status) && WEXITSTATUS(status) == 5;
	}
	check(good == 8, "eight processes keep their tables apart (%d)", good);
}

int main(void)
{
	uint32_t *page = low_page(PROT_READ | PROT_WRITE);
	uint8_t *text = low_page(PROT_READ | PROT_WRITE | PROT_EXEC);

	if (!page || !text)
		return 1;
	data(page);
	code(text);
	inheritance();
	switching();
	removal();
	return finish();
}
