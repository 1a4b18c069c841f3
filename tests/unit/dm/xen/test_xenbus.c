/* SPDX-License-Identifier: MIT */
/* What a domain finds in its store, its params and its frames. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <xen/xen.h>
#include <xen/hvm/params.h>

#include "dm/xen/xenbus.h"
#include "dm/xen/xs-store.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"

#define RAM     (16ull << 20)
#define SPECIAL ((RAM >> 12) + 16)
#define DOMID   7u
#define HOME    "/local/domain/7"

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct xenbus *bus;
};

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config c = {.special_gfn = SPECIAL, .special_count = 3};

	t->f = host_fake_create(RAM, 2);
	t->f->domid = DOMID;
	xen_fake_init(&t->x, t->f);
	c.host = t->f->host;
	c.inst = t->f->inst;
	t->bus = xenbus_create(&c);
	assert_non_null(t->bus);
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

static void assert_value(struct fixture *t, const char *path, const char *value)
{
	char *got = xenbus_ops.read(t->bus, path, NULL);

	if (!got)
		fail_msg("%s is missing", path);
	assert_string_equal(got, value);
	free(got);
}

static uint32_t access_of(struct fixture *t, const char *path)
{
	const struct xs_node *node = xs_tree_find(&xenbus_store(t->bus)->tree, path);

	if (!node)
		fail_msg("%s is missing", path);
	return xs_node_access(node, DOMID);
}

#define ALL (XS_READ_ACCESS | XS_WRITE_ACCESS | XS_OWNER_ACCESS)

static void test_tree(void **state)
{
	struct fixture *t = *state;

	assert_value(t, HOME "/name", "test");
	assert_value(t, HOME "/domid", "7");
	assert_value(t, HOME "/vm", "/vm/10111213-1415-1617-1819-1a1b1c1d1e1f");
	assert_value(t, "/vm/10111213-1415-1617-1819-1a1b1c1d1e1f/uuid",
	             "10111213-1415-1617-1819-1a1b1c1d1e1f");
	assert_value(t, HOME "/memory/target", "16384");
	assert_value(t, HOME "/memory/static-max", "16384");
	assert_value(t, HOME "/cpu/0/availability", "online");
	assert_value(t, HOME "/cpu/1/availability", "online");
	assert_null(xenbus_ops.read(t->bus, HOME "/cpu/2/availability", NULL));
	assert_value(t, HOME "/control/platform-feature-xs_reset_watches", "1");
	assert_value(t, HOME "/control/shutdown", "");
	assert_value(t, "/local/domain/0/name", "Domain-0");
}

static void test_rights(void **state)
{
	static const char *const rw[] = {
	        "/control/shutdown", "/control/feature-poweroff",    "/data", "/attr", "/error", "/drivers",
	        "/feature",          "/device/suspend/event-channel"};
	static const char *const ro[] = {"",         "/name",   "/memory/target", "/cpu/0/availability",
	                                 "/control", "/device", "/store",         "/console",
	                                 "/vm"};
	struct fixture *t = *state;
	char path[128];

	for (size_t i = 0; i < sizeof(rw) / sizeof(rw[0]); i++) {
		snprintf(path, sizeof(path), HOME "%s", rw[i]);
		assert_int_equal(access_of(t, path), ALL);
	}
	for (size_t i = 0; i < sizeof(ro) / sizeof(ro[0]); i++) {
		snprintf(path, sizeof(path), HOME "%s", ro[i]);
		assert_int_equal(access_of(t, path), XS_READ_ACCESS);
	}
	assert_int_equal(access_of(t, "/local/domain/0"), 0);
	assert_int_equal(access_of(t, "/local/domain/0/backend"), 0);
	assert_int_equal(access_of(t, "/"), 0);
}

static void test_params(void **state)
{
	struct fixture *t = *state;
	uint64_t v;
	char text[32];

	assert_int_equal(xenbus_ops.hvm_param_get(t->bus, HVM_PARAM_STORE_PFN, &v), 0);
	assert_int_equal(v, SPECIAL);
	assert_non_null(t->f->over[SPECIAL]);
	snprintf(text, sizeof(text), "%u", (unsigned)SPECIAL);
	assert_value(t, HOME "/store/ring-ref", text);
	assert_int_equal(xenbus_ops.hvm_param_get(t->bus, HVM_PARAM_STORE_EVTCHN, &v), 0);
	assert_true(v > 0 && t->x.ports[v].bound);
	snprintf(text, sizeof(text), "%u", (unsigned)v);
	assert_value(t, HOME "/store/port", text);
	assert_int_equal(xenbus_ops.hvm_param_set(t->bus, HVM_PARAM_CALLBACK_IRQ, 1), 0);
	assert_int_equal(xenbus_ops.hvm_param_get(t->bus, HVM_PARAM_CALLBACK_IRQ, &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(xenbus_ops.hvm_param_set(t->bus, HVM_NR_PARAMS, 1), -EINVAL);
	assert_int_equal(xenbus_ops.hvm_param_get(t->bus, UINT32_MAX, &v), -EINVAL);
}

static void test_special_frames(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(xenbus_ops.special_gfn(t->bus), SPECIAL + 1);
	assert_int_equal(xenbus_ops.special_gfn(t->bus), SPECIAL + 2);
	assert_int_equal(xenbus_ops.special_gfn(t->bus), 0);
}

static void test_device(void **state)
{
	struct fixture *t = *state;
	char front[96], back[96], small[8];

	assert_int_equal(
	        xenbus_ops.device_add(t->bus, "vbd", 51712, front, sizeof(front), back, sizeof(back)), 0);
	assert_string_equal(front, HOME "/device/vbd/51712");
	assert_string_equal(back, "/local/domain/0/backend/vbd/7/51712");
	assert_value(t, HOME "/device/vbd/51712/backend", back);
	assert_value(t, HOME "/device/vbd/51712/backend-id", "0");
	assert_value(t, HOME "/device/vbd/51712/state", "1");
	assert_value(t, "/local/domain/0/backend/vbd/7/51712/frontend", front);
	assert_value(t, "/local/domain/0/backend/vbd/7/51712/frontend-id", "7");
	assert_value(t, "/local/domain/0/backend/vbd/7/51712/online", "1");
	assert_value(t, "/local/domain/0/backend/vbd/7/51712/state", "1");
	assert_int_equal(access_of(t, HOME "/device/vbd"), XS_READ_ACCESS);
	assert_int_equal(access_of(t, HOME "/device/vbd/51712/state"), ALL);
	assert_int_equal(access_of(t, "/local/domain/0/backend/vbd/7/51712/state"), XS_READ_ACCESS);
	assert_int_equal(
	        xenbus_ops.device_add(t->bus, "vbd", 51712, front, sizeof(front), back, sizeof(back)),
	        -EEXIST);
	assert_int_equal(xenbus_ops.device_add(t->bus, "vbd", 1, small, sizeof(small), back, sizeof(back)),
	                 -ENAMETOOLONG);
	assert_int_equal(xenbus_ops.device_add(t->bus, "v bd", 1, front, sizeof(front), back, sizeof(back)),
	                 -EINVAL);
	assert_int_equal(xenbus_ops.device_remove(t->bus, "vbd", 51712), 0);
	assert_null(xenbus_ops.read(t->bus, HOME "/device/vbd/51712", NULL));
	assert_null(xenbus_ops.read(t->bus, "/local/domain/0/backend/vbd/7/51712", NULL));
	assert_int_equal(xenbus_ops.device_remove(t->bus, "vbd", 51712), 0);
}

static void test_reset(void **state)
{
	struct fixture *t = *state;
	char front[96], back[96];
	uint64_t v, port;

	xenbus_ops.hvm_param_get(t->bus, HVM_PARAM_STORE_EVTCHN, &port);
	xenbus_ops.hvm_param_set(t->bus, HVM_PARAM_CALLBACK_IRQ, 1);
	xenbus_ops.device_add(t->bus, "vbd", 1, front, sizeof(front), back, sizeof(back));
	xenbus_ops.write(t->bus, HOME "/control/shutdown", "poweroff", 8);
	/* The guest has taken the page out of its map. */
	assert_int_equal(t->f->host->page_unmap(t->f->inst, t->f->pages, 0), 0);
	assert_int_equal(xenbus_reset(t->bus), 0);
	assert_non_null(t->f->over[SPECIAL]);
	assert_value(t, HOME "/control/shutdown", "");
	assert_null(xenbus_ops.read(t->bus, front, NULL));
	xenbus_ops.hvm_param_get(t->bus, HVM_PARAM_CALLBACK_IRQ, &v);
	assert_int_equal(v, 0);
	xenbus_ops.hvm_param_get(t->bus, HVM_PARAM_STORE_EVTCHN, &v);
	assert_int_equal(v, port);
}

static void test_stop_start(void **state)
{
	struct fixture *t = *state;

	xenbus_stop(t->bus);
	assert_null(t->f->over[SPECIAL]);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	assert_value(t, HOME "/name", "test");
	assert_non_null(t->f->over[SPECIAL]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_tree),   T(test_rights), T(test_params),     T(test_special_frames),
	        T(test_device), T(test_reset),  T(test_stop_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
