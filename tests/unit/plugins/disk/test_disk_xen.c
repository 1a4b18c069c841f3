/* SPDX-License-Identifier: MIT */
/*
 * The built plugins disk-xen.so and console-xen.so as the core loads them,
 * down to a file on the host.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/xen.h>
#include <xen/io/blkif.h>

#include "dm/xen/xenbus.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"

#define RAM   (4ull << 20)
#define DISK  (1u << 20)
#define FRONT "/local/domain/1/device/vbd/51712"
#define BACK  "/local/domain/0/backend/vbd/1/51712"

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct xenbus *bus;
	void *so;
	const struct gamut_descriptor *d;
	void *self;
	char path[64];
};

static void load(struct fixture *t, const char *name)
{
	const struct gamut_plugin *plugin;
	char path[512];

	snprintf(path, sizeof(path), "%s/plugins/%s.so", TEST_BUILD_DIR, name);
	t->so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!t->so)
		fail_msg("%s", dlerror());
	plugin = dlsym(t->so, GAMUT_PLUGIN_SYMBOL);
	assert_non_null(plugin);
	assert_int_equal(plugin->magic, GAMUT_PLUGIN_MAGIC);
	assert_string_equal(plugin->name, name);
	assert_int_equal(plugin->n_descriptors, 1);
	t->d = plugin->descriptors[0];
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config c = {.special_gfn = (RAM >> 12) + 16, .special_count = 2};
	int fd;

	t->f = host_fake_create(RAM, 1);
	xen_fake_init(&t->x, t->f);
	c.host = t->f->host;
	c.inst = t->f->inst;
	t->bus = xenbus_create(&c);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	snprintf(t->path, sizeof(t->path), "/tmp/gamut-disk-XXXXXX");
	fd = mkstemp(t->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK), 0);
	close(fd);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	if (t->self)
		t->d->ops->destroy(t->self);
	xenbus_destroy(t->bus);
	assert_int_equal(host_fake_destroy(t->f), 0);
	if (t->so)
		dlclose(t->so);
	unlink(t->path);
	free(t);
	return 0;
}

static void give_all(struct fixture *t)
{
	host_fake_give(t->f, GAMUT_XENBUS, GAMUT_XEN_REVISION, &xenbus_ops, t->bus);
	host_fake_give(t->f, GAMUT_EVENT_CHANNELS, GAMUT_XEN_REVISION, &xen_fake_evtchn, &t->x);
	host_fake_give(t->f, GAMUT_GRANTS, GAMUT_XEN_REVISION, &xen_fake_grants, &t->x);
}

static int create(struct fixture *t)
{
	return t->d->ops->create(t->f->host, t->f->inst, &t->self);
}

static void write_front(struct fixture *t, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), FRONT "/%s", name);
	assert_int_equal(xenbus_ops.write(t->bus, path, value, (uint32_t)strlen(value)), 0);
}

static struct blkif_sring *connect_front(struct fixture *t, uint32_t *port)
{
	struct blkif_sring *s = (void *)(t->f->ram + 0x1000);
	char text[16], *state;

	s->req_event = s->rsp_event = 1;
	xen_fake_grant(&t->x, 8, 0x1000, false);
	xen_fake_grant(&t->x, 9, 0x2000, false);
	*port = xen_fake_open(&t->x);
	snprintf(text, sizeof(text), "%u", *port);
	write_front(t, "event-channel", text);
	write_front(t, "ring-ref", "8");
	write_front(t, "protocol", "x86_64-abi");
	write_front(t, "state", "3");
	host_fake_run(t->f);
	state = xenbus_ops.read(t->bus, BACK "/state", NULL);
	assert_string_equal(state, "4");
	free(state);
	return s;
}

static int request(struct fixture *t, struct blkif_sring *s, uint32_t port, uint8_t op, uint32_t segments)
{
	struct blkif_request *r = &s->ring[s->req_prod].req;
	uint32_t at = s->req_prod;

	memset(r, 0, sizeof(*r));
	r->operation = op;
	r->nr_segments = (uint8_t)segments;
	r->sector_number = 16;
	r->seg[0] = (struct blkif_request_segment){9, 0, 7};
	s->req_prod++;
	xen_fake_send(&t->x, port);
	for (int i = 0; i < 5000 && s->rsp_prod == at; i++) {
		host_fake_run(t->f);
		poll(NULL, 0, 1);
	}
	assert_int_equal(s->rsp_prod, at + 1);
	s->rsp_event = s->rsp_prod + 1;
	return s->ring[at].rsp.status;
}

static void test_disk(void **state)
{
	struct fixture *t = *state;
	struct blkif_sring *s;
	uint8_t want[4096], got[4096];
	uint32_t port;
	int fd;

	load(t, "disk-xen");
	assert_int_equal(t->d->axis, GAMUT_AXIS_DISK);
	give_all(t);
	host_fake_option(t->f, "dev", 0, "xvda");
	host_fake_option(t->f, "path", 0, t->path);
	assert_int_equal(create(t), 0);
	assert_int_equal(t->d->ops->start(t->self), 0);
	s = connect_front(t, &port);
	for (uint32_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 31 + (i >> 7));
	memcpy(t->f->ram + 0x2000, want, sizeof(want));
	assert_int_equal(request(t, s, port, BLKIF_OP_WRITE, 1), BLKIF_RSP_OKAY);
	assert_int_equal(request(t, s, port, BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY);
	memset(t->f->ram + 0x2000, 0, sizeof(want));
	assert_int_equal(t->d->ops->pause(t->self), 0);
	assert_int_equal(t->x.maps, 0);
	assert_int_equal(t->d->ops->resume(t->self), 0);
	assert_int_equal(request(t, s, port, BLKIF_OP_READ, 1), BLKIF_RSP_OKAY);
	assert_memory_equal(t->f->ram + 0x2000, want, sizeof(want));
	t->d->ops->stop(t->self);
	assert_int_equal(t->x.maps, 0);
	fd = open(t->path, O_RDONLY);
	assert_int_equal(pread(fd, got, sizeof(got), 16 * 512), sizeof(got));
	close(fd);
	assert_memory_equal(got, want, sizeof(want));
}

static void refused(struct fixture *t, const char *words)
{
	assert_true(create(t) < 0);
	assert_null(t->self);
	if (!strstr(t->f->last_fail, words))
		fail_msg("\"%s\" does not say \"%s\"", t->f->last_fail, words);
}

static void test_no_file(void **state)
{
	struct fixture *t = *state;

	load(t, "disk-xen");
	host_fake_option(t->f, "dev", 0, "xvda");
	host_fake_option(t->f, "path", 0, "/nonexistent/disk.img");
	refused(t, "/nonexistent/disk.img");
}

static void test_bad_name(void **state)
{
	struct fixture *t = *state;

	load(t, "disk-xen");
	host_fake_option(t->f, "dev", 0, "vda");
	host_fake_option(t->f, "path", 0, t->path);
	refused(t, "\"vda\"");
}

static void test_no_peers(void **state)
{
	struct fixture *t = *state;

	load(t, "disk-xen");
	host_fake_option(t->f, "dev", 0, "xvda");
	host_fake_option(t->f, "path", 0, t->path);
	assert_int_equal(create(t), 0);
	assert_int_equal(t->d->ops->start(t->self), -ENODEV);
	t->d->ops->stop(t->self);
}

static void test_console(void **state)
{
	struct fixture *t = *state;

	load(t, "console-xen");
	assert_int_equal(t->d->axis, GAMUT_AXIS_CONSOLE);
	assert_int_equal(create(t), 0);
	assert_int_equal(t->d->ops->start(t->self), -ENODEV);
	give_all(t);
	assert_int_equal(t->d->ops->start(t->self), 0);
	assert_int_equal(t->d->ops->reset(t->self), 0);
	t->d->ops->stop(t->self);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_disk), T(test_no_file), T(test_bad_name), T(test_no_peers), T(test_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
