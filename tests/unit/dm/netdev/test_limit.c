/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "dm/netdev/limit.h"
#include "fake/host-fake.h"
#include "fake/netdev-fake.h"

#define MS 1000000ull
#define SIZE 1000u
#define BATCH 64u

struct guest {
	struct host_fake *f;
	struct netdev *dev;
	struct netdev_fake *net;
	uint32_t got, room, writables, links;
};

/* What netdev_limit_open opens; there is one at a time. */
static struct netdev_fake *inner;

static struct netdev *open_fake(const struct gamut_host *host, struct gamut_inst *inst, const struct netdev_front *front,
                                int *error)
{
	(void)host;
	(void)inst;
	*error = 0;
	inner = netdev_fake_create();
	inner->front = *front;
	return &inner->netdev;
}

static struct netdev *open_nothing(const struct gamut_host *host, struct gamut_inst *inst,
                                   const struct netdev_front *front, int *error)
{
	(void)front;
	*error = (host->fail)(inst, ENODEV, "no");
	return NULL;
}

static uint32_t receive(void *opaque, const struct netdev_frame *frames, uint32_t n)
{
	struct guest *g = opaque;

	(void)frames;
	n = n < g->room ? n : g->room;
	g->room -= g->room == UINT32_MAX ? 0 : n;
	g->got += n;
	return n;
}

static void writable(void *opaque)
{
	((struct guest *)opaque)->writables++;
}

static void link_changed(void *opaque, bool up)
{
	(void)up;
	((struct guest *)opaque)->links++;
}

static int open_guest(struct guest *g, netdev_open_fn *open)
{
	struct netdev_front front = {.receive = receive, .writable = writable, .link = link_changed, .opaque = g};
	int error;

	g->dev = netdev_limit_open(g->f->host, g->f->inst, &front, open, &error);
	g->net = inner;
	return error;
}

static int setup(void **state)
{
	static struct guest g;

	g = (struct guest){.f = host_fake_create(1 << 20, 1), .room = UINT32_MAX};
	*state = &g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	netdev_close(g->dev);
	assert_int_equal(host_fake_destroy(g->f), 0);
	return 0;
}

static uint32_t frames_of(struct netdev_frame *frames, struct iovec *iov)
{
	static uint8_t data[SIZE];

	*iov = (struct iovec){data, SIZE};
	for (uint32_t i = 0; i < BATCH; i++)
		frames[i] = (struct netdev_frame){.iov = iov, .n_iov = 1, .length = SIZE};
	return BATCH;
}

static uint32_t send(struct guest *g)
{
	struct netdev_frame frames[BATCH];
	struct iovec iov;

	return netdev_send(g->dev, frames, frames_of(frames, &iov));
}

static uint32_t give(struct guest *g)
{
	struct netdev_frame frames[BATCH];
	struct iovec iov;

	return g->net->front.receive(g->net->front.opaque, frames, frames_of(frames, &iov));
}

static void no_limit_is_no_wrapper(void **state)
{
	struct guest *g = *state;

	assert_int_equal(open_guest(g, open_fake), 0);
	assert_ptr_equal(g->dev, &g->net->netdev);
}

/* A second's worth of tries takes a second's worth of bytes and the burst. */
static void what_is_sent(void **state)
{
	struct guest *g = *state;
	uint32_t sent = 0;

	host_fake_option(g->f, "rate", 0, "1MB/s@20ms");
	assert_int_equal(open_guest(g, open_fake), 0);
	assert_string_equal(g->dev->info.name, "fake");
	sent = send(g);
	assert_int_equal(sent, 20);
	assert_int_equal(send(g), 0); /* and again, without a word from us */
	assert_int_equal(g->writables, 0);
	for (uint32_t i = 0; i < 1000; i++) {
		host_fake_advance(g->f, MS);
		if (g->writables) {
			g->writables = 0;
			sent += send(g);
		}
	}
	assert_in_range(sent, 1015, 1021);
	assert_int_equal(g->net->n_sent, sent);
	assert_int_equal(give(g), BATCH); /* the other way is free */
	assert_int_equal(g->got, BATCH);
}

static void what_is_received(void **state)
{
	struct guest *g = *state;
	uint32_t got;

	host_fake_option(g->f, "rate-in", 0, "8Mb/s@20ms");
	assert_int_equal(open_guest(g, open_fake), 0);
	got = give(g);
	assert_int_equal(got, 20);
	netdev_ready(g->dev); /* the guest has room; that is not what is missing */
	assert_int_equal(g->net->readies, 0);
	assert_int_equal(give(g), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		host_fake_advance(g->f, MS);
		if (g->net->readies) {
			g->net->readies = 0;
			got += give(g);
		}
	}
	assert_in_range(got, 1015, 1021);
	assert_int_equal(g->got, got);
	assert_int_equal(send(g), BATCH);
}

/* A full ring or network is passed on as such, and what did not go has cost nothing. */
static void others_are_full(void **state)
{
	struct guest *g = *state;

	host_fake_option(g->f, "rate", 0, "1MB/s@20ms");
	host_fake_option(g->f, "rate-in", 0, "1MB/s@20ms");
	assert_int_equal(open_guest(g, open_fake), 0);
	g->net->room = 5;
	assert_int_equal(send(g), 5);
	host_fake_advance(g->f, 1); /* no timer: it is the network's to say when */
	assert_int_equal(g->writables, 0);
	g->net->room = UINT32_MAX;
	g->net->front.writable(g->net->front.opaque);
	assert_int_equal(g->writables, 1);
	assert_int_equal(send(g), 15);
	g->net->front.writable(g->net->front.opaque); /* that is not what is missing now */
	assert_int_equal(g->writables, 1);

	g->room = 5;
	assert_int_equal(give(g), 5);
	g->room = UINT32_MAX;
	netdev_ready(g->dev);
	assert_int_equal(g->net->readies, 1);
	assert_int_equal(give(g), 15);
}

/* A frame larger than the burst goes, and is paid for. */
static void large_frames(void **state)
{
	struct guest *g = *state;

	host_fake_option(g->f, "rate", 0, "1KB/s@1ms");
	assert_int_equal(open_guest(g, open_fake), 0);
	assert_int_equal(send(g), 1);
	host_fake_advance(g->f, 900 * MS);
	assert_int_equal(g->writables, 0);
	host_fake_advance(g->f, 200 * MS);
	assert_int_equal(g->writables, 1);
	assert_int_equal(send(g), 1);
}

static void the_rest_is_handed_on(void **state)
{
	struct guest *g = *state;

	host_fake_option(g->f, "rate", 0, "1KB/s@1ms");
	assert_int_equal(open_guest(g, open_fake), 0);
	g->net->front.link(g->net->front.opaque, false);
	assert_int_equal(g->links, 1);
	assert_int_equal(send(g), 1);
	netdev_flush(g->dev);
	assert_int_equal(g->net->flushes, 1);
	host_fake_advance(g->f, 5000 * MS);
	assert_int_equal(g->writables, 0); /* nobody waits any more */
}

static void failures(void **state)
{
	struct guest *g = *state;

	host_fake_option(g->f, "rate", 0, "fast");
	assert_int_equal(open_guest(g, open_fake), -EINVAL);
	assert_non_null(strstr(g->f->last_fail, "rate: \"fast\""));
	g->f->n_options = 0;
	host_fake_option(g->f, "rate-in", 0, "");
	assert_int_equal(open_guest(g, open_fake), -EINVAL);
	g->f->n_options = 0;
	host_fake_option(g->f, "rate", 0, "1B/s");
	assert_int_equal(open_guest(g, open_nothing), -ENODEV);
	assert_null(g->dev);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(no_limit_is_no_wrapper), TEST(what_is_sent),          TEST(what_is_received), TEST(others_are_full),
	        TEST(large_frames),           TEST(the_rest_is_handed_on), TEST(failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
