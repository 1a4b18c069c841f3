/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as C code reads and writes it.
 *
 * An access is one page in the TLB nearly always. Otherwise it is cut into at
 * most two spans, both translated before anything happens. Spans that are not
 * memory go first: they may have to return to the core (STEP_EXIT), and when
 * the instruction runs again, nothing in RAM may have changed yet.
 */
#include <errno.h>

#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/smp.h"

/* One page's part of an access. */
struct span {
	uint64_t gpa;
	uint8_t *buf;
	unsigned len;
	enum mem_kind kind;
};

static inline uint64_t linear(const struct bt_vcpu *v, uint64_t va)
{
	return bt_long_mode(v) ? va : (uint32_t)va;
}

static inline struct tlb_entry *slot_of(struct bt_vcpu *v, uint64_t va, unsigned access)
{
	return &v->tlb[mmu_table(v, access)][va >> PAGE_SHIFT & (TLB_SIZE - 1)];
}

/* Host address when [va, va+len) lies in one page that the tag admits. A page that is there for AC is not for all. */
static inline void *hit(const struct tlb_entry *e, uint64_t tag, uint64_t va, unsigned len, unsigned access)
{
	unsigned off = va & (PAGE_SIZE - 1);

	if (tag != (va & PAGE_MASK) || off + len > PAGE_SIZE || (e->flags & access & TLB_SMAP))
		return NULL;
	return (void *)(uintptr_t)(e->host + off);
}

_Static_assert(TLB_SMAP == ACC_IMPLICIT, "hit compares them");

typedef uint16_t __attribute__((aligned(1), may_alias)) u16_any;
typedef uint32_t __attribute__((aligned(1), may_alias)) u32_any;
typedef uint64_t __attribute__((aligned(1), may_alias)) u64_any;

/* Frames, gates and other short runs: starting a rep movs costs more than they do. */
static inline void copy_words(void *dst, const void *src, unsigned len)
{
	volatile u64_any *d = dst;
	const volatile u64_any *s = src;

	if (len > 64 || len % 8) {
		bt_copy(dst, src, len);
		return;
	}
	for (unsigned i = 0; i < len / 8; i++)
		d[i] = s[i];
}

/* Each ordinary size is one access, as the guest's other vCPUs expect. */
static inline void copy(void *dst, const void *src, unsigned len)
{
	switch (len) {
	case 1:
		*(volatile uint8_t *)dst = *(const volatile uint8_t *)src;
		break;
	case 2:
		*(volatile u16_any *)dst = *(const volatile u16_any *)src;
		break;
	case 4:
		*(volatile u32_any *)dst = *(const volatile u32_any *)src;
		break;
	case 8:
		*(volatile u64_any *)dst = *(const volatile u64_any *)src;
		break;
	default:
		copy_words(dst, src, len);
	}
}

static enum bt_step span_at(struct bt_vcpu *v, uint64_t va, unsigned access, uint8_t *buf, unsigned len,
                            struct span *s)
{
	struct tlb_entry *e;
	struct mmu_page page;
	enum bt_step step = tlb_fill(v, va, access & (ACC_WRITE | ACC_USER | ACC_IMPLICIT), &e, &page);

	if (step != STEP_OK)
		return step;
	*s = (struct span){ .gpa = page.gpa, .buf = buf, .len = len, .kind = mem_kind(v->mem, page.gpa) };
	/* To a store ROM is a device like any. */
	if ((access & ACC_WRITE) && s->kind == MEM_ROM)
		s->kind = MEM_NONE;
	return STEP_OK;
}

/* Cuts an access into spans; *n of them. */
static enum bt_step spans_of(struct bt_vcpu *v, uint64_t va, void *buf, unsigned len, unsigned access,
                             struct span s[2], unsigned *n)
{
	unsigned room = (unsigned)(PAGE_SIZE - (va & (PAGE_SIZE - 1)));
	unsigned first = len < room ? len : room;
	enum bt_step step = span_at(v, va, access, buf, first, &s[0]);

	*n = 1;
	if (step != STEP_OK || first == len)
		return step;
	*n = 2;
	return span_at(v, linear(v, va + first), access, (uint8_t *)buf + first, len - first, &s[1]);
}

/* Widest naturally aligned piece at gpa, at most len. */
static unsigned piece_at(uint64_t gpa, unsigned len)
{
	unsigned width = 8;

	while (width > len || (gpa & (width - 1)))
		width /= 2;
	return width;
}

static unsigned pieces_of(const struct span *s)
{
	unsigned n = 0;

	if (s->kind != MEM_NONE)
		return 0;
	for (unsigned off = 0; off < s->len; n++)
		off += piece_at(s->gpa + off, s->len - off);
	return n;
}

static enum bt_step mmio_exit(struct bt_vcpu *v, uint64_t gpa, unsigned width, bool write, uint64_t data)
{
	struct vcpu_exit *x = v->exit;

	x->reason = EXIT_MMIO;
	x->rip = v->rip;
	x->mmio.gpa = gpa;
	x->mmio.width = (uint8_t)width;
	x->mmio.write = write;
	x->mmio.data = data;
	return STEP_EXIT;
}

static enum bt_step mmio_span(struct bt_vcpu *v, struct span *s, bool write)
{
	unsigned width;

	for (unsigned off = 0; off < s->len; off += width) {
		uint64_t out = 0, in;

		width = piece_at(s->gpa + off, s->len - off);
		if (write)
			copy(&out, s->buf + off, width);
		if (!replay_take(v, &in))
			return mmio_exit(v, s->gpa + off, width, write, out);
		if (!write)
			copy(s->buf + off, &in, width);
	}
	return STEP_OK;
}

/* Code on a device, or in nothing: read as any data, which is all ones where nobody answers. */
static enum bt_step fetch_device(struct bt_vcpu *v, uint64_t gpa, uint8_t *buf, unsigned len)
{
	struct span s = { .gpa = gpa, .buf = buf, .len = len, .kind = MEM_NONE };

	return mmio_span(v, &s, false);
}

static void fill_ones(uint8_t *buf, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		((volatile uint8_t *)buf)[i] = 0xff;
}

/*
 * All parts that are not memory. What the record cannot hold (an xsave to a
 * device) is dropped as a whole; no device asks for that.
 */
static enum bt_step mmio_spans(struct bt_vcpu *v, struct span *s, unsigned n, unsigned access)
{
	unsigned pieces = pieces_of(&s[0]) + (n > 1 ? pieces_of(&s[1]) : 0);
	bool drop = (access & ACC_NOMMIO) || v->replay.next + pieces > REPLAY_MAX, write = access & ACC_WRITE;

	if (pieces == 0)
		return STEP_OK;
	v->n_dropped += drop;
	for (unsigned i = 0; i < n; i++) {
		enum bt_step step = STEP_OK;

		if (s[i].kind != MEM_NONE)
			continue;
		if (!drop)
			step = mmio_span(v, &s[i], write);
		else if (!write)
			fill_ones(s[i].buf, s[i].len);
		if (step != STEP_OK)
			return step;
	}
	return STEP_OK;
}

/*
 * Both spans, and where they are written leave to do so. All of it over again
 * after a wait for the translator lock, for mappings may be others by then.
 */
static enum bt_step spans_now(struct bt_vcpu *v, uint64_t va, void *buf, unsigned len, unsigned access,
                              struct span s[2], unsigned *n)
{
	enum bt_step step;
	uint64_t lost;

	do {
		lost = v->smp.lost;
		step = spans_of(v, va, buf, len, access, s, n);
		for (unsigned i = 0; step == STEP_OK && (access & ACC_WRITE) && i < *n; i++)
			if (s[i].kind != MEM_NONE)
				bt_code_write(v, s[i].gpa, s[i].len);
	} while (v->smp.lost != lost);
	return step;
}

static enum bt_step read_slow(struct bt_vcpu *v, uint64_t va, void *buf, unsigned len, unsigned access)
{
	struct span s[2];
	unsigned n;
	enum bt_step step = spans_now(v, va, buf, len, access, s, &n);

	if (step == STEP_OK)
		step = mmio_spans(v, s, n, access);
	if (step != STEP_OK)
		return step;
	for (unsigned i = 0; i < n; i++)
		if (s[i].kind != MEM_NONE)
			copy(s[i].buf, v->mem->base + s[i].gpa, s[i].len);
	return STEP_OK;
}

/*
 * Descriptors of a PV guest are read on its way into and out of its kernel,
 * mostly from pages that ring 3 may not read, which the TLB cannot have.
 */
static enum bt_step read_table(struct bt_vcpu *v, uint64_t va, void *buf, unsigned len, unsigned access)
{
	unsigned i = va >> PAGE_SHIFT & (PV_TABLES - 1), off = va & (PAGE_SIZE - 1);
	uint64_t page_va = va & PAGE_MASK;
	struct mmu_page page;
	enum bt_step step;

	if (off + len > PAGE_SIZE)
		return read_slow(v, va, buf, len, access);
	if (!v->pv.tables[v->pv.user][i].host || v->pv.tables[v->pv.user][i].va != page_va) {
		step = mmu_walk(v, va, access, &page);
		if (step != STEP_OK)
			return step;
		if (mem_kind(v->mem, page.gpa) == MEM_NONE || page.size != PAGE_SIZE)
			return read_slow(v, va, buf, len, access);
		v->pv.tables[v->pv.user][i].va = page_va;
		v->pv.tables[v->pv.user][i].host = v->mem->base + (page.gpa & PAGE_MASK);
	}
	copy(buf, v->pv.tables[v->pv.user][i].host + off, len);
	return STEP_OK;
}

enum bt_step mmu_read(struct bt_vcpu *v, uint64_t va, void *buf, unsigned len, unsigned access)
{
	const struct tlb_entry *e;
	const void *host;

	va = linear(v, va);
	e = slot_of(v, va, access);
	host = hit(e, e->tag_r, va, len, access);
	if (!host && bt_is_pv(v) && !(access & ACC_USER))
		return read_table(v, va, buf, len, access & ~(unsigned)ACC_WRITE);
	if (!host)
		return read_slow(v, va, buf, len, access & ~(unsigned)ACC_WRITE);
	copy(buf, host, len);
	return STEP_OK;
}

static enum bt_step write_slow(struct bt_vcpu *v, uint64_t va, const void *buf, unsigned len, unsigned access)
{
	struct span s[2];
	unsigned n;
	enum bt_step step = spans_now(v, va, (void *)(uintptr_t)buf, len, access, s, &n);

	if (step == STEP_OK)
		step = mmio_spans(v, s, n, access);
	if (step != STEP_OK)
		return step;
	for (unsigned i = 0; i < n; i++) {
		if (s[i].kind != MEM_NONE)
			copy(v->mem->base + s[i].gpa, s[i].buf, s[i].len);
	}
	return STEP_OK;
}

/*
 * For emulate_write: a store into the page that it is about goes to the
 * monitor as an old and a new value of the eight bytes around it, although the
 * page is mapped read-only; any other store is an ordinary one.
 */
static enum bt_step write_redirected(struct bt_vcpu *v, uint64_t va, const void *buf, unsigned len, unsigned access)
{
	int (*store)(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value) = v->pv.store;
	struct mmu_page page;
	uint64_t old, value;
	enum bt_step step = mmu_walk(v, va, access & ACC_USER, &page);

	if (step != STEP_OK)
		return step;
	if ((page.gpa & PAGE_MASK) != v->pv.store_page)
		return write_slow(v, va, buf, len, access);
	v->pv.store_error = -EINVAL;
	if ((page.gpa & 7) + len > 8)
		return bt_fault_error(v, EXC_GP, 0);
	value = old = __atomic_load_n((uint64_t *)(void *)(v->mem->base + (page.gpa & ~7ull)), __ATOMIC_RELAXED);
	bt_copy((uint8_t *)&value + (page.gpa & 7), buf, len);
	v->pv.store = NULL; /* what it calls writes as usual */
	smp_quiet(v);
	v->pv.store_error = store(v->pv.store_opaque, page.gpa & ~7ull, old, value);
	smp_busy(v);
	v->pv.store = store;
	return v->pv.store_error ? bt_fault_error(v, EXC_GP, 0) : STEP_OK;
}

enum bt_step mmu_write(struct bt_vcpu *v, uint64_t va, const void *buf, unsigned len, unsigned access)
{
	const struct tlb_entry *e;
	void *host;

	va = linear(v, va);
	if (v->pv.store)
		return write_redirected(v, va, buf, len, access | ACC_WRITE);
	e = slot_of(v, va, access);
	host = hit(e, e->tag_w, va, len, access);
	if (!host)
		return write_slow(v, va, buf, len, access | ACC_WRITE);
	copy(host, buf, len);
	return STEP_OK;
}

enum bt_step mmu_rmw(struct bt_vcpu *v, uint64_t va, unsigned len, unsigned access, void **host)
{
	const struct tlb_entry *e;
	struct span s[2];
	enum bt_step step;
	unsigned n;

	*host = NULL;
	if (v->pv.store)
		return STEP_OK; /* mmu_write will see it */
	va = linear(v, va);
	e = slot_of(v, va, access);
	*host = hit(e, e->tag_w, va, len, access);
	if (*host || (va & (PAGE_SIZE - 1)) + len > PAGE_SIZE)
		return STEP_OK;
	step = spans_now(v, va, NULL, len, access | ACC_WRITE, s, &n);
	if (step == STEP_OK && s[0].kind != MEM_NONE)
		*host = v->mem->base + s[0].gpa;
	return step;
}

enum bt_step mmu_fetch(struct bt_vcpu *v, uint64_t va, uint8_t *buf, unsigned len, unsigned *got)
{
	unsigned user = mmu_rights(v), room;
	const struct tlb_entry *e;
	enum bt_step step;
	uint64_t gpa;
	bool global;

	va = linear(v, va);
	room = (unsigned)(PAGE_SIZE - (va & (PAGE_SIZE - 1)));
	*got = len < room ? len : room;
	e = slot_of(v, va, user);
	if (e->tag_r == (va & PAGE_MASK) && (e->flags & TLB_EXEC)) {
		bt_copy(buf, hit(e, e->tag_r, va, *got, 0), *got);
		return STEP_OK;
	}
	step = bt_code_gpa(v, va, &gpa, &global);
	if (step != STEP_OK)
		return step;
	if (mem_kind(v->mem, gpa) == MEM_NONE)
		return fetch_device(v, gpa, buf, *got);
	bt_copy(buf, v->mem->base + gpa, *got);
	return STEP_OK;
}

#define TEXT_SIZE 16u

enum bt_step mmu_text(struct bt_vcpu *v, uint64_t va, const void **text)
{
	enum bt_step step;
	uint64_t gpa;
	bool global;

	va = linear(v, va);
	*text = NULL;
	if ((va & (PAGE_SIZE - 1)) > PAGE_SIZE - TEXT_SIZE)
		return STEP_OK;
	step = bt_code_gpa(v, va, &gpa, &global);
	if (step == STEP_OK && mem_kind(v->mem, gpa) != MEM_NONE)
		*text = v->mem->base + gpa;
	return step;
}
