/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "loop.h"

static struct loop loop;

struct probe {
	struct gamut_watch *watch, *victim;
	struct gamut_defer *defer;
	_Atomic unsigned count;
	uint32_t events;
	bool again;
};

static int setup(void **state)
{
	(void)state;
	return loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_stop(&loop);
	loop_finish(&loop);
	return 0;
}

static void on_fd(void *opaque, int fd, uint32_t events)
{
	struct probe *p = opaque;
	char byte;

	p->count++;
	p->events = events;
	if (events & GAMUT_FD_IN)
		assert_true(read(fd, &byte, 1) >= 0);
	if (p->victim) {
		loop_unwatch(&loop, p->victim);
		p->victim = NULL;
	}
}

static void on_defer(void *opaque)
{
	struct probe *p = opaque;

	p->count++;
	if (p->again) {
		p->again = false;
		loop_defer_run(&loop, p->defer);
	}
}

static void test_descriptor(void **state)
{
	struct probe p = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	p.watch = loop_watch(&loop, fds[0], GAMUT_FD_IN, on_fd, &p);
	assert_non_null(p.watch);
	loop_once(&loop, 0);
	assert_int_equal(p.count, 0);
	assert_int_equal(write(fds[1], "ab", 2), 2);
	loop_once(&loop, 100);
	assert_int_equal(p.count, 1);
	assert_int_equal(loop_modify(&loop, p.watch, 0), 0);
	loop_once(&loop, 0);
	assert_int_equal(p.count, 1);
	assert_int_equal(loop_modify(&loop, p.watch, GAMUT_FD_IN), 0);
	loop_once(&loop, 100);
	assert_int_equal(p.count, 2);
	close(fds[1]);
	loop_once(&loop, 100);
	assert_true(p.events & GAMUT_FD_ERR);
	loop_unwatch(&loop, p.watch);
	loop_unwatch(&loop, NULL);
	close(fds[0]);
	assert_null(loop_watch(&loop, -1, GAMUT_FD_IN, on_fd, &p));
}

/* Both ready in one batch; whichever comes first takes the other away. */
static void test_unwatch_within_batch(void **state)
{
	struct probe a = { 0 }, b = { 0 };
	int x[2], y[2];

	(void)state;
	assert_int_equal(pipe(x) | pipe(y), 0);
	a.watch = loop_watch(&loop, x[0], GAMUT_FD_IN, on_fd, &a);
	b.watch = loop_watch(&loop, y[0], GAMUT_FD_IN, on_fd, &b);
	a.victim = b.watch;
	b.victim = a.watch;
	assert_int_equal(write(x[1], "a", 1) + write(y[1], "b", 1), 2);
	loop_once(&loop, 100);
	assert_int_equal(a.count + b.count, 1);
	loop_unwatch(&loop, a.count ? a.watch : b.watch);
	loop_once(&loop, 0);
	close(x[0]);
	close(x[1]);
	close(y[0]);
	close(y[1]);
}

/* epoll refuses regular files; they count as ready. */
static void test_regular_file(void **state)
{
	struct probe p = { 0 };
	char path[] = "/tmp/gamut-loop-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	p.watch = loop_watch(&loop, fd, GAMUT_FD_IN, on_fd, &p);
	assert_non_null(p.watch);
	loop_once(&loop, 1000);
	loop_once(&loop, 1000);
	assert_int_equal(p.count, 2);
	assert_int_equal(loop_modify(&loop, p.watch, 0), 0);
	loop_once(&loop, 0);
	assert_int_equal(p.count, 2);
	loop_unwatch(&loop, p.watch);
	loop_once(&loop, 0);
	close(fd);
}

static void test_defer(void **state)
{
	struct probe p = { 0 };

	(void)state;
	p.defer = loop_defer_create(&loop, on_defer, &p);
	for (int i = 0; i < 10; i++)
		loop_defer_run(&loop, p.defer);
	loop_once(&loop, 1000);
	assert_int_equal(p.count, 1);
	p.again = true;
	loop_defer_run(&loop, p.defer);
	loop_once(&loop, 1000);
	loop_once(&loop, 1000);
	assert_int_equal(p.count, 3);
	/* Destroyed while queued, beside another that must still run. */
	struct probe q = { 0 };

	q.defer = loop_defer_create(&loop, on_defer, &q);
	loop_defer_run(&loop, p.defer);
	loop_defer_run(&loop, q.defer);
	loop_defer_destroy(&loop, p.defer);
	loop_once(&loop, 1000);
	assert_int_equal(p.count, 3);
	assert_int_equal(q.count, 1);
	loop_defer_destroy(&loop, q.defer);
}

static void *hammer(void *opaque)
{
	struct probe *p = opaque;

	for (int i = 0; i < 20000; i++) {
		unsigned before = p->count;

		loop_defer_run(&loop, p->defer);
		/* Every call that comes after the last run leads to one more. */
		if (i % 64)
			continue;
		for (int spins = 0; p->count == before; spins++) {
			if (spins > 5000)
				return (void *)1;
			usleep(1000);
		}
	}
	return NULL;
}

static void test_no_lost_wakeup(void **state)
{
	struct probe p = { 0 }, q = { 0 };
	pthread_t a, b;
	void *ra, *rb;

	(void)state;
	p.defer = loop_defer_create(&loop, on_defer, &p);
	q.defer = loop_defer_create(&loop, on_defer, &q);
	assert_int_equal(loop_start(&loop), 0);
	loop_unpark(&loop);
	pthread_create(&a, NULL, hammer, &p);
	pthread_create(&b, NULL, hammer, &q);
	pthread_join(a, &ra);
	pthread_join(b, &rb);
	/* What is still queued runs on the probes of this frame. */
	loop_stop(&loop);
	assert_null(ra);
	assert_null(rb);
}

static void test_park(void **state)
{
	struct probe p = { 0 };

	(void)state;
	p.defer = loop_defer_create(&loop, on_defer, &p);
	assert_int_equal(loop_start(&loop), 0);
	for (int i = 0; i < 50; i++) {
		loop_park(&loop);
		unsigned before = p.count;

		loop_defer_run(&loop, p.defer);
		usleep(200);
		assert_int_equal(p.count, before);
		loop_unpark(&loop);
		for (int spins = 0; p.count == before && spins < 5000; spins++)
			usleep(1000);
		assert_int_equal(p.count, before + 1);
	}
	loop_stop(&loop);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_descriptor), TEST(test_unwatch_within_batch), TEST(test_regular_file),
		TEST(test_defer),      TEST(test_no_lost_wakeup),       TEST(test_park),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
