/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "dm/netdev/netdev.h"
#include "fake/host-fake.h"

static void addresses_are_made(void **state)
{
	struct host_fake *f = host_fake_create(1 << 20, 1);
	uint8_t a[6], b[6], c[6];

	(void)state;
	assert_int_equal(netdev_mac(f->host, f->inst, a), 0);
	assert_memory_equal(a, "\x00\x16\x3e", 3);
	assert_int_equal(netdev_mac(f->host, f->inst, b), 0);
	assert_memory_equal(a, b, 6);
	f->unit = 1;
	assert_int_equal(netdev_mac(f->host, f->inst, b), 0);
	assert_memory_not_equal(a, b, 6);
	f->unit = 0;
	f->uuid[15] ^= 1;
	assert_int_equal(netdev_mac(f->host, f->inst, c), 0);
	assert_memory_not_equal(a, c, 6);
	host_fake_destroy(f);
}

static void addresses_are_given(void **state)
{
	static const char *const bad[] = {"",
	                                  "00:16:3e:01:02",
	                                  "00:16:3e:01:02:03:04",
	                                  "00:16:3e:01:02:0g",
	                                  "00-16-3e-01-02-03",
	                                  "0:016:3e:01:02:03",
	                                  "01:16:3e:01:02:03",
	                                  "00:00:00:00:00:00",
	                                  " 0:16:3e:01:02:03"};
	struct host_fake *f = host_fake_create(1 << 20, 1);
	uint8_t a[6];

	(void)state;
	host_fake_option(f, "mac", 0, "52:54:00:aB:Cd:ef");
	assert_int_equal(netdev_mac(f->host, f->inst, a), 0);
	assert_memory_equal(a, "\x52\x54\x00\xab\xcd\xef", 6);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f->n_options = 0;
		host_fake_option(f, "mac", 0, bad[i]);
		assert_int_equal(netdev_mac(f->host, f->inst, a), -EINVAL);
	}
	assert_int_equal(f->fails, sizeof(bad) / sizeof(bad[0]));
	host_fake_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(addresses_are_made), cmocka_unit_test(addresses_are_given)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
