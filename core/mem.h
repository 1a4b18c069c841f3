/* SPDX-License-Identifier: MIT */
/*
 * Guest physical memory.
 *
 * The whole guest physical space up to mem->limit is one reserved range of
 * host addresses, host = mem->base + gpa, so that an engine adds one constant.
 * RAM is anonymous memory in it; host-owned pages (shared_info, grant tables)
 * are mapped over it page by page with MAP_FIXED. What backs each page is in
 * mem->kind, one byte a page; what was never backed is PROT_NONE and never
 * touched by us. What was backed once stays readable and writable after it
 * became a hole (see mem.c), so that a thread which got its pointer a moment
 * before the guest took the page away reads rubbish and does not die.
 *
 * kind is written on [control] or under mem->lock and read without it: one
 * byte, and a change is followed by engine->mem_changed(remapped), after which
 * no vCPU uses the old answer.
 *
 * mem->code is one byte a page for the bt engine: nonzero while translated
 * code was made from the page, or a table in it is shadowed. Writers other than
 * guest instructions ask mem_dirty, which tells the engine only for such pages.
 */
#ifndef MEM_H
#define MEM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gamut/host.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ull
#define PAGE_MASK (~(PAGE_SIZE - 1))

enum mem_kind {
	MEM_NONE = 0, /* hole: MMIO or nothing */
	MEM_RAM = 1,
	MEM_ROM = 2,  /* a host-owned page that is read as RAM; a write is an MMIO write */
	MEM_HOST = 3, /* a host-owned page mapped over it; read and written as RAM */
};

/* In mem->code. */
#define MEM_CODE 1u  /* translated code was made from the page */
#define MEM_TABLE 2u /* a page table of the guest, shadowed and write-protected */

struct mem {
	uint8_t *base;   /* host address of gpa 0 */
	uint64_t limit;  /* bytes of guest physical space reserved; multiple of the page size */
	uint8_t *kind;   /* enum mem_kind, limit >> PAGE_SHIFT of them */
	_Atomic uint8_t *code; /* MEM_CODE, MEM_TABLE */
	uint64_t ram_size; /* bytes of RAM configured */
	struct gamut_mem_range *ranges; /* RAM as configured, ascending */
	uint32_t n_ranges;
	uint64_t released; /* bytes of RAM that the guest has given back, under lock */
	bool small_pages;  /* no huge pages are asked for, under lock */
	pthread_mutex_t lock;
	/* Set by the domain; called after a change (see engine_ops.mem_changed). May be NULL. */
	void (*changed)(void *opaque, uint64_t gpa, uint64_t len, bool remapped);
	void *changed_opaque;
	struct gamut_page *pages; /* all host-owned pages, under lock */
	uint64_t *scars;          /* gpas of holes that were backed once, under lock */
	uint32_t n_scars;
};

/*
 * ram_size bytes (page multiple), below 3 GiB first and the rest from 4 GiB
 * on, and room for host pages and MMIO between. 0 or -errno; err holds a line.
 */
int mem_init(struct mem *m, uint64_t ram_size, char *err, unsigned err_len);
void mem_finish(struct mem *m);

/* True when [gpa, gpa+len) is all RAM, ROM or host pages. Never overflows. */
bool mem_valid(const struct mem *m, uint64_t gpa, uint64_t len);
/* The same without ROM: what a device may write to, and hold. */
bool mem_writable(const struct mem *m, uint64_t gpa, uint64_t len);

static inline enum mem_kind mem_kind(const struct mem *m, uint64_t gpa)
{
	return gpa < m->limit ? (enum mem_kind)m->kind[gpa >> PAGE_SHIFT] : MEM_NONE;
}

int mem_read(struct mem *m, uint64_t gpa, void *buf, uint64_t len);
/* -EFAULT, and NULL from mem_get, where any of it is ROM: a pointer allows writing. */
int mem_write(struct mem *m, uint64_t gpa, const void *buf, uint64_t len);
void *mem_get(struct mem *m, uint64_t gpa, uint64_t len);
void mem_dirty(struct mem *m, uint64_t gpa, uint64_t len);

/* Host-owned pages; see host.h. */
struct gamut_page *mem_page_alloc(struct mem *m, uint32_t n, void **host);
void mem_page_free(struct mem *m, struct gamut_page *pages);
int mem_page_map(struct mem *m, struct gamut_page *pages, uint32_t index, uint64_t gpa);
/*
 * As GAMUT_PAGE_RAM or GAMUT_PAGE_ROM. The page changes in place when it is
 * there already; another host page that is there is replaced, and mapped
 * nowhere from then on.
 */
int mem_page_map_as(struct mem *m, struct gamut_page *pages, uint32_t index, uint64_t gpa, uint32_t how);
int mem_page_unmap(struct mem *m, struct gamut_page *pages, uint32_t index);
int mem_release(struct mem *m, uint64_t gpa, uint64_t len);
int mem_populate(struct mem *m, uint64_t gpa, uint64_t len);
/*
 * Guest reset: all configured RAM is there again and zero, whatever the
 * balloon did. Host pages keep their contents and stay mapped until their
 * owners unmap them. [control], paused.
 */
int mem_reset(struct mem *m);
/*
 * Bytes that are resident now, by the kernel's accounts of this process: of
 * RAM and of the host pages in it, and of RAM alone. Takes milliseconds.
 */
struct mem_usage {
	uint64_t touched, anonymous;
};
struct mem_usage mem_usage(const struct mem *m);

#endif
