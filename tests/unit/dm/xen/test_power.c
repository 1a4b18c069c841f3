/* SPDX-License-Identifier: MIT */
/* What a guest is told when somebody wants it to end, and whether it listens. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dm/xen/power.h"
#include "dm/xen/xenbus.h"
#include "dm/xen/xs-store.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"

#define RAM     (16ull << 20)
#define SPECIAL ((RAM >> 12) + 16)
#define DOMID   7u
#define NODE    "/local/domain/7/control/shutdown"

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct xenbus *bus;
};

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config c = { .special_gfn = SPECIAL, .special_count = 3 };

	t->f = host_fake_create(RAM, 1);
	t->f->domid = DOMID;
	xen_fake_init(&t->x, t->f);
	c.host = t->f->host;
	c.inst = t->f->inst;
	t->bus = xenbus_create(&c);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	xenbus_destroy(t->bus);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

static void assert_node(struct fixture *t, const char *value)
{
	char *got = xenbus_ops.read(t->bus, NODE, NULL);

	assert_non_null(got);
	assert_string_equal(got, value);
	free(got);
}

static void watch(struct fixture *t, const char *path)
{
	assert_non_null(xs_watch_add_guest(&xenbus_store(t->bus)->watches, path, "token", 0));
}

static void test_nobody_listens(void **state)
{
	struct fixture *t = *state;

	assert_false(xen_power_heard(t->bus));
	assert_int_equal(xen_power_request(t->bus, GAMUT_POWER_OFF), -EAGAIN);
	/* Asked all the same: a kernel that begins to watch sees it. */
	assert_node(t, "poweroff");
	/* A watch on another node does not hear it, nor one below. */
	watch(t, "/local/domain/7/control/sysrq");
	watch(t, NODE "/below");
	assert_int_equal(xen_power_request(t->bus, GAMUT_POWER_REBOOT), -EAGAIN);
	assert_node(t, "reboot");
	assert_int_equal(xen_power_request(t->bus, 2), -ENOTSUP);
	assert_int_equal(xen_power_request(t->bus, UINT32_MAX), -ENOTSUP);
	assert_node(t, "reboot");
}

static void test_guest_watches(void **state)
{
	struct fixture *t = *state;

	watch(t, NODE);
	assert_true(xen_power_heard(t->bus));
	assert_int_equal(xen_power_request(t->bus, GAMUT_POWER_OFF), 0);
	assert_node(t, "poweroff");
	/* A guest that has taken it makes the node empty, and may be asked again. */
	assert_int_equal(xenbus_ops.write(t->bus, NODE, "", 0), 0);
	assert_int_equal(xen_power_request(t->bus, GAMUT_POWER_REBOOT), 0);
	assert_node(t, "reboot");
	/* Watches go with a reset, and the request, too. */
	assert_int_equal(xenbus_reset(t->bus), 0);
	assert_false(xen_power_heard(t->bus));
	assert_node(t, "");
}

static void test_watch_above(void **state)
{
	struct fixture *t = *state;

	watch(t, "/local/domain/7/control");
	assert_int_equal(xen_power_request(t->bus, GAMUT_POWER_OFF), 0);
}

static void test_if_offered(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(xen_power_if_offered(&xenbus_ops, t->bus, DOMID, GAMUT_POWER_OFF), -ENOENT);
	assert_node(t, "");
	assert_int_equal(xenbus_ops.write(t->bus, "/local/domain/7/control/feature-poweroff", "1", 1), 0);
	assert_int_equal(xen_power_if_offered(&xenbus_ops, t->bus, DOMID, GAMUT_POWER_OFF), 0);
	assert_node(t, "poweroff");
	assert_int_equal(xen_power_if_offered(&xenbus_ops, t->bus, DOMID, GAMUT_POWER_REBOOT), -ENOENT);
	assert_int_equal(xen_power_if_offered(&xenbus_ops, t->bus, DOMID, 7), -ENOTSUP);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody_listens),
		TEST(test_guest_watches),
		TEST(test_watch_above),
		TEST(test_if_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
