/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dm/limit/bucket.h"

#define S 1000000000ull

static void no_rate_is_no_limit(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 0, 0, 5);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(bucket_ready(&b, 5), 0);
		bucket_take(&b, UINT64_MAX);
	}
}

static void the_burst_passes_at_once_and_no_more(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, 1000, 10, 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(bucket_ready(&b, 0), 0);
		bucket_take(&b, 1);
	}
	assert_in_range(bucket_ready(&b, 0), S / 1000, S / 1000 + 1);
	assert_int_not_equal(bucket_ready(&b, S / 1000 - 1), 0);
	assert_int_equal(bucket_ready(&b, S / 1000 + 1), 0);
}

static void a_large_request_passes_and_is_paid_off(void **state)
{
	struct bucket b;
	uint64_t at;

	(void)state;
	bucket_init(&b, 1000, 10, 0);
	bucket_take(&b, 5010);
	at = bucket_ready(&b, 0);
	assert_in_range(at, 5 * S, 5 * S + 2 * S / 1000);
	assert_int_not_equal(bucket_ready(&b, at - S / 1000), 0);
	assert_int_equal(bucket_ready(&b, at), 0);
}

/* However often it is asked, and whenever: no fraction of a token is lost or won. */
static void the_mean_holds(void **state)
{
	struct bucket b;
	uint64_t taken = 0, now = 0;

	(void)state;
	bucket_init(&b, 333, 1, 0);
	while (now < 100 * S) {
		if (!bucket_ready(&b, now)) {
			bucket_take(&b, 1);
			taken++;
		}
		now += 777777;
	}
	/* A burst of one loses what comes in while it is full: less than a step's worth each time. */
	assert_in_range(taken, 333 * 100 * 3 / 4, 333 * 100 + 1);
	bucket_init(&b, 333, 100, 0);
	for (taken = 0, now = 0; now < 100 * S; now += 777777)
		while (!bucket_ready(&b, now)) {
			bucket_take(&b, 1);
			taken++;
		}
	assert_in_range(taken, 333 * 100 + 99, 333 * 100 + 100);
}

static void extremes_do_not_overflow(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, UINT64_MAX, UINT64_MAX, 0);
	bucket_take(&b, UINT64_MAX);
	bucket_take(&b, UINT64_MAX);
	bucket_take(&b, UINT64_MAX);
	assert_int_not_equal(bucket_ready(&b, 0), 0);
	assert_int_equal(bucket_ready(&b, 10 * S), 0);
	bucket_init(&b, 1, 0, 0);
	bucket_take(&b, UINT64_MAX);
	assert_int_equal(bucket_ready(&b, 0), UINT64_MAX);
	/* A clock that stands still, or goes back. */
	bucket_init(&b, 1, 1, 7);
	assert_int_equal(bucket_ready(&b, 3), 0);
	bucket_take(&b, 1);
	assert_int_not_equal(bucket_ready(&b, 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(the_burst_passes_at_once_and_no_more),
		cmocka_unit_test(a_large_request_passes_and_is_paid_off),
		cmocka_unit_test(the_mean_holds),
		cmocka_unit_test(extremes_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
