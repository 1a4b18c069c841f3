/* SPDX-License-Identifier: MIT */
/*
 * The protocol between vCPUs, without guest code: each is a thread that is busy
 * and comes to safepoints, as vcpu_run and translated code would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/bt/mmu.h"
#include "engine/bt/smp.h"

#define VCPUS 3u
#define RAM (16ull << 20)
#define PAGE 0x5000ull
#define ROUNDS 2000

struct rig {
	struct mem mem;
	struct engine_vm *vm;
	struct engine_vcpu *engine[VCPUS];
	struct bt_vcpu *v[VCPUS];
	_Atomic uint32_t attention[VCPUS];
	pthread_t thread[VCPUS];
	atomic_uint steps[VCPUS]; /* that each thread has made while busy */
	atomic_bool end;
	/* protected by the translator lock with all others stopped */
	unsigned alone;
	volatile unsigned sum;
};

static int setup(void **state)
{
	const struct engine_config config = { .vcpus = VCPUS, .code_cache = 4 << 20, .debug = "" };
	struct rig *r = calloc(1, sizeof(*r));
	char err[200];

	assert_non_null(r);
	assert_int_equal(mem_init(&r->mem, RAM, err, sizeof(err)), 0);
	assert_int_equal(engine_bt.vm_create(&r->vm, &r->mem, &config, err, sizeof(err)), 0);
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct engine_vcpu_env env = { .opaque = r, .attention = &r->attention[i] };

		assert_int_equal(engine_bt.vcpu_create(r->vm, i, &env, &r->engine[i], err, sizeof(err)), 0);
		r->v[i] = bt_vcpu_of(r->engine[i]);
	}
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < VCPUS; i++)
		engine_bt.vcpu_destroy(r->engine[i]);
	engine_bt.vm_destroy(r->vm);
	mem_finish(&r->mem);
	free(r);
	return 0;
}

/* ---- the other vCPUs -------------------------------------------------------------------- */

struct job {
	struct rig *r;
	uint32_t i;
};

/* In translated code: steps, and a poll after each. */
static void *runs(void *opaque)
{
	struct job job = *(struct job *)opaque;
	struct bt_vcpu *v = job.r->v[job.i];

	free(opaque);
	smp_busy(v);
	while (!atomic_load(&job.r->end)) {
		atomic_fetch_add(&job.r->steps[job.i], 1);
		smp_safepoint(v);
	}
	smp_quiet(v);
	return NULL;
}

/* Wants the others stopped, all the time. */
static void *stops(void *opaque)
{
	struct job job = *(struct job *)opaque;
	struct rig *r = job.r;
	struct bt_vcpu *v = r->v[job.i];

	free(opaque);
	smp_busy(v);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned sum;

		smp_lock(v);
		smp_stop(v, SMP_ALL);
		sum = r->sum;
		r->alone++;
		r->sum = sum + 1;
		smp_unlock(v);
		atomic_fetch_add(&r->steps[job.i], 1);
		smp_safepoint(v);
	}
	smp_quiet(v);
	return NULL;
}

static void start(struct rig *r, uint32_t i, void *(*fn)(void *))
{
	struct job *job = malloc(sizeof(*job));

	assert_non_null(job);
	*job = (struct job){ r, i };
	assert_int_equal(pthread_create(&r->thread[i], NULL, fn, job), 0);
}

static void wait_steps(struct rig *r, uint32_t i, unsigned more)
{
	unsigned from = atomic_load(&r->steps[i]);

	while (atomic_load(&r->steps[i]) - from < more)
		usleep(100);
}

static void end(struct rig *r, uint32_t i)
{
	atomic_store(&r->end, true);
	assert_int_equal(pthread_join(r->thread[i], NULL), 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void stopped_until_unlocked(void **state)
{
	struct rig *r = *state;
	unsigned steps;

	start(r, 1, runs);
	wait_steps(r, 1, 10);
	smp_busy(r->v[0]);
	smp_lock(r->v[0]);
	smp_stop(r->v[0], SMP_ALL);
	assert_int_equal(r->v[1]->smp.state, SMP_QUIET);
	steps = atomic_load(&r->steps[1]);
	usleep(5000);
	assert_int_equal(atomic_load(&r->steps[1]), steps);
	smp_unlock(r->v[0]);
	smp_quiet(r->v[0]);
	wait_steps(r, 1, 10);
	end(r, 1);
}

/* One that is quiet is not waited for, but does not become busy either. */
static void quiet_is_not_waited_for(void **state)
{
	struct rig *r = *state;

	smp_busy(r->v[0]);
	smp_lock(r->v[0]);
	smp_stop(r->v[0], SMP_ALL);
	start(r, 1, runs);
	usleep(5000);
	assert_int_equal(atomic_load(&r->steps[1]), 0);
	smp_unlock(r->v[0]);
	smp_quiet(r->v[0]);
	wait_steps(r, 1, 10);
	end(r, 1);
}

static void mask_spares_the_rest(void **state)
{
	struct rig *r = *state;

	start(r, 1, runs);
	start(r, 2, runs);
	wait_steps(r, 1, 10);
	smp_busy(r->v[0]);
	smp_lock(r->v[0]);
	smp_stop(r->v[0], 1u << 2);
	wait_steps(r, 1, 100); /* goes on */
	assert_int_equal(r->v[2]->smp.state, SMP_QUIET);
	smp_stop(r->v[0], SMP_ALL); /* more of them, with the same lock */
	assert_int_equal(r->v[1]->smp.state, SMP_QUIET);
	smp_lock(r->v[0]);
	smp_unlock(r->v[0]); /* the inner one lets nobody go */
	assert_int_equal(r->v[1]->smp.state, SMP_QUIET);
	smp_unlock(r->v[0]);
	smp_quiet(r->v[0]);
	end(r, 1);
	end(r, 2);
}

/* All of them stop all the others: none waits for ever, and no two are alone at once. */
static void all_stop_all(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < VCPUS; i++)
		start(r, i, stops);
	for (uint32_t i = 0; i < VCPUS; i++)
		end(r, i);
	assert_int_equal(r->sum, VCPUS * ROUNDS);
	assert_int_equal(r->alone, VCPUS * ROUNDS);
}

/* A vCPU goes on between any two stops. */
static void who_was_stopped_has_a_turn(void **state)
{
	struct rig *r = *state;
	unsigned before = 0, stuck = 0;

	start(r, 1, runs);
	wait_steps(r, 1, 10);
	smp_busy(r->v[0]);
	for (unsigned i = 0; i < ROUNDS; i++) {
		smp_lock(r->v[0]);
		smp_stop(r->v[0], SMP_ALL);
		stuck += atomic_load(&r->steps[1]) == before;
		before = atomic_load(&r->steps[1]);
		smp_unlock(r->v[0]);
	}
	smp_quiet(r->v[0]);
	assert_int_equal(stuck, 0);
	end(r, 1);
}

/* Waiting for the lock is quiet, and shows. */
static void waiting_is_quiet(void **state)
{
	struct rig *r = *state;

	smp_busy(r->v[0]);
	smp_lock(r->v[0]);
	start(r, 1, stops);
	while (!__atomic_load_n(&r->v[1]->smp.waiting, __ATOMIC_SEQ_CST))
		usleep(100);
	smp_stop(r->v[0], SMP_ALL);
	assert_int_equal(r->v[1]->smp.lost, 0);
	smp_unlock(r->v[0]);
	smp_quiet(r->v[0]);
	end(r, 1);
	assert_true(r->v[1]->smp.lost > 0);
}

static struct tlb_entry *tag(struct rig *r, uint32_t i)
{
	struct mmu_page page;
	struct tlb_entry *e;

	assert_int_equal(tlb_fill(r->v[i], PAGE, ACC_WRITE, &e, &page), STEP_OK);
	assert_non_null(e);
	assert_int_equal(e->tag_w, PAGE);
	return e;
}

static void code_takes_the_others_write_tags(void **state)
{
	struct rig *r = *state;
	struct tlb_entry *mine = tag(r, 0), *other = tag(r, 1);
	struct mmu_page page;
	struct tlb_entry *e;

	assert_int_equal(r->v[0]->writers[PAGE >> PAGE_SHIFT], 3);
	smp_busy(r->v[0]);
	start(r, 2, runs); /* has no tag: is not asked */
	wait_steps(r, 2, 10);
	smp_lock(r->v[0]);
	r->mem.code[PAGE >> PAGE_SHIFT] = 1;
	tlb_protect_gpa(r->v[0], PAGE, false);
	smp_own_page(r->v[0], PAGE);
	assert_int_equal(r->v[0]->writers[PAGE >> PAGE_SHIFT], 1);
	assert_int_not_equal(mine->tag_w, PAGE);
	assert_int_not_equal(other->tag_w, PAGE);
	assert_int_equal(other->tag_r, PAGE);
	wait_steps(r, 2, 10);
	/* No write tag any more, but the wish is noted. */
	assert_int_equal(tlb_fill(r->v[1], PAGE, ACC_WRITE, &e, &page), STEP_OK);
	assert_null(e);
	assert_int_equal(r->v[0]->writers[PAGE >> PAGE_SHIFT], 3);
	smp_unlock(r->v[0]);
	smp_quiet(r->v[0]);
	end(r, 2);
}

/* The writer asks before each store; while the translator has the page nothing in it changes. */
static void *writes(void *opaque)
{
	struct job job = *(struct job *)opaque;
	struct rig *r = job.r;
	struct bt_vcpu *v = r->v[job.i];
	volatile uint64_t *word = (volatile uint64_t *)(void *)(r->mem.base + PAGE);

	free(opaque);
	smp_busy(v);
	while (!atomic_load(&r->end)) {
		bt_code_write(v, PAGE, 8);
		*word = *word + 1;
		atomic_fetch_add(&r->steps[job.i], 1);
		smp_safepoint(v);
	}
	smp_quiet(v);
	return NULL;
}

static void nobody_writes_while_it_is_read(void **state)
{
	struct rig *r = *state;
	volatile uint64_t *word = (volatile uint64_t *)(void *)(r->mem.base + PAGE);
	unsigned changed = 0;

	start(r, 1, writes);
	wait_steps(r, 1, 10);
	smp_busy(r->v[0]);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t was;

		smp_lock(r->v[0]);
		r->mem.code[PAGE >> PAGE_SHIFT] = 1;
		smp_own_page(r->v[0], PAGE);
		was = *word;
		for (unsigned k = 0; k < 50; k++)
			changed += *word != was;
		r->mem.code[PAGE >> PAGE_SHIFT] = 0;
		smp_unlock(r->v[0]);
		smp_safepoint(r->v[0]);
	}
	smp_quiet(r->v[0]);
	assert_int_equal(changed, 0);
	end(r, 1);
	assert_int_equal(*word, atomic_load(&r->steps[1]));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(stopped_until_unlocked), T(quiet_is_not_waited_for), T(mask_spares_the_rest), T(all_stop_all),
		T(who_was_stopped_has_a_turn), T(waiting_is_quiet), T(code_takes_the_others_write_tags),
		T(nobody_writes_while_it_is_read),
	};

	alarm(60); /* a deadlock is a failure, too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
