/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "dm/netdev/queue.h"

#define N 64

/* Against a plain array, with lengths that make it wrap everywhere. */
static void first_in_first_out(void **state)
{
	static uint8_t model[4096][300];
	uint32_t length[4096], head = 0, tail = 0, seed = 1, full = 0;
	struct netdev_queue q;
	struct netdev_frame frames[N];
	struct iovec iov[N];

	(void)state;
	assert_int_equal(netdev_queue_init(&q, 4096), 0);
	while (tail < 4000) {
		uint32_t n, want;

		seed = seed * 1664525 + 1013904223;
		want = seed >> 24 & 3 ? seed >> 16 & 15 : 0;
		for (uint32_t i = 0; i < want && tail < 4096; i++) {
			struct netdev_offload o = {.csum_start = (uint16_t)tail};

			length[tail] = (seed >> 8) % 300;
			memset(model[tail], (int)tail, length[tail]);
			if (!netdev_queue_push(&q, model[tail], length[tail], &o)) {
				full++;
				break;
			}
			tail++;
			seed = seed * 1664525 + 1013904223;
		}
		assert_int_equal(q.frames, tail - head);
		n = netdev_queue_look(&q, frames, iov, seed >> 20 & 31);
		assert_true(n <= tail - head);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(frames[i].length, length[head + i]);
			assert_int_equal(frames[i].offload.csum_start, head + i);
			assert_memory_equal(frames[i].iov->iov_base, model[head + i], length[head + i]);
		}
		netdev_queue_drop(&q, n / 2);
		head += n / 2;
	}
	assert_true(full > 10);
	netdev_queue_drop(&q, UINT32_MAX);
	assert_int_equal(q.used, 0);
	assert_int_equal(netdev_queue_look(&q, frames, iov, N), 0);
	netdev_queue_finish(&q);
}

static void nothing_too_long(void **state)
{
	static uint8_t data[NETDEV_GSO_MAX + 1];
	struct netdev_offload none = {0};
	struct netdev_queue q;

	(void)state;
	assert_int_equal(netdev_queue_init(&q, 1 << 20), 0);
	assert_false(netdev_queue_push(&q, data, sizeof(data), &none));
	assert_true(netdev_queue_push(&q, data, sizeof(data) - 1, &none));
	netdev_queue_clear(&q);
	assert_int_equal(q.frames, 0);
	netdev_queue_finish(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(first_in_first_out), cmocka_unit_test(nothing_too_long)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
