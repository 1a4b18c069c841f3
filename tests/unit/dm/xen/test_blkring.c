/* SPDX-License-Identifier: MIT */
/* One ring between a vCPU, which is answered at once where that can be, and the I/O thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm/xen/blkring.h"
#include "fake/block-fake.h"
#include "fake/xen-fake.h"

#define RAM  (1u << 20)
#define DISK (1u << 20)
#define DATA 0x10000u /* pages granted under their numbers from 16 on */

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct block_fake disk;
	struct blkring *ring;
	struct gamut_defer *defer;
	struct blkcounters counters;
	uint64_t counts[sizeof(struct blkcounters) / sizeof(uint64_t *)];
	uint32_t port;
	struct blkif_sring *s;
	_Atomic bool stop;
};

static void work(void *opaque)
{
	struct fixture *t = opaque;

	if (blkring_work(t->ring))
		t->f->host->defer_run(t->f->inst, t->defer);
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	uint64_t **c = (uint64_t **)&t->counters;
	struct blkring_config config = {.block = &t->disk.block, .grants = &xen_fake_grants, .grants_self = &t->x,
	                                .evtchn = &xen_fake_evtchn, .evtchn_self = &t->x, .counters = &t->counters,
	                                .abi = blkabi_find("x86_64-abi"), .refs = {1}, .n_pages = 1};

	for (size_t i = 0; i < sizeof(t->counts) / sizeof(t->counts[0]); i++)
		c[i] = &t->counts[i];
	t->f = host_fake_create(RAM, 2);
	xen_fake_init(&t->x, t->f);
	block_fake_init(&t->disk, DISK);
	for (uint32_t i = 0; i < DISK; i++)
		t->disk.data[i] = (uint8_t)(i >> 9);
	t->disk.at_once = true;
	t->defer = t->f->host->defer_create(t->f->inst, work, t);
	config.host = t->f->host;
	config.inst = t->f->inst;
	config.defer = t->defer;
	t->port = config.port = xen_fake_open(&t->x);
	xen_fake_grant(&t->x, 1, 0x1000, false);
	for (uint32_t i = 16; i < 64; i++)
		xen_fake_grant(&t->x, i, i * 4096, false);
	t->s = (void *)(t->f->ram + 0x1000);
	t->s->req_event = t->s->rsp_event = 1;
	t->ring = blkring_create(&config);
	assert_non_null(t->ring);
	host_fake_run(t->f);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	blkring_stop(t->ring);
	block_drain(&t->disk.block);
	blkring_destroy(t->ring);
	assert_int_equal(t->x.maps, 0);
	assert_int_equal(t->disk.n_refused, 0);
	t->f->host->defer_destroy(t->f->inst, t->defer);
	assert_int_equal(host_fake_destroy(t->f), 0);
	block_fake_finish(&t->disk);
	free(t);
	return 0;
}

static uint32_t notified(const struct fixture *t)
{
	return t->x.ports[t->port].notified;
}

/* n requests of a page each, from sector 8 * n on; the guest's page i is 16 + i. */
static void ask(struct fixture *t, uint8_t op, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct blkif_request *r = &t->s->ring[(t->s->req_prod + i) % t->ring->size].req;

		memset(r, 0, sizeof(*r));
		r->operation = op;
		r->nr_segments = op == BLKIF_OP_FLUSH_DISKCACHE ? 0 : 1;
		r->id = i;
		r->sector_number = 8 * i;
		r->seg[0] = (struct blkif_request_segment){16 + i, 0, 7};
	}
	__atomic_store_n(&t->s->req_prod, t->s->req_prod + n, __ATOMIC_RELEASE);
	xen_fake_send(&t->x, t->port);
}

static uint32_t answers(struct fixture *t)
{
	return __atomic_load_n(&t->s->rsp_prod, __ATOMIC_ACQUIRE);
}

static void test_at_once(void **state)
{
	struct fixture *t = *state;

	ask(t, BLKIF_OP_READ, 1);
	assert_int_equal(answers(t), 1);
	assert_int_equal(t->s->ring[0].rsp.status, BLKIF_RSP_OKAY);
	assert_int_equal(notified(t), 1);
	assert_memory_equal(t->f->ram + DATA, t->disk.data, 4096);
	assert_int_equal(*t->counters.at_once, 1);
	assert_int_equal(*t->counters.requests, 1);
	/* The next one is asked to be told of. */
	assert_int_equal(t->s->req_event, 2);
	t->s->rsp_event = 2;
	memset(t->f->ram + DATA, 0x5a, 4096);
	ask(t, BLKIF_OP_WRITE, 1);
	assert_int_equal(answers(t), 2);
	assert_int_equal(t->disk.data[0], 0x5a);
	assert_int_equal(t->disk.n_log, 0);
	assert_int_equal(t->x.maps, 1);
}

/* A flush is the I/O thread's, and what comes with it that is at hand is not held up. */
static void test_some_at_once(void **state)
{
	struct fixture *t = *state;

	ask(t, BLKIF_OP_FLUSH_DISKCACHE, 1);
	assert_int_equal(answers(t), 0);
	host_fake_run(t->f);
	assert_int_equal(answers(t), 1);
	assert_int_equal(*t->counters.flushes, 1);
	t->disk.hold = true; /* and nothing at once */
	ask(t, BLKIF_OP_READ, 2);
	assert_int_equal(answers(t), 1);
	assert_int_equal(t->disk.in_flight, 0);
	/* Prepared ones wait; more from the guest do so behind them. */
	ask(t, BLKIF_OP_READ, 1);
	host_fake_run(t->f);
	assert_int_equal(t->disk.in_flight, 3);
	t->disk.hold = false;
	block_fake_complete(&t->disk);
	host_fake_run(t->f);
	assert_int_equal(answers(t), 4);
	assert_int_equal(*t->counters.io_errors, 0);
}

static void test_many_are_for_io(void **state)
{
	struct fixture *t = *state;

	ask(t, BLKIF_OP_WRITE, 8);
	assert_int_equal(answers(t), 0);
	host_fake_run(t->f);
	assert_int_equal(answers(t), 8);
	/* The I/O thread does not write at once, as it may not wait. */
	assert_int_equal(t->disk.n_log, 8);
	ask(t, BLKIF_OP_READ, 8);
	host_fake_run(t->f);
	assert_int_equal(answers(t), 16);
	assert_int_equal(t->disk.n_log, 8);
	assert_int_equal(*t->counters.at_once, 8);
}

/* Paused with requests that only were prepared. */
static void test_stop_with_prepared(void **state)
{
	struct fixture *t = *state;

	t->disk.hold = true;
	ask(t, BLKIF_OP_READ, 3);
	assert_int_equal(t->x.maps, 4);
	blkring_stop(t->ring);
	block_drain(&t->disk.block);
	blkring_suspend(t->ring);
	assert_int_equal(t->x.maps, 0);
	assert_int_equal(answers(t), 3);
	/* An event while stopped is not lost. */
	t->disk.hold = false;
	ask(t, BLKIF_OP_READ, 1);
	assert_int_equal(answers(t), 3);
	assert_int_equal(blkring_resume(t->ring), 0);
	host_fake_run(t->f);
	assert_int_equal(answers(t), 4);
}

/* Rubbish on the vCPU's own thread. */
static void test_hostile(void **state)
{
	struct fixture *t = *state;

	ask(t, 77, 1);
	assert_int_equal(answers(t), 1);
	assert_int_equal(t->s->ring[0].rsp.status, BLKIF_RSP_EOPNOTSUPP);
	xen_fake_revoke(&t->x, 16);
	ask(t, BLKIF_OP_READ, 1);
	assert_int_equal(answers(t), 2);
	assert_int_equal(t->s->ring[1].rsp.status, BLKIF_RSP_ERROR);
	t->s->req_prod += 1000;
	xen_fake_send(&t->x, t->port);
	host_fake_run(t->f);
	assert_int_equal(*t->counters.broken, 1);
	xen_fake_send(&t->x, t->port);
	host_fake_run(t->f);
	assert_int_equal(answers(t), 2);
}

/* ---- both threads ---- */

static void *io_main(void *opaque)
{
	struct fixture *t = opaque;

	while (!atomic_load(&t->stop))
		host_fake_run(t->f);
	return NULL;
}

/* Nothing is lost or answered twice between them, whoever does it. */
static void test_both_threads(void **state)
{
	struct fixture *t = *state;
	uint32_t asked = 0;
	pthread_t io;

	assert_int_equal(pthread_create(&io, NULL, io_main, t), 0);
	for (uint32_t round = 0; round < 20000; round++) {
		uint32_t n = 1 + round % 7;

		t->s->rsp_event = asked + n;
		ask(t, round % 11 == 10 ? BLKIF_OP_FLUSH_DISKCACHE : round & 1 ? BLKIF_OP_WRITE : BLKIF_OP_READ, n);
		asked += n;
		for (uint32_t i = 0; answers(t) != asked && i < 2000000; i++)
			usleep(1);
		assert_int_equal(answers(t), asked);
		assert_int_equal(t->s->ring[(asked - 1) % t->ring->size].rsp.status, BLKIF_RSP_OKAY);
	}
	atomic_store(&t->stop, true);
	pthread_join(io, NULL);
	assert_int_equal(*t->counters.requests, asked);
	assert_true(*t->counters.at_once > 0);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(at_once),           T(some_at_once), T(many_are_for_io),
	        T(stop_with_prepared), T(hostile),     T(both_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
