/* SPDX-License-Identifier: MIT */
/* console-vga.so between a screen and keyboard of the test's and a console terminal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/host-fake.h"
#include "fake/plugin-load.h"
#include "gamut/pc.h"

#define MS 1000000ull
#define ROWS 25u
#define COLUMNS 80u

struct rig {
	struct host_fake *f;
	struct gamut_text_screen screen;
	struct gamut_text_cell cells[ROWS * COLUMNS];
	uint64_t generation;
	uint32_t looks;
	uint16_t keys[256]; /* usage, bit 8: down */
	uint32_t n_keys, key_room;
	void *so, *self;
	const struct gamut_descriptor *d;
};

static uint32_t look(void *self, struct gamut_text_screen *screen, struct gamut_text_cell *cells, uint32_t n)
{
	struct rig *r = self;
	uint32_t have = r->screen.graphics ? 0 : ROWS * COLUMNS;

	r->looks++;
	*screen = r->screen;
	if (n && have)
		memcpy(cells, r->cells, (n < have ? n : have) * sizeof(*cells));
	return have;
}

static uint64_t generation(void *self)
{
	return ((struct rig *)self)->generation;
}

static const struct gamut_text_screen_ops screen_ops = {
	.size = sizeof(struct gamut_text_screen_ops), .look = look, .generation = generation
};

static int key(void *self, uint32_t code, uint32_t down)
{
	struct rig *r = self;

	if (!r->key_room)
		return -EAGAIN;
	r->key_room--;
	r->keys[r->n_keys++] = (uint16_t)(code | (down ? 0x100 : 0));
	return 0;
}

static const struct gamut_keyboard_ops keyboard_ops = { .size = sizeof(struct gamut_keyboard_ops), .key = key };

static int setup_mode(void **state, const char *mode)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, 1);
	r->screen = (struct gamut_text_screen){ .size = sizeof(r->screen), .columns = COLUMNS, .rows = ROWS };
	memset(r->screen.palette[7], 170, 3);
	for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
		r->cells[i] = (struct gamut_text_cell){ ' ', 7 };
	r->key_room = 200;
	host_fake_option(r->f, "mode", 0, mode);
	host_fake_give(r->f, GAMUT_TEXT_SCREEN, GAMUT_PC_REVISION, &screen_ops, r);
	host_fake_give(r->f, GAMUT_KEYBOARD, GAMUT_PC_REVISION, &keyboard_ops, r);
	r->d = plugin_load(TEST_BUILD_DIR, "console-vga", &r->so);
	assert_non_null(r->d);
	assert_int_equal(r->d->axis, GAMUT_AXIS_CONSOLE);
	assert_string_equal(r->d->choice, "vga");
	assert_int_equal(r->d->ops->create(r->f->host, r->f->inst, &r->self), 0);
	assert_int_equal(r->d->ops->start(r->self), 0);
	*state = r;
	return 0;
}

static int setup_plain(void **state)
{
	return setup_mode(state, "plain");
}

static int setup_ansi(void **state)
{
	return setup_mode(state, "ansi");
}

static int teardown(void **state)
{
	struct rig *r = *state;

	r->d->ops->stop(r->self);
	r->d->ops->destroy(r->self);
	assert_int_equal(host_fake_destroy(r->f), 0);
	dlclose(r->so);
	test_free(r);
	return 0;
}

static void put(struct rig *r, uint32_t row, const char *text)
{
	for (uint32_t i = 0; text[i]; i++)
		r->cells[row * COLUMNS + i].code = (uint8_t)text[i];
	r->generation++;
}

static void expect_out(struct rig *r, const char *text)
{
	r->f->out[r->f->out_len] = 0;
	assert_string_equal(r->f->out, text);
	r->f->out_len = 0;
}

static void type(struct rig *r, const char *bytes, uint32_t n)
{
	host_fake_type(r->f, bytes, n);
	host_fake_run(r->f);
}

#define TYPE(r, bytes) type(r, bytes, sizeof(bytes) - 1)

static void expect_keys(struct rig *r, const uint16_t *keys, uint32_t n)
{
	assert_int_equal(r->n_keys, n);
	assert_memory_equal(r->keys, keys, n * sizeof(*keys));
	r->n_keys = 0;
}

#define EXPECT_KEYS(r, ...)                                                                                        \
	expect_keys(r, (const uint16_t[]){ __VA_ARGS__ }, sizeof((const uint16_t[]){ __VA_ARGS__ }) / 2)

/* ---- plain ---- */

static void a_page_when_it_stands_still(void **state)
{
	struct rig *r = *state;

	put(r, 0, "SeaBIOS");
	host_fake_advance(r->f, 90 * MS);
	put(r, 2, "Booting");
	host_fake_advance(r->f, 90 * MS);
	assert_int_equal(r->f->out_len, 0);
	host_fake_advance(r->f, 90 * MS);
	expect_out(r, "SeaBIOS\n\nBooting\n\f\n");
	/* Something else than text changed. */
	r->generation++;
	r->screen.cursor_row = 3;
	host_fake_advance(r->f, 500 * MS);
	assert_int_equal(r->f->out_len, 0);
}

static void a_restless_screen_is_written_too(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 120; i++) {
		char text[2] = { (char)('a' + i % 23), 0 };

		put(r, 0, text);
		host_fake_advance(r->f, 20 * MS);
	}
	assert_in_range(r->f->out_len, 8, 12);
}

static void the_last_page(void **state)
{
	struct rig *r = *state;

	put(r, 0, "Power down");
	r->d->ops->stop(r->self);
	expect_out(r, "Power down\n\f\n");
}

static void a_paused_screen_is_written(void **state)
{
	struct rig *r = *state;

	put(r, 0, "half way");
	assert_int_equal(r->d->ops->pause(r->self), 0);
	expect_out(r, "half way\n\f\n");
	host_fake_advance(r->f, 500 * MS);
	assert_int_equal(r->f->out_len, 0);
}

static void idle_costs_no_looks(void **state)
{
	struct rig *r = *state;
	uint32_t looks;

	host_fake_advance(r->f, 1000 * MS);
	looks = r->looks;
	host_fake_advance(r->f, 10000 * MS);
	assert_int_equal(r->looks, looks);
}

/* ---- ansi ---- */

static void drawn_at_most_25_times_a_second(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 1000; i++) {
		char text[2] = { (char)('a' + i % 26), 0 };

		put(r, 0, text);
		host_fake_advance(r->f, MS);
	}
	assert_in_range(host_fake_counter(r->f, "frames"), 24, 26);
}

static void a_slow_terminal_gets_whole_frames(void **state)
{
	struct rig *r = *state;
	uint32_t before;

	put(r, 0, "first");
	r->f->out_room = 100;
	host_fake_advance(r->f, 40 * MS);
	assert_int_equal(r->f->out_len, 100);
	assert_int_equal(host_fake_counter(r->f, "frames"), 1);
	put(r, 1, "second");
	host_fake_advance(r->f, 400 * MS);
	assert_int_equal(host_fake_counter(r->f, "frames"), 1);
	r->f->out_room = UINT32_MAX;
	host_fake_advance(r->f, 40 * MS);
	assert_int_equal(host_fake_counter(r->f, "frames"), 2);
	r->f->out[r->f->out_len] = 0;
	assert_non_null(strstr(r->f->out, "first"));
	assert_non_null(strstr(r->f->out, "second"));
	before = r->f->out_len;
	host_fake_advance(r->f, 400 * MS);
	assert_int_equal(r->f->out_len, before);
}

static void leaving_restores_the_terminal(void **state)
{
	struct rig *r = *state;

	put(r, 0, "x");
	host_fake_advance(r->f, 40 * MS);
	r->f->out_len = 0;
	r->d->ops->stop(r->self);
	r->f->out[r->f->out_len] = 0;
	assert_non_null(strstr(r->f->out, "\033[0m\033[?7h\033[?25h"));
}

/* ---- keys ---- */

static void typing(void **state)
{
	struct rig *r = *state;

	TYPE(r, "a");
	EXPECT_KEYS(r, 0x104, 0x04);
	TYPE(r, "A\r");
	EXPECT_KEYS(r, 0x1e1, 0x104, 0x04, 0xe1, 0x128, 0x28);
	TYPE(r, "\033[3;7~");
	EXPECT_KEYS(r, 0x1e0, 0x1e2, 0x14c, 0x4c, 0xe2, 0xe0);
}

static void escape_alone(void **state)
{
	struct rig *r = *state;

	TYPE(r, "\033");
	host_fake_advance(r->f, 40 * MS);
	assert_int_equal(r->n_keys, 0);
	host_fake_advance(r->f, 20 * MS);
	EXPECT_KEYS(r, 0x129, 0x29);
	/* A sequence in two pieces. */
	TYPE(r, "\033");
	host_fake_advance(r->f, 20 * MS);
	TYPE(r, "[A");
	EXPECT_KEYS(r, 0x152, 0x52);
	host_fake_advance(r->f, 200 * MS);
	assert_int_equal(r->n_keys, 0);
}

static void a_full_keyboard_is_waited_for(void **state)
{
	struct rig *r = *state;

	r->key_room = 3;
	TYPE(r, "Ab");
	EXPECT_KEYS(r, 0x1e1, 0x104, 0x04);
	host_fake_advance(r->f, 100 * MS);
	assert_int_equal(r->n_keys, 0);
	r->key_room = 100;
	host_fake_advance(r->f, 20 * MS);
	EXPECT_KEYS(r, 0xe1, 0x105, 0x05);
}

static void reset_forgets_what_was_typed(void **state)
{
	struct rig *r = *state;

	r->key_room = 0;
	TYPE(r, "abc");
	assert_int_equal(r->d->ops->reset(r->self), 0);
	r->key_room = 100;
	TYPE(r, "x");
	EXPECT_KEYS(r, 0x11b, 0x1b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_page_when_it_stands_still, setup_plain, teardown),
		cmocka_unit_test_setup_teardown(a_restless_screen_is_written_too, setup_plain, teardown),
		cmocka_unit_test_setup_teardown(the_last_page, setup_plain, teardown),
		cmocka_unit_test_setup_teardown(a_paused_screen_is_written, setup_plain, teardown),
		cmocka_unit_test_setup_teardown(idle_costs_no_looks, setup_plain, teardown),
		cmocka_unit_test_setup_teardown(drawn_at_most_25_times_a_second, setup_ansi, teardown),
		cmocka_unit_test_setup_teardown(a_slow_terminal_gets_whole_frames, setup_ansi, teardown),
		cmocka_unit_test_setup_teardown(leaving_restores_the_terminal, setup_ansi, teardown),
		cmocka_unit_test_setup_teardown(typing, setup_plain, teardown),
		cmocka_unit_test_setup_teardown(escape_alone, setup_plain, teardown),
		cmocka_unit_test_setup_teardown(a_full_keyboard_is_waited_for, setup_plain, teardown),
		cmocka_unit_test_setup_teardown(reset_forgets_what_was_typed, setup_plain, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
