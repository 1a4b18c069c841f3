/* SPDX-License-Identifier: MIT */
/*
 * Ring 0 of the virtual machine: as little as leads to an exit.
 *
 * Every vector has four bytes in the code page, `out %al, $port; hlt; nop`,
 * so the place tells the vector. SYSCALL leads behind them. Its page is not
 * for ring 3: a processor that enters ring 0 by SYSCALL finds another port
 * write there, and a software KVM, which does not change the privilege level,
 * meets a page fault at that address, which is as good.
 *
 * Sources: AMD APM vol. 2 chapters 6 (SYSCALL) and 8 (interrupt frames).
 */
#include <string.h>

#include "engine/kvm/direct.h"

#define STUB_SIZE 4u
#define KERNEL_CS 0x08u
#define TSS_SEL 0x40u
#define VECTORS_WITH_ERROR (1u << EXC_DF | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF | 1u << EXC_AC | 1u << 21)

static void put(uint8_t *page, uint32_t at, const void *what, size_t n)
{
	memcpy(page + at, what, n);
}

static void put64(uint8_t *page, uint32_t at, uint64_t value)
{
	put(page, at, &value, sizeof(value));
}

static void make_code(uint8_t *page)
{
	static const uint8_t stub[STUB_SIZE] = { 0xe6, DIRECT_PORT, 0xf4, 0x90 };

	for (uint32_t i = 0; i <= DIRECT_SYSCALL; i++)
		put(page, i == DIRECT_SYSCALL ? (uint32_t)(DIRECT_LSTAR - DIRECT_VA) : i * STUB_SIZE, stub, STUB_SIZE);
}

/* DPL 0 throughout: INT n in user mode is #GP, INT3 and INTO too, and the translator does them. */
static void make_idt(uint8_t *page)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint64_t to = DIRECT_VA + i * STUB_SIZE;

		put64(page, i * 16, (to & 0xffff) | KERNEL_CS << 16 | 0x8eull << 40 | (to >> 16 & 0xffff) << 48);
		put64(page, i * 16 + 8, to >> 32);
	}
}

/*
 * Code and data of ring 0 for the gates, and the TSS. User segments come with
 * the registers; loading one is #GP, so that the translator does it by the
 * guest's own tables.
 */
static void make_gdt(uint8_t *page)
{
	uint64_t tss = DIRECT_VA + DIRECT_TSS * PAGE_SIZE;

	put64(page, KERNEL_CS, 0x00209b0000000000ull);
	put64(page, KERNEL_CS + 8, 0x00cf93000000ffffull);
	put64(page, TSS_SEL, 0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56);
	put64(page, TSS_SEL + 8, tss >> 32);
}

/* No I/O bitmap: it would begin behind the limit. */
static void make_tss(uint8_t *page)
{
	uint16_t iomap = 0x68;

	put64(page, 4, DIRECT_STACK_TOP);
	put(page, 0x66, &iomap, sizeof(iomap));
}

static void link_page(uint8_t *pool, uint64_t pool_gpa, enum direct_page table, uint32_t slot, enum direct_page to,
                      uint64_t flags)
{
	put64(pool + table * PAGE_SIZE, slot * 8, (pool_gpa + to * PAGE_SIZE) | flags);
}

void direct_stub_make(uint8_t *pool, uint64_t pool_gpa, struct direct_fixed *fixed)
{
	make_code(pool + DIRECT_CODE * PAGE_SIZE);
	make_gdt(pool + DIRECT_GDT * PAGE_SIZE);
	make_idt(pool + DIRECT_IDT * PAGE_SIZE);
	make_tss(pool + DIRECT_TSS * PAGE_SIZE);
	link_page(pool, pool_gpa, DIRECT_L3, 0, DIRECT_L2, 0x63);
	link_page(pool, pool_gpa, DIRECT_L2, 0, DIRECT_L1, 0x63);
	for (uint32_t i = 0; i < DIRECT_L3; i++)
		link_page(pool, pool_gpa, DIRECT_L1, i, (enum direct_page)i, 0x63);
	*fixed = (struct direct_fixed){ DIRECT_SLOT, (pool_gpa + DIRECT_L3 * PAGE_SIZE) | 0x63 };
}

static void read_frame(const uint8_t *stack, uint32_t at, bool error, struct direct_frame *f)
{
	uint64_t raw[6];

	memcpy(raw, stack + at, error ? 48 : 40);
	f->error = error ? raw[0] : 0;
	f->rip = raw[error];
	f->cs = raw[error + 1];
	f->rflags = raw[error + 2];
	f->rsp = raw[error + 3];
	f->ss = raw[error + 4];
}

/* rip may be at the port write or behind it. */
bool direct_stub_frame(const uint8_t *pool, uint64_t rip, uint64_t rsp, struct direct_frame *f)
{
	uint64_t off = rip - DIRECT_VA, at = rsp - (DIRECT_STACK_TOP - PAGE_SIZE);
	bool error;

	memset(f, 0, sizeof(*f));
	if (rip - DIRECT_LSTAR < STUB_SIZE) {
		f->vector = DIRECT_SYSCALL;
		return true;
	}
	if (off >= 256 * STUB_SIZE)
		return false;
	f->vector = (uint32_t)(off / STUB_SIZE);
	error = f->vector < 32 && VECTORS_WITH_ERROR >> f->vector & 1;
	if (at > PAGE_SIZE - (error ? 48 : 40))
		return false;
	read_frame(pool + DIRECT_STACK * PAGE_SIZE, (uint32_t)at, error, f);
	if (f->vector == EXC_PF && f->rip - DIRECT_LSTAR < STUB_SIZE)
		f->vector = DIRECT_SYSCALL;
	return true;
}
