/* SPDX-License-Identifier: MIT */
/*
 * The memory half of the PV monitor on a fake host with a fake engine: guest
 * tables are in the fake's RAM, virtual addresses of arguments are physical
 * ones, and what the engine is told is counted.
 *
 * The guest as it boots, in frames: L4 0x100, L3 0x101, L2 0x102, L1 0x103. The
 * L1 table maps frames 0x200 to 0x23f writable at PAGE(0) to PAGE(63), and the
 * four tables read-only at PAGE(100) to PAGE(103).
 *
 * rig_teardown compares the counts of all frames with what the tables hold, so
 * every test is one of the bookkeeping too.
 */
#ifndef TEST_PV_RIG_H
#define TEST_PV_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dm/xen/pv/pv-mmu.h"
#include "fake/host-fake.h"

#define RAM (16ull << 20)
#define FRAMES (RAM >> 12)
#define VCPUS_MAX 4

#define ROOT 0x100ull
#define L3 0x101ull
#define L2 0x102ull
#define L1 0x103ull
#define DATA 0x200ull
#define FREE 0x400ull /* from here on frames are free */
#define HOST_GPA 0xf0000000ull /* a page that another part of the domain has put there */

#define ARG 0x80000ull
#define DONE 0x7f000ull
#define PAGE(n) ((uint64_t)(n) << 12)
#define NOWHERE (UINT64_MAX - 7)

#define RW (PTE_P | PTE_RW | PTE_U | PTE_A | PTE_D)
#define RO (PTE_P | PTE_U | PTE_A)
#define TABLE (PTE_P | PTE_RW | PTE_U | PTE_A | PTE_D)
#define PTE(mfn, flags) ((uint64_t)(mfn) << 12 | (flags))
#define MADDR(mfn, slot) ((uint64_t)(mfn) << 12 | (uint64_t)(slot) * 8)

struct rig_cpu {
	struct gamut_pv_cpu cpu; /* first */
	struct rig *rig;
	uint64_t gpr[16];
	uint64_t kernel, user; /* as last told */
	uint32_t roots, flushes, pages, others;
	uint64_t page, other; /* the last one of each */
	uint64_t gdt, ldt;
	uint32_t gdt_limit, ldt_limit;
};

struct rig {
	struct host_fake *f;
	struct pv_domain d;
	struct pv_vcpu vcpu[VCPUS_MAX];
	struct gamut_pv_cpu *cpus[VCPUS_MAX];
	struct rig_cpu cpu[VCPUS_MAX];
	uint64_t hole[GAMUT_PV_HOLE_SLOTS];
	uint32_t writes; /* of entries */
	uint64_t race;   /* ORed in before the next exchange: what the processor sets meanwhile */
	uint64_t native_gpa, native_value; /* what the guest's instruction writes */
	uint64_t native_changed; /* the entry changes to this before it does; 0: not */
	struct gamut_page *host_page;
};

/* ---- the engine ---- */

static inline struct rig_cpu *rig_cpu(struct gamut_pv_cpu *cpu)
{
	return (struct rig_cpu *)cpu;
}

static inline int rig_read(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, uint64_t *fault)
{
	struct host_fake *f = rig_cpu(cpu)->rig->f;

	(void)fault;
	return f->host->mem_read(f->inst, va, buf, len);
}

static inline int rig_write(struct gamut_pv_cpu *cpu, uint64_t va, const void *buf, uint32_t len, uint64_t *fault)
{
	struct host_fake *f = rig_cpu(cpu)->rig->f;

	(void)fault;
	return f->host->mem_write(f->inst, va, buf, len);
}

static inline void rig_roots(struct gamut_pv_cpu *cpu, uint64_t kernel, uint64_t user)
{
	struct rig_cpu *c = rig_cpu(cpu);

	c->roots++;
	if (kernel != GAMUT_PV_KEEP)
		c->kernel = kernel;
	if (user != GAMUT_PV_KEEP)
		c->user = user;
}

static inline void rig_flush(struct gamut_pv_cpu *cpu)
{
	rig_cpu(cpu)->flushes++;
}

static inline void rig_flush_page(struct gamut_pv_cpu *cpu, uint64_t va)
{
	rig_cpu(cpu)->pages++;
	rig_cpu(cpu)->page = va;
}

static inline void rig_flush_others(struct gamut_pv_cpu *cpu, uint64_t va)
{
	rig_cpu(cpu)->others++;
	rig_cpu(cpu)->other = va;
}

/* Also of the monitor's own pages. */
static inline uint64_t *rig_at(struct rig *r, uint64_t gpa)
{
	uint64_t *p;

	assert_int_equal(gpa % 8, 0);
	p = r->f->host->mem_get(r->f->inst, gpa, 8);
	assert_non_null(p);
	r->f->host->mem_put(r->f->inst, p, 8);
	return p;
}

static inline void rig_pte_write(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t value)
{
	__atomic_fetch_add(&rig_cpu(cpu)->rig->writes, 1, __ATOMIC_RELAXED);
	__atomic_store_n(rig_at(rig_cpu(cpu)->rig, gpa), value, __ATOMIC_RELAXED);
}

static inline uint64_t rig_pte_exchange(struct gamut_pv_cpu *cpu, uint64_t gpa, uint64_t expected, uint64_t value)
{
	struct rig *r = rig_cpu(cpu)->rig;
	uint64_t *p = rig_at(r, gpa);

	*p |= r->race;
	r->race = 0;
	__atomic_fetch_add(&r->writes, 1, __ATOMIC_RELAXED);
	__atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return expected;
}

static inline void rig_set_gdt(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit)
{
	rig_cpu(cpu)->gdt = base;
	rig_cpu(cpu)->gdt_limit = limit;
}

static inline void rig_set_ldt(struct gamut_pv_cpu *cpu, uint64_t base, uint32_t limit)
{
	rig_cpu(cpu)->ldt = base;
	rig_cpu(cpu)->ldt_limit = limit;
}

static inline const uint64_t *rig_hole(const struct gamut_pv_cpu *cpu)
{
	return ((const struct rig_cpu *)cpu)->rig->hole;
}

static inline int rig_emulate_write(struct gamut_pv_cpu *cpu, uint64_t gpa,
                                    int (*fn)(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value),
                                    void *opaque)
{
	struct rig *r = rig_cpu(cpu)->rig;
	uint64_t old;

	assert_int_equal(gpa, r->native_gpa & ~0xfffull);
	old = *rig_at(r, r->native_gpa);
	if (r->native_changed)
		*rig_at(r, r->native_gpa) = r->native_changed;
	return fn(opaque, r->native_gpa, old, r->native_value);
}

static const struct gamut_pv_cpu_ops rig_ops = {
	.size = sizeof(struct gamut_pv_cpu_ops),
	.read = rig_read,
	.write = rig_write,
	.roots = rig_roots,
	.flush = rig_flush,
	.flush_page = rig_flush_page,
	.pte_write = rig_pte_write,
	.pte_exchange = rig_pte_exchange,
	.set_gdt = rig_set_gdt,
	.set_ldt = rig_set_ldt,
	.hole = rig_hole,
	.emulate_write = rig_emulate_write,
	.flush_others = rig_flush_others,
};

/* ---- the guest ---- */

/* Memory as the guest writes it where nothing stops it. */
static inline void rig_put(struct rig *r, uint64_t mfn, uint64_t slot, uint64_t value)
{
	*rig_at(r, MADDR(mfn, slot)) = value;
}

static inline uint64_t rig_see(struct rig *r, uint64_t mfn, uint64_t slot)
{
	return *rig_at(r, MADDR(mfn, slot));
}

static inline void rig_tables(struct rig *r)
{
	rig_put(r, ROOT, 0, PTE(L3, TABLE));
	rig_put(r, L3, 0, PTE(L2, TABLE));
	rig_put(r, L2, 0, PTE(L1, TABLE));
	for (uint64_t i = 0; i < 64; i++)
		rig_put(r, L1, i, PTE(DATA + i, RW));
	for (uint64_t i = 0; i < 4; i++)
		rig_put(r, L1, 100 + i, PTE(ROOT + i, RO));
}

static inline void rig_make(struct rig *r, uint32_t vcpus)
{
	r->f = host_fake_create(RAM, vcpus);
	host_fake_grow(r->f, HOST_GPA + 0x10000);
	r->f->current = 0;
	xen_env_init(&r->d.env, r->f->host, r->f->inst);
	r->d.n_vcpus = vcpus;
	r->d.vcpu = r->vcpu;
	r->d.cpu = r->cpus;
	r->d.vm_assist = 1u << VMASST_TYPE_writable_pagetables;
	for (uint32_t i = 0; i < vcpus; i++) {
		r->cpu[i] = (struct rig_cpu){ .cpu = { .ops = &rig_ops, .vcpu = i, .gpr = r->cpu[i].gpr }, .rig = r };
		r->cpus[i] = &r->cpu[i].cpu;
		r->vcpu[i] = (struct pv_vcpu){ .domain = &r->d, .cpu = r->cpus[i], .index = i };
	}
}

static inline struct rig *rig_boot(uint32_t vcpus)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	void *page;

	rig_make(r, vcpus);
	assert_int_equal(pv_mmu_init(&r->d), 0);
	assert_int_equal(pv_mmu_register(&r->d), 0);
	r->host_page = r->f->host->page_alloc(r->f->inst, 1, &page);
	assert_int_equal(r->f->host->page_map(r->f->inst, r->host_page, 0, HOST_GPA), 0);
	rig_tables(r);
	assert_int_equal(pv_mmu_boot(&r->d, ROOT), 0);
	return r;
}

static inline int rig_setup(void **state)
{
	*state = rig_boot(1);
	return 0;
}

static inline int rig_setup_smp(void **state)
{
	*state = rig_boot(2);
	return 0;
}

/* ---- bookkeeping ---- */

static inline void rig_count_entry(struct rig *r, uint32_t *count, enum pv_use level, uint64_t entry)
{
	uint64_t mfn = pte_mfn(entry);

	if (!(entry & PTE_P) || mfn >= FRAMES)
		return;
	if (level == PV_L1 && !(entry & PTE_RW))
		return;
	assert_int_equal(pv_use_of(&r->d, mfn), level == PV_L1 ? PV_WRITABLE : level - 1);
	count[mfn]++;
}

/* Every present entry of a table has U and no G, and leads to what the level says. */
static inline void rig_count_table(struct rig *r, uint32_t *count, uint64_t mfn, enum pv_use level)
{
	for (uint64_t i = 0; i < PT_ENTRIES; i++) {
		uint64_t entry = rig_see(r, mfn, i);

		if (level == PV_L4 && pv_is_hole(i)) {
			/* m2p_strict takes machine_to_phys out. */
			if (entry || r->d.mmu->slot[i - GAMUT_PV_HOLE_FIRST] != r->d.mmu->m2p_entry)
				assert_int_equal(entry, r->d.mmu->slot[i - GAMUT_PV_HOLE_FIRST]);
			continue;
		}
		if (entry & PTE_P)
			assert_int_equal(entry & (PTE_U | PTE_G | PTE_PSE | PTE_PWT | PTE_PCD), PTE_U);
		rig_count_entry(r, count, level, entry);
	}
}

static inline void rig_count_vcpu(struct rig *r, uint32_t *count, const struct pv_vcpu *v)
{
	for (int i = 0; i < 2; i++)
		if (v->root[i])
			count[v->root[i]]++;
	for (uint32_t i = 0; i < WINDOW_PAGES; i++) {
		uint64_t entry = r->d.mmu->window[v->index * WINDOW_PAGES + i];

		if (entry & PTE_P && pte_mfn(entry) < FRAMES)
			count[pte_mfn(entry)]++;
	}
}

static inline void rig_check(struct rig *r)
{
	uint32_t *count = test_calloc(FRAMES, sizeof(*count));

	for (uint64_t mfn = 0; mfn < FRAMES; mfn++) {
		enum pv_use use = pv_use_of(&r->d, mfn);

		if (pv_is_table(use))
			rig_count_table(r, count, mfn, use);
		count[mfn] += !!(r->d.use[mfn] & PV_PINNED);
	}
	for (uint32_t i = 0; i < r->d.n_vcpus; i++)
		rig_count_vcpu(r, count, &r->vcpu[i]);
	for (uint64_t mfn = 0; mfn < FRAMES; mfn++) {
		if (count[mfn] != r->d.mmu->ref[mfn])
			fail_msg("frame %#llx (use %u): %u references counted, %u found", (unsigned long long)mfn,
			         r->d.use[mfn], r->d.mmu->ref[mfn], count[mfn]);
		if (!count[mfn])
			assert_true(r->d.use[mfn] == PV_FREE || r->d.use[mfn] == PV_NONE);
	}
	test_free(count);
}

static inline void rig_end(struct rig *r)
{
	rig_check(r);
	r->f->host->page_free(r->f->inst, r->host_page);
	pv_mmu_finish(&r->d);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
}

static inline int rig_teardown(void **state)
{
	rig_end(*state);
	return 0;
}

/* ---- hypercalls ---- */

static inline int64_t rig_call(struct rig *r, uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t e)
{
	struct gamut_hypercall call = { .nr = nr, .vcpu = r->f->current, .long_mode = 1, .args = { a, b, c, e } };

	return host_fake_hypercall(r->f, &call);
}

static inline int64_t rig_update(struct rig *r, uint64_t ptr, uint64_t val)
{
	struct mmu_update req = { ptr, val };

	memcpy(r->f->ram + ARG, &req, sizeof(req));
	return rig_call(r, __HYPERVISOR_mmu_update, ARG, 1, 0, DOMID_SELF);
}

static inline int64_t rig_exts(struct rig *r, const struct mmuext_op *e, uint32_t n)
{
	memcpy(r->f->ram + ARG, e, n * sizeof(*e));
	return rig_call(r, __HYPERVISOR_mmuext_op, ARG, n, 0, DOMID_SELF);
}

static inline int64_t rig_ext(struct rig *r, uint32_t cmd, uint64_t arg1, uint64_t arg2)
{
	struct mmuext_op e = { .cmd = cmd, .arg1.mfn = arg1, .arg2.src_mfn = arg2 };

	return rig_exts(r, &e, 1);
}

static inline int64_t rig_va(struct rig *r, uint64_t va, uint64_t entry, uint64_t flags)
{
	return rig_call(r, __HYPERVISOR_update_va_mapping, va, entry, flags, 0);
}

static inline enum pv_use rig_use(struct rig *r, uint64_t mfn)
{
	return pv_use_of(&r->d, mfn);
}

/* Where hostile guests point. Aligned ones are frames and addresses alike. */
static const uint64_t rig_bad_frames[] = { FRAMES, FRAMES + 1, 0xbffff, 0xc0000, 0xc0001, 0xfffff, 1ull << 39,
	                                   FRAMES_MAX, FRAMES_MAX + 1, 1ull << 52, 1ull << 63, UINT64_MAX };
#define N_BAD_FRAMES (sizeof(rig_bad_frames) / sizeof(rig_bad_frames[0]))

#endif
