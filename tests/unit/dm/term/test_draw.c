/* SPDX-License-Identifier: MIT */
/*
 * The drawing is checked by a terminal: a small one, that knows what draw.c
 * uses. After each update its screen must be the guest's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dm/term/cp437.h"
#include "dm/term/draw.h"

#define ROWS 25u
#define COLUMNS 80u

static const uint8_t palette[16][3] = {
	{ 0, 0, 0 },    { 0, 0, 170 },   { 0, 170, 0 },   { 0, 170, 170 },   { 170, 0, 0 },   { 170, 0, 170 },
	{ 170, 85, 0 }, { 170, 170, 170 }, { 85, 85, 85 }, { 85, 85, 255 },  { 85, 255, 85 }, { 85, 255, 255 },
	{ 255, 85, 85 }, { 255, 85, 255 }, { 255, 255, 85 }, { 255, 255, 255 },
};

struct terminal_cell {
	uint32_t c;
	char sgr[48];
};

struct terminal {
	struct terminal_cell cell[60][200];
	uint32_t row, column, rows, columns;
	uint32_t cursor_on, cells_put;
	char sgr[48];
};

struct rig {
	struct draw d;
	struct draw_out out;
	struct gamut_text_screen s;
	struct gamut_text_cell cells[ROWS * COLUMNS];
	struct terminal t;
};

/* ---- the terminal ---- */

static void csi(struct terminal *t, const char *body, char final)
{
	unsigned row = 1, column = 1;

	switch (final) {
	case 'H':
		assert_true(sscanf(body, "%u;%u", &row, &column) == 2);
		t->row = row - 1;
		t->column = column - 1;
		break;
	case 'J':
		assert_string_equal(body, "2");
		memset(t->cell, 0, sizeof(t->cell));
		break;
	case 'm':
		snprintf(t->sgr, sizeof(t->sgr), "%s", body);
		break;
	case 'h':
	case 'l':
		if (!strcmp(body, "?25"))
			t->cursor_on = final == 'h';
		else
			assert_string_equal(body, "?7");
		break;
	default:
		fail_msg("CSI %s %c", body, final);
	}
}

static uint32_t utf8_take(const char **p)
{
	uint8_t c = (uint8_t)*(*p)++;
	uint32_t n = c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0, value = c >= 0xe0 ? c & 15 : c >= 0xc0 ? c & 31 : c;

	while (n--)
		value = value << 6 | ((uint8_t)*(*p)++ & 0x3f);
	return value;
}

static void print(struct terminal *t, uint32_t c)
{
	assert_in_range(t->row, 0, t->rows - 1);
	assert_in_range(t->column, 0, t->columns - 1);
	t->cell[t->row][t->column].c = c;
	snprintf(t->cell[t->row][t->column].sgr, sizeof(t->sgr), "%s", t->sgr);
	t->column++;
	t->cells_put++;
}

static void feed(struct terminal *t, const char *p, uint32_t len)
{
	const char *end = p + len;

	t->cells_put = 0;
	while (p < end) {
		char body[32] = "";
		size_t n;

		if (*p == '\r' || *p == '\n') {
			p++;
			continue;
		}
		if (*p != 27) {
			print(t, utf8_take(&p));
			continue;
		}
		assert_int_equal(p[1], '[');
		n = strspn(p + 2, "0123456789;?");
		assert_true(n < sizeof(body));
		memcpy(body, p + 2, n);
		csi(t, body, p[2 + n]);
		p += n + 3;
	}
}

/* ---- the rig ---- */

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->s = (struct gamut_text_screen){ .size = sizeof(r->s), .columns = COLUMNS, .rows = ROWS };
	memcpy(r->s.palette, palette, sizeof(palette));
	for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
		r->cells[i] = (struct gamut_text_cell){ ' ', 7 };
	r->t.rows = ROWS;
	r->t.columns = COLUMNS;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	draw_free(&r->d);
	draw_finish(&r->out);
	test_free(r);
	return 0;
}

static void put_text(struct rig *r, uint32_t row, uint32_t column, const char *text)
{
	for (uint32_t i = 0; text[i]; i++)
		r->cells[row * COLUMNS + column + i].code = (uint8_t)text[i];
}

static void update(struct rig *r)
{
	r->out.len = 0;
	assert_int_equal(draw_update(&r->d, &r->s, r->cells, 0, 0, &r->out), 0);
	feed(&r->t, r->out.data, r->out.len);
	for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
		assert_int_equal(r->t.cell[i / COLUMNS][i % COLUMNS].c, cp437_unicode(r->cells[i].code));
	assert_int_equal(r->t.cursor_on, r->s.cursor_on);
}

/* ---- tests ---- */

static void changed_cells_only(void **state)
{
	struct rig *r = *state;

	update(r);
	assert_int_equal(r->t.cells_put, ROWS * COLUMNS);
	put_text(r, 3, 5, "hello");
	r->cells[24 * COLUMNS + 79].code = 0xdb;
	update(r);
	assert_int_equal(r->t.cells_put, 6);
	update(r);
	assert_int_equal(r->t.cells_put, 0);
	r->s.cursor_on = 1;
	r->s.cursor_row = 3;
	r->s.cursor_column = 10;
	update(r);
	assert_int_equal(r->t.cells_put, 0);
	assert_int_equal(r->t.row, 3);
	assert_int_equal(r->t.column, 10);
}

static void random_changes(void **state)
{
	struct rig *r = *state;
	uint32_t x = 99;

	for (int i = 0; i < 200; i++) {
		for (int j = 0; j < 50; j++) {
			x = x * 1664525u + 1013904223u;
			r->cells[(x >> 8) % (ROWS * COLUMNS)] =
				(struct gamut_text_cell){ (uint8_t)(x >> 12), (uint8_t)(x >> 20) };
		}
		r->s.cursor_on = x >> 31;
		r->s.cursor_row = x % ROWS;
		r->s.cursor_column = (x >> 5) % COLUMNS;
		update(r);
	}
}

static const char *sgr_of(struct rig *r, uint8_t attribute)
{
	r->cells[0] = (struct gamut_text_cell){ 'x', attribute };
	update(r);
	return r->t.cell[0][0].sgr;
}

static void colours(void **state)
{
	struct rig *r = *state;

	assert_string_equal(sgr_of(r, 0x07), "0;37;40");
	assert_string_equal(sgr_of(r, 0x1e), "0;93;44");
	assert_string_equal(sgr_of(r, 0x94), "0;31;104");
	r->s.blink = 1;
	assert_string_equal(sgr_of(r, 0x94), "0;5;31;44");
	r->s.palette[4][0] = 200;
	assert_string_equal(sgr_of(r, 0x04), "0;38;2;200;0;0;40");
	assert_string_equal(sgr_of(r, 0x40), "0;30;48;2;200;0;0");
}

static void a_blank_screen_is_cleared(void **state)
{
	struct rig *r = *state;

	put_text(r, 0, 0, "secret");
	update(r);
	r->s.blank = 1;
	r->out.len = 0;
	assert_int_equal(draw_update(&r->d, &r->s, r->cells, 0, 0, &r->out), 0);
	feed(&r->t, r->out.data, r->out.len);
	assert_int_equal(r->t.cell[0][0].c, 0);
	r->s.blank = 0;
	update(r);
	assert_int_equal(r->t.cell[0][0].c, 's');
}

static void a_small_terminal_follows_the_cursor(void **state)
{
	struct rig *r = *state;

	put_text(r, 0, 0, "top");
	put_text(r, 24, 0, "bottom");
	r->t.rows = 10;
	r->t.columns = 4;
	r->out.len = 0;
	assert_int_equal(draw_update(&r->d, &r->s, r->cells, 10, 4, &r->out), 0);
	feed(&r->t, r->out.data, r->out.len);
	assert_int_equal(r->t.cell[0][0].c, 't');
	r->s.cursor_on = 1;
	r->s.cursor_row = 24;
	r->out.len = 0;
	assert_int_equal(draw_update(&r->d, &r->s, r->cells, 10, 4, &r->out), 0);
	feed(&r->t, r->out.data, r->out.len);
	assert_int_equal(r->t.cell[9][0].c, 'b');
	assert_int_equal(r->t.row, 9);
	assert_int_equal(r->t.cursor_on, 1);
}

static void a_graphics_mode_says_so(void **state)
{
	struct rig *r = *state;

	r->s.graphics = 1;
	r->s.columns = 640;
	r->s.rows = 480;
	assert_int_equal(draw_update(&r->d, &r->s, NULL, 0, 0, &r->out), 0);
	draw_put(&r->out, "", 1);
	assert_non_null(strstr(r->out.data, "(graphics, 640 x 480)"));
	r->out.len = 0;
	assert_int_equal(draw_update(&r->d, &r->s, NULL, 0, 0, &r->out), 0);
	draw_put(&r->out, "", 1);
	assert_null(strstr(r->out.data, "graphics"));
}

static void leaving(void **state)
{
	struct rig *r = *state;

	draw_leave(&r->d, &r->out);
	assert_int_equal(r->out.len, 0);
	update(r);
	r->out.len = 0;
	draw_leave(&r->d, &r->out);
	draw_put(&r->out, "", 1);
	assert_string_equal(r->out.data, "\033[0m\033[?7h\033[?25h\033[25;1H\r\n");
}

static void plain(void **state)
{
	struct rig *r = *state;

	put_text(r, 0, 2, "a b");
	put_text(r, 2, 0, "c");
	r->cells[2 * COLUMNS + 1].code = 0xb0;
	r->cells[3 * COLUMNS].code = 0;
	draw_plain(&r->s, r->cells, &r->out);
	draw_put(&r->out, "", 1);
	assert_string_equal(r->out.data, "  a b\n\nc░\n");
	r->out.len = 0;
	r->s.blank = 1;
	draw_plain(&r->s, r->cells, &r->out);
	assert_int_equal(r->out.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(changed_cells_only, setup, teardown),
		cmocka_unit_test_setup_teardown(random_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(colours, setup, teardown),
		cmocka_unit_test_setup_teardown(a_blank_screen_is_cleared, setup, teardown),
		cmocka_unit_test_setup_teardown(a_small_terminal_follows_the_cursor, setup, teardown),
		cmocka_unit_test_setup_teardown(a_graphics_mode_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(leaving, setup, teardown),
		cmocka_unit_test_setup_teardown(plain, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
