/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "dm/block/block-options.h"
#include "dm/block/limit.h"
#include "fake/block-fake.h"
#include "fake/host-fake.h"

#define MS 1000000ull
#define DISK (1u << 20)
#define SIZE 4096u
#define REQS 64

struct disk {
	struct host_fake *f;
	struct block_fake fake;
	struct block *block;
	struct request {
		struct block_req req;
		struct iovec iov;
		struct disk *disk;
		int result;
		uint32_t order; /* of being done; 0: it is not */
		bool again;     /* done submits another */
	} req[REQS];
	uint32_t n, n_done;
	uint8_t data[65536];
};

static void submit(struct disk *d, uint8_t op, uint64_t offset, uint32_t length);

static void done(struct block_req *req, int result)
{
	struct request *r = (struct request *)req;

	assert_int_equal(r->order, 0);
	r->result = result;
	r->order = ++r->disk->n_done;
	if (r->again)
		submit(r->disk, BLOCK_READ, 0, SIZE);
}

static void submit(struct disk *d, uint8_t op, uint64_t offset, uint32_t length)
{
	struct request *r = &d->req[d->n++];

	*r = (struct request){.disk = d, .iov = {d->data, length}};
	r->req = (struct block_req){
	        .op = op, .n_iov = 1, .iov = &r->iov, .offset = offset, .length = length, .done = done};
	assert_int_equal(block_submit(d->block, &r->req), 0);
}

static int setup(void **state)
{
	static struct disk d;

	memset(&d, 0, sizeof(d));
	d.f = host_fake_create(1 << 20, 1);
	block_fake_init(&d.fake, DISK);
	*state = &d;
	return 0;
}

static int teardown(void **state)
{
	struct disk *d = *state;

	block_close(d->block);
	assert_true(d->fake.closed);
	block_fake_finish(&d->fake);
	assert_int_equal(host_fake_destroy(d->f), 0);
	return 0;
}

static void limit(struct disk *d, uint64_t bytes, uint64_t requests, uint64_t burst_ms)
{
	struct block_limits limits = {bytes, requests, burst_ms * MS};

	d->block = block_limit(d->f->host, d->f->inst, &d->fake.block, &limits);
	assert_non_null(d->block);
	assert_int_equal(d->block->info.capacity, DISK);
	assert_null(d->block->ops->now);
}

static void bytes_a_second(void **state)
{
	struct disk *d = *state;

	limit(d, 10 * SIZE, 0, 200);
	for (uint32_t i = 0; i < 12; i++)
		submit(d, i & 1 ? BLOCK_READ : BLOCK_WRITE, i * SIZE, SIZE);
	block_kick(d->block);
	assert_int_equal(d->n_done, 2);
	host_fake_advance(d->f, 1010 * MS);
	assert_int_equal(d->n_done, 12);
	for (uint32_t i = 0; i < 12; i++) {
		assert_int_equal(d->req[i].order, i + 1);
		assert_int_equal(d->req[i].result, 0);
	}
	assert_true(d->fake.kicks > 1);
}

static void time_for_each(void **state)
{
	struct disk *d = *state;

	limit(d, 10 * SIZE, 0, 100);
	for (uint32_t i = 0; i < 11; i++)
		submit(d, BLOCK_READ, 0, SIZE);
	block_kick(d->block);
	for (uint32_t ms = 0; ms < 1000; ms += 50) {
		/* One goes on credit. */
		assert_in_range(d->n_done, 1 + ms / 100, 2 + ms / 100);
		host_fake_advance(d->f, 50 * MS);
	}
}

/* Flushes and discards move nothing, but are requests. */
static void requests_a_second(void **state)
{
	struct disk *d = *state;

	limit(d, 0, 100, 50);
	for (uint32_t i = 0; i < 20; i++)
		submit(d, i % 3 ? BLOCK_FLUSH : BLOCK_DISCARD, 0, 65536);
	block_kick(d->block);
	assert_int_equal(d->n_done, 5);
	host_fake_advance(d->f, 100 * MS);
	assert_in_range(d->n_done, 14, 15);
	host_fake_advance(d->f, 100 * MS);
	assert_int_equal(d->n_done, 20);
}

/* Larger than what can be saved up: it goes, and is paid for. */
static void large_requests(void **state)
{
	struct disk *d = *state;

	limit(d, 65536, 0, 1);
	submit(d, BLOCK_WRITE, 0, 65536);
	submit(d, BLOCK_READ, 0, SIZE);
	block_kick(d->block);
	assert_int_equal(d->n_done, 1);
	host_fake_advance(d->f, 900 * MS);
	assert_int_equal(d->n_done, 1);
	host_fake_advance(d->f, 110 * MS);
	assert_int_equal(d->n_done, 2);
}

static void drain_does_not_wait(void **state)
{
	struct disk *d = *state;

	limit(d, SIZE, 0, 1);
	for (uint32_t i = 0; i < 10; i++)
		submit(d, BLOCK_READ, 0, SIZE);
	d->req[9].again = true;
	block_kick(d->block);
	assert_int_equal(d->n_done, 1);
	d->fake.hold = true;
	block_drain(d->block);
	assert_int_equal(d->n_done, 11);
	assert_int_equal(d->fake.in_flight, 0);
	/* But it is paid for. */
	d->fake.hold = false;
	submit(d, BLOCK_READ, 0, SIZE);
	block_kick(d->block);
	host_fake_advance(d->f, 9000 * MS);
	assert_int_equal(d->n_done, 11);
	host_fake_advance(d->f, 3000 * MS);
	assert_int_equal(d->n_done, 12);
}

/* What is refused at once is so, and costs nothing; what is refused later is done with that. */
static void refusals(void **state)
{
	struct disk *d = *state;
	struct block_req bad = {.op = BLOCK_READ, .offset = DISK, .length = SIZE, .done = done};

	limit(d, 10 * SIZE, 0, 100);
	assert_int_equal(block_submit(d->block, &bad), -EINVAL);
	submit(d, BLOCK_READ, 0, SIZE);
	submit(d, BLOCK_READ, DISK, SIZE);
	submit(d, BLOCK_READ, 0, SIZE);
	block_kick(d->block);
	assert_int_equal(d->n_done, 1);
	host_fake_advance(d->f, 101 * MS);
	assert_int_equal(d->n_done, 3);
	assert_int_equal(d->req[1].result, -EINVAL);
	assert_int_equal(d->req[2].result, 0);
}

static void options(void **state)
{
	struct disk *d = *state;
	struct block_options o;

	host_fake_option(d->f, "bps", 0, "50MB/s");
	host_fake_option(d->f, "iops", 300, NULL);
	host_fake_option(d->f, "burst", 20, NULL);
	block_options_read(d->f->host, d->f->inst, &o);
	assert_string_equal(o.bps, "50MB/s");
	assert_int_equal(o.iops, 300);
	assert_int_equal(o.burst, 20);
	limit(d, 1, 1, 1); /* for teardown */
}

static void rates_that_are_none(void **state)
{
	static const char *const bad[] = {"", "fast", "50", "1MB/s@20ms"};
	struct disk *d = *state;
	char err[128];

	for (uint32_t i = 0; i < 4; i++) {
		struct block_options o = {.bps = bad[i]};

		errno = 0;
		assert_null(block_open(d->f->host, d->f->inst, "/dev/null", &o, err, sizeof(err)));
		assert_int_equal(errno, EINVAL);
		assert_non_null(strstr(err, "bps: \""));
	}
	limit(d, 1, 1, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(bytes_a_second),      TEST(time_for_each), TEST(requests_a_second), TEST(large_requests),
	        TEST(drain_does_not_wait), TEST(refusals),      TEST(options),           TEST(rates_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
