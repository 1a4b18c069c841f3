/* SPDX-License-Identifier: MIT */
/* The built plugin net-xen.so as the core loads it: options, and a frame to the network and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/public.h"
#include "dm/xen/xenbus.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"
#include "gamut/plugin.h"

#include <xen/io/netif.h>

#define RAM   (1ull << 20)
#define FRONT "/local/domain/1/device/vif/0"
#define BACK  "/local/domain/0/backend/vif/1/0"

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct xenbus *bus;
	void *so;
	const struct gamut_descriptor *d;
	void *self;
	netif_tx_sring_t *tx;
	netif_rx_sring_t *rx;
	uint32_t port;
};

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config c = {.special_gfn = (RAM >> 12) + 16, .special_count = 2};
	const struct gamut_plugin *plugin;
	char path[512];

	t->f = host_fake_create(RAM, 2);
	xen_fake_init(&t->x, t->f);
	c.host = t->f->host;
	c.inst = t->f->inst;
	t->bus = xenbus_create(&c);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	host_fake_give(t->f, GAMUT_XENBUS, GAMUT_XEN_REVISION, &xenbus_ops, t->bus);
	host_fake_give(t->f, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, &xen_fake_evtchn, &t->x);
	host_fake_give(t->f, GAMUT_GRANTS, GAMUT_XEN_REVISION, &xen_fake_grants, &t->x);
	snprintf(path, sizeof(path), "%s/plugins/net-xen.so", TEST_BUILD_DIR);
	t->so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!t->so)
		fail_msg("%s", dlerror());
	plugin = dlsym(t->so, GAMUT_PLUGIN_SYMBOL);
	assert_non_null(plugin);
	assert_string_equal(plugin->name, "net-xen");
	t->d = plugin->descriptors[0];
	assert_int_equal(t->d->axis, GAMUT_AXIS_NET);
	assert_int_equal(t->d->colour, GAMUT_COLOUR_P);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	if (t->self) {
		t->d->ops->stop(t->self);
		t->d->ops->destroy(t->self);
	}
	assert_int_equal(t->x.maps, 0);
	xenbus_destroy(t->bus);
	assert_int_equal(host_fake_destroy(t->f), 0);
	dlclose(t->so);
	free(t);
	return 0;
}

static int create(struct fixture *t)
{
	return t->d->ops->create(t->f->host, t->f->inst, &t->self);
}

static void options_that_are_refused(void **state)
{
	struct fixture *t = *state;

	host_fake_option(t->f, "mac", 0, "x");
	assert_true(create(t) < 0);
	t->f->n_options = 0;
	host_fake_option(t->f, "network", 0, "x");
	assert_true(create(t) < 0);
	assert_null(t->self);
	/* A platform without Xen. */
	t->f->n_options = t->f->n_peers = 0;
	assert_int_equal(create(t), 0);
	assert_int_equal(t->d->ops->start(t->self), -ENODEV);
	assert_non_null(strstr(t->f->last_fail, GAMUT_XENBUS));
}

static void write_front(struct fixture *t, const char *name, uint32_t value)
{
	char path[128], text[16];

	snprintf(path, sizeof(path), FRONT "/%s", name);
	snprintf(text, sizeof(text), "%u", value);
	assert_int_equal(xenbus_ops.write(t->bus, path, text, (uint32_t)strlen(text)), 0);
}

static void connect_front(struct fixture *t)
{
	char *state, *queues = xenbus_ops.read(t->bus, BACK "/multi-queue-max-queues", NULL);

	assert_string_equal(queues, "2");
	free(queues);
	t->tx = (void *)(t->f->ram + 0x1000);
	t->rx = (void *)(t->f->ram + 0x2000);
	memset(t->tx, 0, 0x2000);
	t->tx->req_event = t->tx->rsp_event = t->rx->req_event = t->rx->rsp_event = 1;
	for (uint32_t i = 1; i < 5; i++)
		xen_fake_grant(&t->x, i, i * 4096, false);
	t->port = xen_fake_open(&t->x);
	write_front(t, "tx-ring-ref", 1);
	write_front(t, "rx-ring-ref", 2);
	write_front(t, "event-channel", t->port);
	write_front(t, "request-rx-copy", 1);
	write_front(t, "feature-rx-notify", 1);
	write_front(t, "state", 4);
	host_fake_run(t->f);
	state = xenbus_ops.read(t->bus, BACK "/state", NULL);
	assert_string_equal(state, "4");
	free(state);
}

/* An ARP request to the user network, its answer; after a pause; after a reset. */
static void a_frame_there_and_back(void **state)
{
	static const uint8_t request[] = "\xff\xff\xff\xff\xff\xff\x52\x54\0\x12\x34\x56\x08\x06\0\1\x08\0\6"
	                                 "\4\0\1\x52\x54\0\x12\x34\x56"
	                                 "\x0a\0\2\x0f\0\0\0\0\0\0\x0a\0\2\2";
	struct fixture *t = *state;

	host_fake_option(t->f, "mac", 0, "52:54:00:12:34:56");
	host_fake_option(t->f, "ipv6", 0, NULL); /* no advertisements in between */
	assert_int_equal(create(t), 0);
	assert_int_equal(t->d->ops->start(t->self), 0);
	for (int i = 0; i < 3; i++) {
		uint32_t at;

		if (i != 1)
			connect_front(t);
		at = t->rx->rsp_prod;
		memcpy(t->f->ram + 0x3000, request, 42);
		memset(t->f->ram + 0x4000, 0, 64);
		t->rx->ring[t->rx->req_prod++].req = (netif_rx_request_t){.id = 5, .gref = 4};
		t->tx->ring[t->tx->req_prod++].req = (netif_tx_request_t){.gref = 3, .size = 42, .id = 9};
		xen_fake_send(&t->x, t->port);
		host_fake_run(t->f);
		assert_int_equal(t->tx->rsp_prod, at + 1);
		assert_int_equal(t->tx->ring[at].rsp.status, NETIF_RSP_OKAY);
		assert_int_equal(t->rx->rsp_prod, at + 1);
		assert_int_equal(t->rx->ring[at].rsp.id, 5);
		assert_true(t->rx->ring[at].rsp.status >= 42);
		assert_memory_equal(t->f->ram + 0x4000, request + 6, 6);
		assert_memory_equal(t->f->ram + 0x4000 + 28, "\x0a\0\2\2", 4);
		assert_int_equal(t->d->ops->pause(t->self), 0);
		assert_int_equal(t->x.maps, 0);
		if (i == 1) {
			assert_int_equal(xenbus_reset(t->bus), 0);
			assert_int_equal(t->d->ops->reset(t->self), 0);
		}
		assert_int_equal(t->d->ops->resume(t->self), 0);
		host_fake_run(t->f);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(options_that_are_refused), T(a_frame_there_and_back)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
