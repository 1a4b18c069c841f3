/* SPDX-License-Identifier: MIT */
/* A back end's half of the store, without a device: its states, what it reads, what it says of a guest that
 * errs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/xenback.h"
#include "dm/xen/xenbus.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"

#define RAM   (1ull << 20)
#define FRONT "/local/domain/1/device/thing/7"
#define BACK  "/local/domain/0/backend/thing/1/7"

struct fixture {
	struct host_fake *f;
	struct xen_fake x;
	struct xenbus *bus;
	struct xenback back;
	uint32_t connects, disconnects, publishes;
	bool refuse;
};

static int publish(void *opaque)
{
	struct fixture *t = opaque;

	t->publishes++;
	return xenback_put(&t->back, t->back.back, "feature-x", "%d", 1);
}

static bool connect_front(void *opaque)
{
	struct fixture *t = opaque;

	t->connects++;
	return !t->refuse || xenback_complain(&t->back, "no");
}

static void disconnect(void *opaque)
{
	((struct fixture *)opaque)->disconnects++;
}

static const struct xenback_ops ops = {
        .publish = publish, .connect = connect_front, .disconnect = disconnect};

static int setup(void **state)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct xenbus_config c = {.special_gfn = (RAM >> 12) + 16, .special_count = 2};

	t->f = host_fake_create(RAM, 1);
	xen_fake_init(&t->x, t->f);
	c.host = t->f->host;
	c.inst = t->f->inst;
	t->bus = xenbus_create(&c);
	assert_int_equal(xenbus_start(t->bus, &xen_fake_evtchn, &t->x), 0);
	t->back = (struct xenback){.host = c.host,
	                           .inst = c.inst,
	                           .ops = &ops,
	                           .opaque = t,
	                           .type = "thing",
	                           .name = "thing 7",
	                           .devid = 7};
	assert_int_equal(xenback_start(&t->back, &xenbus_ops, t->bus), 0);
	host_fake_run(t->f);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	xenback_stop(&t->back);
	assert_null(xenbus_ops.read(t->bus, BACK "/state", NULL));
	xenbus_destroy(t->bus);
	assert_int_equal(host_fake_destroy(t->f), 0);
	free(t);
	return 0;
}

static void front(struct fixture *t, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), FRONT "/%s", name);
	assert_int_equal(xenbus_ops.write(t->bus, path, value, (uint32_t)strlen(value)), 0);
	host_fake_run(t->f);
}

static char back_state(struct fixture *t)
{
	char *text = xenbus_ops.read(t->bus, BACK "/state", NULL);
	char state = text && !text[1] ? text[0] : '?';

	free(text);
	return state;
}

/* Every state of the front end from every state of ours: where it leads. */
static void states(void **state)
{
	static const struct {
		const char *front;
		char back;
		uint32_t connects;
	} walk[] = {
	        {"2", '2', 0},  {"3", '4', 1}, {"4", '4', 1},  {"2", '4', 1}, {"5", '5', 1},
	        {"4", '4', 2},  {"1", '2', 2}, {"4", '4', 3},  {"6", '6', 3}, {"4", '4', 4},
	        {"0", '6', 4},  {"5", '5', 4}, {"1", '2', 4},  {"7", '2', 4}, {"8", '2', 4},
	        {"99", '2', 4}, {"x", '2', 4}, {"-1", '2', 4}, {"", '2', 4},  {"4", '4', 5},
	};
	struct fixture *t = *state;

	assert_int_equal(back_state(t), '2');
	for (size_t i = 0; i < sizeof(walk) / sizeof(walk[0]); i++) {
		front(t, "state", walk[i].front);
		assert_int_equal(back_state(t), walk[i].back);
		assert_int_equal(t->connects, walk[i].connects);
		assert_true(t->disconnects >= t->connects - (walk[i].back == '4'));
	}
	/* Its directory is gone. */
	assert_int_equal(xenbus_ops.rm(t->bus, FRONT), 0);
	host_fake_run(t->f);
	assert_int_equal(back_state(t), '6');
}

static void refused(void **state)
{
	struct fixture *t = *state;

	t->refuse = true;
	for (int i = 0; i < 100; i++) {
		front(t, "state", "4");
		assert_int_equal(back_state(t), '5');
		front(t, "state", "1");
		assert_int_equal(back_state(t), '2');
	}
	/* Said, but not a hundred times. */
	assert_string_equal(t->f->last_log, "thing 7: cannot connect: no");
	assert_int_equal(t->f->logs[GAMUT_LOG_WARN], 16);
	t->refuse = false;
	front(t, "state", "4");
	assert_int_equal(back_state(t), '4');
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		enum xenback_found found;
		uint32_t value;
	} cases[] = {
	        {"0", XENBACK_FOUND, 0},    {"4294967295", XENBACK_FOUND, UINT32_MAX},
	        {"007", XENBACK_FOUND, 7},  {"4294967296", XENBACK_WRONG, 1},
	        {"-1", XENBACK_WRONG, 1},   {" 1", XENBACK_WRONG, 1},
	        {"1 ", XENBACK_WRONG, 1},   {"", XENBACK_WRONG, 1},
	        {"0x10", XENBACK_WRONG, 1}, {"99999999999999999999999", XENBACK_WRONG, 1},
	};
	struct fixture *t = *state;
	uint32_t value = 1;

	assert_int_equal(xenback_number(&t->back, "n", &value), XENBACK_ABSENT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		value = 1;
		front(t, "n", cases[i].text);
		assert_int_equal(xenback_number(&t->back, "n", &value), cases[i].found);
		assert_int_equal(value, cases[i].value);
	}
}

static void life(void **state)
{
	struct fixture *t = *state;
	struct xenback other = t->back;

	assert_int_equal(xenback_start(&other, &xenbus_ops, t->bus), -EEXIST);
	front(t, "state", "4");
	xenback_close(&t->back);
	assert_int_equal(back_state(t), '5');
	assert_int_equal(xenbus_reset(t->bus), 0);
	assert_int_equal(xenback_reset(&t->back), 0);
	host_fake_run(t->f);
	assert_int_equal(t->publishes, 2);
	assert_int_equal(back_state(t), '2');
	front(t, "state", "4");
	assert_int_equal(back_state(t), '4');
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(states), T(refused), T(numbers), T(life)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
