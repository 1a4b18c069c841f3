/* SPDX-License-Identifier: MIT */
/*
 * Guest physical memory: one reservation, RAM in it, host pages over it.
 *
 * RAM is anonymous memory, and huge pages are asked for: of a memfd most hosts
 * give none, and a guest that boots pays 2.5 us for each of its first 20,000
 * pages. It is not for children of this process, whose fork would make every
 * page of it a copy on the next write.
 *
 * Why a released page stays mapped. A guest can take a page away (balloon, or
 * moving a host page elsewhere) on one vCPU while the I/O thread copies from
 * it on behalf of a request that the guest queued before. Were the page
 * PROT_NONE from then on, the guest could kill the process at will. So
 * nothing that was ever given out by mem_get becomes inaccessible:
 *
 *   RAM that is released loses its memory (MADV_DONTNEED); its mapping stays.
 *   A late access costs one zero page, which populate takes away once more. No
 *   mapping is split, so a guest cannot use up the kernel's limit on mappings
 *   either (65530 by default, and a fatal thing to reach). For the same reason
 *   huge pages are given up for all of RAM once much of it was released: the
 *   kernel would put them where holes are.
 *
 *   A host page in what was never RAM leaves a "scar" when unmapped: a page of
 *   anonymous memory. Scars are reused, and their number is bounded
 *   (MAX_SCARS), after which page_map refuses new places. Each can split the
 *   reservation in two, so a quarter of the kernel's limit on mappings keeps
 *   clear of it; and it is enough for machine_to_phys of a PV guest of 30 GiB.
 *
 * What the guest sees follows kind alone, not the mapping.
 */
#include "mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB (1ull << 30)
#define LOW_LIMIT (3 * GIB)
#define HIGH_BASE (4 * GIB)
#define MAX_SCARS 16384u
#define HUGE_SIZE (2ull << 20)
#define MUCH_RELEASED 16 /* a part of RAM */
#define UNMAPPED UINT64_MAX

/* A run of host-owned pages; one memfd each, so that freeing is closing. */
struct gamut_page {
	struct gamut_page *next;
	int fd;
	uint32_t n;
	void *host;
	struct page_place {
		uint64_t gpa; /* UNMAPPED when nowhere */
		uint8_t hidden; /* the kind that was there */
		uint8_t *under; /* what was in the RAM that was there; NULL: zeroes */
	} place[];
};

/* ---- building --------------------------------------------------------------- */

static void lay_out(struct mem *m, uint64_t ram_size)
{
	uint64_t low = ram_size < LOW_LIMIT ? ram_size : LOW_LIMIT;
	uint64_t high = ram_size - low;

	m->ram_size = ram_size;
	m->ranges[0] = (struct gamut_mem_range){ .gpa = 0, .size = low };
	m->ranges[1] = (struct gamut_mem_range){ .gpa = HIGH_BASE, .size = high };
	m->n_ranges = high ? 2 : 1;
	/* Room for host pages and MMIO above RAM; address space costs nothing. */
	m->limit = (HIGH_BASE + high + 2 * GIB - 1) & ~(GIB - 1);
}

/* Whether the page is of configured RAM. */
static bool in_ram(const struct mem *m, uint64_t gpa)
{
	for (uint32_t i = 0; i < m->n_ranges; i++) {
		if (gpa - m->ranges[i].gpa < m->ranges[i].size)
			return true;
	}
	return false;
}

static void *map_zero(uint64_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int map_at(struct mem *m, uint64_t gpa, uint64_t len, int fd, uint64_t offset)
{
	void *p = mmap(m->base + gpa, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
	               (off_t)offset);

	return p == MAP_FAILED ? -errno : 0;
}

/* Advice may be refused, and nothing is lost: a kernel without huge pages, or what is no RAM now. */
static void advise(struct mem *m, uint64_t gpa, uint64_t len, int advice)
{
	madvise(m->base + gpa, len, advice);
}

static int map_zeroes_at(struct mem *m, uint64_t gpa, uint64_t len)
{
	void *p = mmap(m->base + gpa, len, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

static int map_ram_at(struct mem *m, uint64_t gpa, uint64_t len)
{
	int err = map_zeroes_at(m, gpa, len);

	if (err)
		return err;
	advise(m, gpa, len, MADV_DONTFORK);
	advise(m, gpa, len, m->small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	return 0;
}

static int make_ram(struct mem *m)
{
	int err = 0;

	for (uint32_t i = 0; i < m->n_ranges && !err; i++) {
		uint64_t gpa = m->ranges[i].gpa, size = m->ranges[i].size;

		err = map_ram_at(m, gpa, size);
		if (!err)
			memset(m->kind + (gpa >> PAGE_SHIFT), MEM_RAM, size >> PAGE_SHIFT);
	}
	return err;
}

/* Of the guest's huge pages and of the host's both begin at the same places. */
static int reserve(struct mem *m)
{
	uint8_t *p = mmap(NULL, m->limit + HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before;

	if (p == MAP_FAILED)
		return -errno;
	before = -(uintptr_t)p & (HUGE_SIZE - 1);
	if (before)
		munmap(p, before);
	munmap(p + before + m->limit, HUGE_SIZE - before);
	m->base = p + before;
	m->kind = map_zero(m->limit >> PAGE_SHIFT);
	m->code = map_zero(m->limit >> PAGE_SHIFT);
	m->scars = map_zero(MAX_SCARS * sizeof(*m->scars));
	return m->kind && m->code && m->scars ? 0 : -ENOMEM;
}

int mem_init(struct mem *m, uint64_t ram_size, char *err, unsigned err_len)
{
	int rc;

	memset(m, 0, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
	if (!ram_size || ram_size & ~PAGE_MASK || ram_size > 1ull << 45) {
		snprintf(err, err_len, "memory of %llu bytes is not a number of pages that can be had",
		         (unsigned long long)ram_size);
		rc = -EINVAL;
		goto fail;
	}
	rc = -ENOMEM;
	m->ranges = calloc(2, sizeof(*m->ranges));
	if (!m->ranges)
		goto fail_text;
	lay_out(m, ram_size);
	rc = reserve(m);
	if (!rc)
		rc = make_ram(m);
	if (!rc)
		return 0;
fail_text:
	snprintf(err, err_len, "cannot set up %llu MiB of guest memory: %s", (unsigned long long)(ram_size >> 20),
	         strerror(-rc));
fail:
	mem_finish(m);
	return rc;
}

static void page_destroy(struct gamut_page *p)
{
	if (p->host)
		munmap(p->host, p->n * PAGE_SIZE);
	if (p->fd >= 0)
		close(p->fd);
	for (uint32_t i = 0; i < p->n; i++)
		free(p->place[i].under);
	free(p);
}

void mem_finish(struct mem *m)
{
	while (m->pages) {
		struct gamut_page *p = m->pages;

		m->pages = p->next;
		page_destroy(p);
	}
	if (m->base)
		munmap(m->base, m->limit);
	if (m->kind)
		munmap(m->kind, m->limit >> PAGE_SHIFT);
	if (m->code)
		munmap((void *)m->code, m->limit >> PAGE_SHIFT);
	if (m->scars)
		munmap(m->scars, MAX_SCARS * sizeof(*m->scars));
	free(m->ranges);
	pthread_mutex_destroy(&m->lock);
	memset(m, 0, sizeof(*m));
}

/* ---- access ------------------------------------------------------------------- */

/* Whether [gpa, gpa + len) lies in the guest physical space; len may be 0. */
static bool in_space(const struct mem *m, uint64_t gpa, uint64_t len)
{
	return gpa <= m->limit && len <= m->limit - gpa;
}

static uint64_t page_span(uint64_t gpa, uint64_t len)
{
	return ((gpa & ~PAGE_MASK) + len + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static bool has_kind(const struct mem *m, uint64_t gpa, uint64_t len, enum mem_kind kind)
{
	return len && memchr(m->kind + (gpa >> PAGE_SHIFT), kind, page_span(gpa, len));
}

bool mem_valid(const struct mem *m, uint64_t gpa, uint64_t len)
{
	return in_space(m, gpa, len) && !has_kind(m, gpa, len, MEM_NONE);
}

bool mem_writable(const struct mem *m, uint64_t gpa, uint64_t len)
{
	return mem_valid(m, gpa, len) && !has_kind(m, gpa, len, MEM_ROM);
}

int mem_read(struct mem *m, uint64_t gpa, void *buf, uint64_t len)
{
	if (!mem_valid(m, gpa, len))
		return -EFAULT;
	memcpy(buf, m->base + gpa, len);
	/* The caller checks what it copied, never what the guest makes of it later. */
	atomic_signal_fence(memory_order_seq_cst);
	return 0;
}

int mem_write(struct mem *m, uint64_t gpa, const void *buf, uint64_t len)
{
	if (!mem_writable(m, gpa, len))
		return -EFAULT;
	memcpy(m->base + gpa, buf, len);
	mem_dirty(m, gpa, len);
	return 0;
}

void *mem_get(struct mem *m, uint64_t gpa, uint64_t len)
{
	return len && mem_writable(m, gpa, len) ? m->base + gpa : NULL;
}

static void tell(struct mem *m, uint64_t gpa, uint64_t len, bool remapped)
{
	if (m->changed)
		m->changed(m->changed_opaque, gpa, len, remapped);
}

void mem_dirty(struct mem *m, uint64_t gpa, uint64_t len)
{
	uint64_t first = gpa >> PAGE_SHIFT;

	if (!len || !in_space(m, gpa, len))
		return;
	/* Written first, asked then: who makes it a page of code does so before he reads it. */
	atomic_thread_fence(memory_order_seq_cst);
	for (uint64_t i = 0, n = page_span(gpa, len); i < n; i++) {
		if (atomic_load_explicit(&m->code[first + i], memory_order_acquire)) {
			tell(m, gpa, len, false);
			return;
		}
	}
}

/* ---- host-owned pages ----------------------------------------------------------- */

static int page_back(struct gamut_page *p)
{
	void *host;

	p->fd = memfd_create("gamut-pages", MFD_CLOEXEC);
	if (p->fd < 0)
		return -errno;
	if (ftruncate(p->fd, (off_t)(p->n * PAGE_SIZE)))
		return -errno;
	host = mmap(NULL, p->n * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (host == MAP_FAILED)
		return -errno;
	p->host = host;
	return 0;
}

struct gamut_page *mem_page_alloc(struct mem *m, uint32_t n, void **host)
{
	struct gamut_page *p;

	if (!n || n > 1u << 20)
		return NULL;
	p = calloc(1, sizeof(*p) + n * sizeof(p->place[0]));
	if (!p)
		return NULL;
	p->fd = -1;
	p->n = n;
	for (uint32_t i = 0; i < n; i++)
		p->place[i].gpa = UNMAPPED;
	if (page_back(p)) {
		page_destroy(p);
		return NULL;
	}
	pthread_mutex_lock(&m->lock);
	p->next = m->pages;
	m->pages = p;
	pthread_mutex_unlock(&m->lock);
	if (host)
		*host = p->host;
	return p;
}

void mem_page_free(struct mem *m, struct gamut_page *pages)
{
	struct gamut_page **link;

	if (!pages)
		return;
	for (uint32_t i = 0; i < pages->n; i++) {
		if (pages->place[i].gpa != UNMAPPED)
			mem_page_unmap(m, pages, i);
	}
	pthread_mutex_lock(&m->lock);
	for (link = &m->pages; *link && *link != pages; link = &(*link)->next)
		;
	if (*link)
		*link = pages->next;
	pthread_mutex_unlock(&m->lock);
	page_destroy(pages);
}

/* Room for a scar at gpa: RAM needs none, an old one serves again. */
static int scar_reserve(struct mem *m, uint64_t gpa)
{
	if (in_ram(m, gpa))
		return 0;
	for (uint32_t i = 0; i < m->n_scars; i++) {
		if (m->scars[i] == gpa)
			return 0;
	}
	if (m->n_scars >= MAX_SCARS)
		return -ENOSPC;
	m->scars[m->n_scars++] = gpa;
	return 0;
}

static bool is_host_kind(uint8_t kind)
{
	return kind == MEM_HOST || kind == MEM_ROM;
}

/* What RAM holds at gpa, to be put back when it is no longer covered. */
static int save_under(const struct mem *m, uint64_t gpa, uint8_t **under)
{
	*under = NULL;
	if (m->kind[gpa >> PAGE_SHIFT] != MEM_RAM)
		return 0;
	*under = malloc(PAGE_SIZE);
	if (!*under)
		return -ENOMEM;
	memcpy(*under, m->base + gpa, PAGE_SIZE);
	return 0;
}

static int page_map_locked(struct mem *m, struct gamut_page *p, uint32_t index, uint64_t gpa, uint8_t as)
{
	uint8_t *kind = &m->kind[gpa >> PAGE_SHIFT], *under;
	int err;

	if (p->place[index].gpa != UNMAPPED || is_host_kind(*kind))
		return -EBUSY;
	err = scar_reserve(m, gpa);
	if (!err)
		err = save_under(m, gpa, &under);
	if (err)
		return err;
	err = map_at(m, gpa, PAGE_SIZE, p->fd, index * PAGE_SIZE);
	if (err) {
		free(under);
		return err;
	}
	p->place[index] = (struct page_place){ .gpa = gpa, .hidden = *kind, .under = under };
	*kind = as;
	return 0;
}

/* The host page that is mapped there. Rare, and there are few of them: no index. */
static struct page_place *place_at(const struct mem *m, uint64_t gpa)
{
	for (struct gamut_page *p = m->pages; p; p = p->next)
		for (uint32_t i = 0; i < p->n; i++)
			if (p->place[i].gpa == gpa)
				return &p->place[i];
	return NULL;
}

/* One mmap puts it over the other: nobody finds nothing there in between. */
static int page_replace(struct mem *m, struct gamut_page *p, uint32_t index, uint64_t gpa, uint8_t as)
{
	struct page_place *old = place_at(m, gpa);
	int err;

	if (!old || p->place[index].gpa != UNMAPPED)
		return -EBUSY;
	err = map_at(m, gpa, PAGE_SIZE, p->fd, index * PAGE_SIZE);
	if (err)
		return err;
	p->place[index] = (struct page_place){ .gpa = gpa, .hidden = old->hidden, .under = old->under };
	*old = (struct page_place){ .gpa = UNMAPPED };
	m->kind[gpa >> PAGE_SHIFT] = as;
	return 0;
}

static bool page_place_valid(const struct mem *m, const struct gamut_page *pages, uint32_t index, uint64_t gpa)
{
	return index < pages->n && !(gpa & ~PAGE_MASK) && in_space(m, gpa, PAGE_SIZE);
}

int mem_page_map(struct mem *m, struct gamut_page *pages, uint32_t index, uint64_t gpa)
{
	int err;

	if (!page_place_valid(m, pages, index, gpa))
		return -EINVAL;
	pthread_mutex_lock(&m->lock);
	err = page_map_locked(m, pages, index, gpa, MEM_HOST);
	pthread_mutex_unlock(&m->lock);
	if (!err)
		tell(m, gpa, PAGE_SIZE, true);
	return err;
}

int mem_page_map_as(struct mem *m, struct gamut_page *pages, uint32_t index, uint64_t gpa, uint32_t how)
{
	uint8_t as = how == GAMUT_PAGE_ROM ? MEM_ROM : MEM_HOST, *kind;
	bool same;
	int err = 0;

	if (!page_place_valid(m, pages, index, gpa) || (how != GAMUT_PAGE_RAM && how != GAMUT_PAGE_ROM))
		return -EINVAL;
	kind = &m->kind[gpa >> PAGE_SHIFT];
	pthread_mutex_lock(&m->lock);
	same = pages->place[index].gpa == gpa && *kind == as;
	if (pages->place[index].gpa == gpa)
		*kind = as;
	else if (is_host_kind(*kind))
		err = page_replace(m, pages, index, gpa, as);
	else
		err = page_map_locked(m, pages, index, gpa, as);
	pthread_mutex_unlock(&m->lock);
	if (!err && !same)
		tell(m, gpa, PAGE_SIZE, true);
	return err;
}

/* What lay under a host page comes back: RAM, or memory that nobody refers to. */
static int uncover(struct mem *m, struct page_place *place)
{
	int err = in_ram(m, place->gpa) ? map_ram_at(m, place->gpa, PAGE_SIZE) : map_zeroes_at(m, place->gpa, PAGE_SIZE);

	if (err)
		return err;
	if (place->under)
		memcpy(m->base + place->gpa, place->under, PAGE_SIZE);
	free(place->under);
	m->kind[place->gpa >> PAGE_SHIFT] = place->hidden;
	*place = (struct page_place){ .gpa = UNMAPPED };
	return 0;
}

int mem_page_unmap(struct mem *m, struct gamut_page *pages, uint32_t index)
{
	uint64_t gpa;
	int err;

	if (index >= pages->n)
		return -EINVAL;
	pthread_mutex_lock(&m->lock);
	gpa = pages->place[index].gpa;
	err = gpa == UNMAPPED ? -ENOENT : uncover(m, &pages->place[index]);
	pthread_mutex_unlock(&m->lock);
	if (!err)
		tell(m, gpa, PAGE_SIZE, true);
	return err;
}

/* ---- balloon ----------------------------------------------------------------------- */

/* All pages of a range are configured RAM of the given kind now. */
static bool all_kind(const struct mem *m, uint64_t gpa, uint64_t len, uint8_t kind)
{
	for (uint64_t at = gpa; at < gpa + len; at += PAGE_SIZE) {
		if (m->kind[at >> PAGE_SHIFT] != kind || !in_ram(m, at))
			return false;
	}
	return true;
}

/* A range of whole pages that lies in the space. */
static bool balloon_range(const struct mem *m, uint64_t gpa, uint64_t len)
{
	return len && !((gpa | len) & ~PAGE_MASK) && in_space(m, gpa, len);
}

/* Its pages are zeroes, and nobody's memory. Host pages that lie over it are files, and keep what is in them. */
static int drop(struct mem *m, uint64_t gpa, uint64_t len)
{
	return madvise(m->base + gpa, len, MADV_DONTNEED) ? -errno : 0;
}

static void set_small_pages(struct mem *m, bool small)
{
	if (m->small_pages == small)
		return;
	m->small_pages = small;
	for (uint32_t i = 0; i < m->n_ranges; i++)
		advise(m, m->ranges[i].gpa, m->ranges[i].size, small ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}

static void count_released(struct mem *m, uint64_t len, bool out)
{
	m->released += out ? len : -len;
	if (m->released > m->ram_size / MUCH_RELEASED)
		set_small_pages(m, true);
}

static int balloon(struct mem *m, uint64_t gpa, uint64_t len, uint8_t from, uint8_t to)
{
	int err;

	if (!balloon_range(m, gpa, len))
		return -EINVAL;
	pthread_mutex_lock(&m->lock);
	err = all_kind(m, gpa, len, from) ? 0 : -EINVAL;
	/* Out: give the memory back after nobody new can get at it. In: what a late access left is wiped. */
	if (!err && to == MEM_NONE)
		memset(m->kind + (gpa >> PAGE_SHIFT), to, len >> PAGE_SHIFT);
	if (!err)
		err = drop(m, gpa, len);
	if (!err) {
		memset(m->kind + (gpa >> PAGE_SHIFT), to, len >> PAGE_SHIFT);
		count_released(m, len, to == MEM_NONE);
	}
	pthread_mutex_unlock(&m->lock);
	if (!err)
		tell(m, gpa, len, true);
	return err;
}

int mem_release(struct mem *m, uint64_t gpa, uint64_t len)
{
	return balloon(m, gpa, len, MEM_RAM, MEM_NONE);
}

int mem_populate(struct mem *m, uint64_t gpa, uint64_t len)
{
	return balloon(m, gpa, len, MEM_NONE, MEM_RAM);
}

/* ---- whole domain -------------------------------------------------------------------- */

/* Under a host page lies configured RAM again; what the page is, RAM or ROM, stays. */
static void reset_hidden(struct mem *m)
{
	for (struct gamut_page *p = m->pages; p; p = p->next) {
		for (uint32_t i = 0; i < p->n; i++) {
			uint64_t gpa = p->place[i].gpa;

			if (gpa == UNMAPPED)
				continue;
			p->place[i].hidden = in_ram(m, gpa) ? MEM_RAM : MEM_NONE;
			free(p->place[i].under);
			p->place[i].under = NULL;
		}
	}
}

/* All configured RAM that no host page lies over. */
static void reset_kinds(struct mem *m)
{
	for (uint32_t i = 0; i < m->n_ranges; i++) {
		uint8_t *kind = m->kind + (m->ranges[i].gpa >> PAGE_SHIFT);

		for (uint64_t n = 0; n < m->ranges[i].size >> PAGE_SHIFT; n++)
			if (kind[n] == MEM_NONE)
				kind[n] = MEM_RAM;
	}
	reset_hidden(m);
}

int mem_reset(struct mem *m)
{
	int err = 0;

	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->n_ranges && !err; i++)
		err = drop(m, m->ranges[i].gpa, m->ranges[i].size);
	if (!err) {
		reset_kinds(m);
		m->released = 0;
		set_small_pages(m, false);
	}
	pthread_mutex_unlock(&m->lock);
	if (!err)
		tell(m, 0, m->limit, true);
	return err;
}

struct mem_usage mem_usage(const struct mem *m)
{
	uint64_t first = (uintptr_t)m->base, from, to, kib;
	struct mem_usage u = { 0 };
	FILE *f = fopen("/proc/self/smaps", "re");
	bool ours = false;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2)
			ours = from >= first && to <= first + m->limit;
		else if (ours && sscanf(line, "Rss: %" SCNu64, &kib) == 1)
			u.touched += kib << 10;
		else if (ours && sscanf(line, "Anonymous: %" SCNu64, &kib) == 1)
			u.anonymous += kib << 10;
	}
	if (f)
		fclose(f);
	return u;
}
