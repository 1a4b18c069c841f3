/* SPDX-License-Identifier: MIT */
/* One console, its readers of either kind, and those who type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console.h"

static struct loop loop;
static struct console *con;
static unsigned inputs;

struct reader {
	struct console_reader r;
	unsigned readies;
};

static void ready(void *opaque)
{
	((struct reader *)opaque)->readies++;
}

static struct reader reader(bool lossless)
{
	return (struct reader){ .r = { .lossless = lossless, .ready = ready } };
}

static void join(struct reader *r, bool history)
{
	r->r.opaque = r;
	console_join(con, &r->r, history);
}

static int setup(void **state)
{
	(void)state;
	inputs = 0;
	con = console_create();
	return loop_init(&loop) || console_attach(con, &loop);
}

static int teardown(void **state)
{
	(void)state;
	console_detach(con);
	console_destroy(con);
	loop_finish(&loop);
	return 0;
}

static void on_input(void *opaque)
{
	(void)opaque;
	inputs++;
}

static void assert_next(struct reader *r, const char *text)
{
	char buf[64] = "";

	assert_int_equal(console_peek(&r->r, buf, sizeof(buf)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
	console_skip(&r->r, (uint32_t)strlen(text));
}

static void fill(size_t n)
{
	char piece[1000];

	for (size_t i = 0; i < n; i += sizeof(piece)) {
		memset(piece, 'a' + (int)(i / sizeof(piece) % 26), sizeof(piece));
		console_write(con, piece, (uint32_t)(n - i < sizeof(piece) ? n - i : sizeof(piece)));
	}
}

static void test_history(void **state)
{
	struct reader early = reader(true), late = reader(false), new = reader(false);

	(void)state;
	join(&early, true);
	assert_int_equal(early.readies, 0);
	assert_int_equal(console_write(con, "hello ", 6), 6);
	assert_int_equal(early.readies, 1);
	join(&late, true);
	assert_int_equal(late.readies, 1);
	join(&new, false);
	assert_int_equal(new.readies, 0);
	assert_int_equal(console_write(con, "world", 5), 5);
	assert_next(&early, "hello world");
	assert_next(&late, "hello world");
	assert_next(&new, "world");
	assert_next(&new, "");
	console_leave(&early.r);
	console_leave(&late.r);
	console_leave(&new.r);
	console_leave(&new.r);
}

/* With nobody there all is taken, and the last of it kept. */
static void test_nobody(void **state)
{
	static char much[3 * CONSOLE_HISTORY];
	struct reader r = reader(false);
	uint64_t out, in;
	char first;

	(void)state;
	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (char)(i % 251);
	assert_int_equal(console_write(con, much, 100000), 100000);
	assert_int_equal(console_write(con, much, sizeof(much)), sizeof(much));
	join(&r, true);
	assert_int_equal(console_peek(&r.r, &first, 1), 1);
	assert_int_equal(first, much[sizeof(much) - CONSOLE_HISTORY]);
	console_counts(con, &out, &in);
	assert_int_equal(out, 100000 + sizeof(much));
	assert_int_equal(in, 0);
	console_leave(&r.r);
}

/* A slow one that is waited for stops the guest; one that is not loses what went by. */
static void test_slow(void **state)
{
	struct reader slow = reader(false), patient = reader(true);
	char buf[CONSOLE_HISTORY];

	(void)state;
	console_on_input(con, on_input, NULL);
	loop_once(&loop, 0);
	inputs = 0;
	join(&slow, true);
	fill(CONSOLE_HISTORY + 500);
	assert_int_equal(console_peek(&slow.r, buf, sizeof(buf)), CONSOLE_HISTORY);
	assert_int_equal(slow.r.lost, 500);
	assert_int_equal(buf[0], 'a');
	assert_int_equal(buf[500], 'b');
	join(&patient, false);
	fill(CONSOLE_HISTORY - 1);
	assert_int_equal(console_write(con, "xyz", 3), 1);
	assert_int_equal(console_write(con, "yz", 2), 0);
	loop_once(&loop, 0);
	assert_int_equal(inputs, 0);
	assert_int_equal(console_peek(&patient.r, buf, sizeof(buf)), CONSOLE_HISTORY);
	assert_int_equal(buf[CONSOLE_HISTORY - 1], 'x');
	/* The writer hears of room when there is some to speak of, and once. */
	console_skip(&patient.r, 100);
	loop_once(&loop, 0);
	assert_int_equal(inputs, 0);
	console_skip(&patient.r, CONSOLE_HISTORY / 2);
	console_skip(&patient.r, 1);
	loop_once(&loop, 0);
	assert_int_equal(inputs, 1);
	/* And when the one it waited for goes away. */
	fill(CONSOLE_HISTORY);
	assert_int_equal(console_write(con, "z", 1), 0);
	console_leave(&patient.r);
	loop_once(&loop, 0);
	assert_int_equal(inputs, 2);
	assert_int_equal(console_write(con, "z", 1), 1);
	console_leave(&slow.r);
}

static void test_typing(void **state)
{
	struct reader r = reader(false);
	char much[5000] = { 0 }, buf[5000];
	unsigned before;
	uint32_t n;

	(void)state;
	join(&r, true);
	console_on_input(con, on_input, NULL);
	loop_once(&loop, 0);
	assert_int_equal(console_type(con, "ab", 2), 2);
	assert_int_equal(console_type(con, "c", 1), 1);
	loop_once(&loop, 0);
	assert_int_equal(inputs, 2); /* one when it began to listen */
	assert_int_equal(console_read(con, buf, 2), 2);
	assert_int_equal(console_read(con, buf + 2, 100), 1);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(r.readies, 0);
	/* More than there is room for: whoever types is told when there is more. */
	n = console_type(con, much, sizeof(much));
	assert_true(n < sizeof(much));
	assert_int_equal(console_room(con), 0);
	assert_int_equal(console_type(con, much, 1), 0);
	before = r.readies;
	assert_int_equal(console_read(con, buf, 10), 10);
	assert_int_equal(r.readies, before + 1);
	assert_int_equal(console_room(con), 10);
	console_leave(&r.r);
}

/* Without a guest: nothing is called, and what is typed waits. */
static void test_detached(void **state)
{
	char buf[4];

	(void)state;
	console_on_input(con, on_input, NULL);
	assert_int_equal(console_type(con, "x", 1), 1);
	console_detach(con);
	loop_once(&loop, 0);
	assert_int_equal(inputs, 0);
	assert_int_equal(console_type(con, "y", 1), 1);
	assert_int_equal(console_read(con, buf, 4), 2);
	assert_int_equal(console_attach(con, &loop), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_history), TEST(test_nobody), TEST(test_slow), TEST(test_typing), TEST(test_detached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
