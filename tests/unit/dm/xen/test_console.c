/* SPDX-License-Identifier: MIT */
/* The console ring from the guest's side, over a real bus. */
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
#include <xen/io/console.h>

#include "dm/xen/console.h"
#include "dm/xen/xenbus.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"

#define RAM     (1ull << 20)
#define SPECIAL ((RAM >> 12) + 16)

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct xenbus *bus;
	struct xen_console *con;
	struct xencons_interface *ring;
	uint64_t port;
};

static void find_ring(struct fixture *t)
{
	uint64_t gfn;

	xenbus_hvm_param_get(t->bus, HVM_PARAM_CONSOLE_PFN, &gfn);
	xenbus_hvm_param_get(t->bus, HVM_PARAM_CONSOLE_EVTCHN, &t->port);
	assert_int_equal(gfn, SPECIAL + 1);
	t->ring = (struct xencons_interface *)t->f->over[gfn];
	assert_non_null(t->ring);
}

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config c = {.special_gfn = SPECIAL, .special_count = 2};

	t->f = host_fake_create(RAM, 1);
	xen_fake_init(&t->x, t->f);
	c.host = t->f->host;
	c.inst = t->f->inst;
	t->bus = xenbus_create(&c);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	t->con = xen_console_create(t->f->host, t->f->inst);
	assert_int_equal(xen_console_start(t->con, &xenbus_ops, t->bus, &xen_fake_evtchn, &t->x), 0);
	find_ring(t);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	xen_console_destroy(t->con);
	xenbus_destroy(t->bus);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

static uint32_t guest_write(struct fixture *t, const char *text, uint32_t len)
{
	uint32_t n = 0;

	while (n < len && t->ring->out_prod - t->ring->out_cons < sizeof(t->ring->out))
		t->ring->out[MASK_XENCONS_IDX(t->ring->out_prod++, t->ring->out)] = text[n++];
	xen_fake_send(&t->x, (uint32_t)t->port);
	host_fake_run(t->f);
	return n;
}

static uint32_t guest_read(struct fixture *t, char *buf, uint32_t len)
{
	uint32_t n = 0;

	while (n < len && t->ring->in_cons != t->ring->in_prod)
		buf[n++] = t->ring->in[MASK_XENCONS_IDX(t->ring->in_cons++, t->ring->in)];
	xen_fake_send(&t->x, (uint32_t)t->port);
	host_fake_run(t->f);
	return n;
}

static void test_nodes(void **state)
{
	static const char *const nodes[] = {"ring-ref", "port", "type", "limit", "output", "tty"};
	struct fixture *t = *state;
	char path[64], text[32], *value;

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		snprintf(path, sizeof(path), "/local/domain/1/console/%s", nodes[i]);
		value = xenbus_ops.read(t->bus, path, NULL);
		assert_non_null(value);
		snprintf(text, sizeof(text), "%u", (unsigned)t->port);
		if (!strcmp(nodes[i], "port"))
			assert_string_equal(value, text);
		free(value);
	}
}

static void test_out(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(guest_write(t, "hello\n", 6), 6);
	assert_int_equal(t->f->out_len, 6);
	assert_memory_equal(t->f->out, "hello\n", 6);
	assert_int_equal(t->ring->out_cons, 6);
	assert_int_equal(t->x.ports[t->port].notified, 1);
}

/* More than the ring holds, and indices that pass 2^32. */
static void test_out_wraps(void **state)
{
	struct fixture *t = *state;
	char text[5000];
	uint32_t sent = 0;

	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7);
	while (sent < sizeof(text))
		sent += guest_write(t, text + sent, (uint32_t)sizeof(text) - sent);
	assert_int_equal(t->f->out_len, sizeof(text));
	assert_memory_equal(t->f->out, text, sizeof(text));
}

/* The terminal takes little: nothing is lost, the guest is stopped, and it goes on by itself. */
static void test_back_pressure(void **state)
{
	struct fixture *t = *state;
	char text[3000];

	memset(text, 'x', sizeof(text));
	t->f->out_room = 10;
	assert_int_equal(guest_write(t, text, sizeof(text)), sizeof(t->ring->out));
	assert_int_equal(t->f->out_len, 10);
	assert_int_equal(guest_write(t, text, sizeof(text)), 10);
	assert_int_equal(guest_write(t, text, sizeof(text)), 0);
	t->f->out_room = UINT32_MAX;
	host_fake_advance(t->f, 1000000000);
	assert_int_equal(t->f->out_len, sizeof(t->ring->out) + 10);
	assert_int_equal(t->ring->out_cons, t->ring->out_prod);
}

static void test_in(void **state)
{
	struct fixture *t = *state;
	char buf[16];

	host_fake_type(t->f, "ls\n", 3);
	assert_int_equal(t->x.ports[t->port].notified, 1);
	assert_int_equal(guest_read(t, buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "ls\n", 3);
}

static void test_in_full(void **state)
{
	struct fixture *t = *state;
	char typed[3000], got[3000];
	uint32_t n = 0, k;

	for (uint32_t i = 0; i < sizeof(typed); i++)
		typed[i] = (char)i;
	host_fake_type(t->f, typed, sizeof(typed));
	assert_int_equal(t->ring->in_prod, sizeof(t->ring->in));
	assert_int_equal(t->f->in_len, sizeof(typed) - sizeof(t->ring->in));
	while ((k = guest_read(t, got + n, 700 < sizeof(got) - n ? 700 : (uint32_t)sizeof(got) - n)))
		n += k;
	assert_int_equal(n, sizeof(typed));
	assert_memory_equal(got, typed, sizeof(typed));
}

static void test_hostile(void **state)
{
	struct fixture *t = *state;

	t->ring->out_prod = sizeof(t->ring->out) + 1;
	xen_fake_send(&t->x, (uint32_t)t->port);
	host_fake_run(t->f);
	assert_int_equal(t->f->out_len, 0);
	assert_true(host_fake_counter(t->f, "console-bad-indices") > 0);
	t->ring->in_cons = 5; /* ahead of in_prod */
	host_fake_type(t->f, "abc", 3);
	assert_int_equal(t->ring->in_prod, 0);
	assert_int_equal(t->f->in_len, 3);
	t->ring->in_cons = 0;
	t->ring->out_prod = 0;
	assert_int_equal(guest_write(t, "ok", 2), 2);
	assert_int_equal(t->f->out_len, 2);
	assert_int_equal(t->ring->in_prod, 3);
	/* Our own indices are ours. */
	t->ring->out_cons = 77;
	t->ring->out_prod = 3;
	xen_fake_send(&t->x, (uint32_t)t->port);
	host_fake_run(t->f);
	assert_int_equal(t->f->out_len, 3);
}

static void test_reset(void **state)
{
	struct fixture *t = *state;

	guest_write(t, "before", 6);
	assert_int_equal(xenbus_reset(t->bus), 0);
	assert_int_equal(xen_console_reset(t->con), 0);
	find_ring(t);
	assert_int_equal(t->ring->out_prod, 0);
	assert_int_equal(guest_write(t, "after", 5), 5);
	assert_memory_equal(t->f->out, "beforeafter", 11);
}

/* What is in the ring when the domain ends still reaches the terminal. */
static void test_stop(void **state)
{
	struct fixture *t = *state;

	memcpy(t->ring->out, "bye", 3);
	t->ring->out_prod = 3;
	xen_console_stop(t->con);
	assert_int_equal(t->f->out_len, 3);
	assert_null(t->f->over[SPECIAL + 1]);
	assert_null(t->f->on_input);
}

static void test_no_frame(void **state)
{
	struct fixture *t = *state;
	struct xen_console *second = xen_console_create(t->f->host, t->f->inst);

	assert_int_equal(xen_console_start(second, &xenbus_ops, t->bus, &xen_fake_evtchn, &t->x), -ENOSPC);
	assert_int_equal(t->f->fails, 1);
	xen_console_destroy(second);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_nodes),   T(test_out),     T(test_out_wraps), T(test_back_pressure), T(test_in),
	        T(test_in_full), T(test_hostile), T(test_reset),     T(test_stop),          T(test_no_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
