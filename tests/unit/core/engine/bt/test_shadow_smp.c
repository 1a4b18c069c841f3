/* SPDX-License-Identifier: MIT */
/* Shadow page tables under several vCPUs: one changes an entry, others invalidate and must see it. No guest code runs. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/bt/mmu.h"
#include "engine/bt/smp.h"

#define VCPUS 3u
#define TURNS 4000u
#define FRAMES 0x200000ull /* frame of value n: FRAMES + n pages */
#define SEEN 0x9000ull     /* va whose entry changes */

struct rig {
	struct mem mem;
	struct engine_vm *vm;
	struct engine_vcpu *engine[VCPUS];
	struct bt_vcpu *v[VCPUS];
	_Atomic uint32_t attention[VCPUS];
	atomic_uint published;
	atomic_bool end;
	atomic_uint wrong, checks;
};

static void smp_map(struct rig *r, uint64_t gpa, uint64_t value)
{
	memcpy(r->mem.base + gpa, &value, 8);
}

static void smp_paging(struct bt_vcpu *v)
{
	v->cr0 = CR0_PE | CR0_PG | CR0_WP;
	v->cr4 = CR4_PAE;
	v->efer = EFER_LME | EFER_LMA | EFER_NXE;
	v->cr3 = 0x1000;
}

static void smp_create(struct rig *r)
{
	const struct engine_config config = { .vcpus = VCPUS, .code_cache = 4 << 20, .debug = "", .shadow = true };
	char err[200];

	memset(r, 0, sizeof(*r));
	assert_int_equal(mem_init(&r->mem, 256ull << 20, err, sizeof(err)), 0);
	assert_int_equal(engine_bt.vm_create(&r->vm, &r->mem, &config, err, sizeof(err)), 0);
	smp_map(r, 0x1000, 0x2007);
	smp_map(r, 0x2000, 0x3007);
	smp_map(r, 0x3000, 0x4007);
	for (uint64_t i = 0; i < 512; i++)
		smp_map(r, 0x4000 + i * 8, i << 12 | 7);
	smp_map(r, 0x4000 + SEEN / 512, FRAMES | 7);
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct engine_vcpu_env env = { .opaque = r, .attention = &r->attention[i] };

		assert_int_equal(engine_bt.vcpu_create(r->vm, i, &env, &r->engine[i], err, sizeof(err)), 0);
		r->v[i] = bt_vcpu_of(r->engine[i]);
		smp_paging(r->v[i]);
	}
}

static void smp_destroy(struct rig *r)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		engine_bt.vcpu_destroy(r->engine[i]);
	engine_bt.vm_destroy(r->vm);
	mem_finish(&r->mem);
}

/* On a host with few processors the others have to be given a turn. */
static void let_them_check(struct rig *r, struct bt_vcpu *v)
{
	unsigned before = atomic_load(&r->checks);

	smp_quiet(v);
	while (atomic_load(&r->checks) == before)
		sched_yield();
	smp_busy(v);
}

/* Changes the entry, then says which change that was. */
static void *writes(void *opaque)
{
	struct rig *r = opaque;
	struct bt_vcpu *v = r->v[0];

	smp_busy(v);
	for (unsigned i = 1; i <= TURNS; i++) {
		uint64_t entry = (FRAMES + i * 0x1000ull) | 7;

		mmu_write(v, 0x4000 + SEEN / 512, &entry, 8, 0);
		atomic_store(&r->published, i);
		if (i % 5 == 0)
			mmu_flush(v, false);
		smp_safepoint(v);
		if (i % 4 == 0)
			let_them_check(r, v);
	}
	smp_quiet(v);
	atomic_store(&r->end, true);
	return NULL;
}

/* Flushes, by page or all, and must then see that change or a later one. */
static void reads(struct rig *r, struct bt_vcpu *v, bool by_page)
{
	struct mmu_page page;

	smp_busy(v);
	while (!atomic_load(&r->end)) {
		unsigned known = atomic_load(&r->published);

		if (by_page)
			mmu_flush_page(v, SEEN);
		else
			mmu_flush(v, false);
		if (mmu_walk(v, SEEN, ACC_WRITE, &page) != STEP_OK || (page.gpa - FRAMES) >> 12 < known)
			atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->checks, 1);
		smp_safepoint(v);
	}
	smp_quiet(v);
}

static void *reads_by_page(void *opaque)
{
	struct rig *r = opaque;

	reads(r, r->v[1], true);
	return NULL;
}

static void *reads_all(void *opaque)
{
	struct rig *r = opaque;

	reads(r, r->v[2], false);
	return NULL;
}

static void others_see_changes(void **state)
{
	static struct rig r;
	pthread_t t[3];
	struct shadow_stats s;

	(void)state;
	smp_create(&r);
	assert_int_equal(pthread_create(&t[0], NULL, writes, &r), 0);
	assert_int_equal(pthread_create(&t[1], NULL, reads_by_page, &r), 0);
	assert_int_equal(pthread_create(&t[2], NULL, reads_all, &r), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(r.wrong, 0);
	assert_true(r.checks >= TURNS / 4);
	s = shadow_stats(r.v[0]->spt);
	assert_true(s.zaps > TURNS / 100);
	smp_destroy(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(others_see_changes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
