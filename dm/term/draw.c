/* SPDX-License-Identifier: MIT */
/*
 * Drawing with the control sequences that every terminal emulator has: CUP, ED,
 * SGR, and DECTCEM and DECAWM of the VT series. A colour that is the VGA's own is
 * asked for by number, so that it fits the user's theme; one that the guest
 * made, by its value.
 */
#include "dm/term/draw.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/term/cp437.h"

/* ---- buffer ---- */

void draw_put(struct draw_out *out, const char *data, uint32_t len)
{
	if (len > out->room - out->len) {
		uint32_t room = out->room + len + out->room / 2 + 256;
		char *grown = room > out->room ? realloc(out->data, room) : NULL;

		if (!grown) {
			out->failed = true;
			return;
		}
		out->data = grown;
		out->room = room;
	}
	memcpy(out->data + out->len, data, len);
	out->len += len;
}

void draw_finish(struct draw_out *out)
{
	free(out->data);
	memset(out, 0, sizeof(*out));
}

static GAMUT_PRINTF(2, 3) void put(struct draw_out *out, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	draw_put(out, text, (uint32_t)n);
}

static void put_code(struct draw_out *out, uint8_t code)
{
	char utf8[3];

	draw_put(out, utf8, cp437_utf8(code, utf8));
}

/* ---- colours ---- */

static const uint8_t standard[16][3] = {
	{ 0, 0, 0 },       { 0, 0, 170 },     { 0, 170, 0 },     { 0, 170, 170 },
	{ 170, 0, 0 },     { 170, 0, 170 },   { 170, 85, 0 },    { 170, 170, 170 },
	{ 85, 85, 85 },    { 85, 85, 255 },   { 85, 255, 85 },   { 85, 255, 255 },
	{ 255, 85, 85 },   { 255, 85, 255 },  { 255, 255, 85 },  { 255, 255, 255 },
};

/* The VGA's bits are blue, green, red; the terminal's the other way round. */
static uint32_t swap(uint32_t colour)
{
	return (colour & 2) | (colour & 1) << 2 | (colour >> 2 & 1);
}

static bool is_standard(const uint8_t *rgb, uint32_t colour)
{
	for (int i = 0; i < 3; i++)
		if (abs(rgb[i] - standard[colour][i]) > 4)
			return false;
	return true;
}

/* base is 30 for the foreground, 40 for the background. */
static void put_colour(struct draw_out *out, const struct gamut_text_screen *s, uint32_t base, uint32_t colour)
{
	const uint8_t *rgb = s->palette[colour];

	if (is_standard(rgb, colour))
		put(out, ";%u", base + (colour & 8 ? 60 : 0) + swap(colour & 7));
	else
		put(out, ";%u;2;%u;%u;%u", base + 8, rgb[0], rgb[1], rgb[2]);
}

static void put_attribute(struct draw_out *out, const struct gamut_text_screen *s, uint8_t attribute)
{
	uint32_t background = attribute >> 4;

	draw_put(out, "\033[0", 3);
	if (s->blink) {
		if (background & 8)
			draw_put(out, ";5", 2);
		background &= 7;
	}
	put_colour(out, s, 30, attribute & 15);
	put_colour(out, s, 40, background);
	draw_put(out, "m", 1);
}

/* ---- the terminal ---- */

static bool same_frame(const struct draw *d, const struct gamut_text_screen *s, uint32_t top, uint32_t rows,
                       uint32_t columns)
{
	return d->valid && d->top == top && d->rows == rows && d->columns == columns &&
	       d->screen.graphics == s->graphics && d->screen.blank == s->blank && d->screen.columns == s->columns &&
	       d->screen.rows == s->rows && d->screen.blink == s->blink &&
	       !memcmp(d->screen.palette, s->palette, sizeof(s->palette));
}

static uint32_t smaller(uint32_t wanted, uint32_t limit)
{
	return limit && wanted > limit ? limit : wanted;
}

struct pen {
	int attribute;        /* -1: not known */
	uint32_t row, column; /* where the terminal's cursor is, from 0 */
};

static void put_cell(struct draw_out *out, const struct gamut_text_screen *s, struct pen *pen, uint32_t row,
                     uint32_t column, struct gamut_text_cell cell)
{
	if (pen->row != row || pen->column != column)
		put(out, "\033[%u;%uH", row + 1, column + 1);
	if (pen->attribute != cell.attribute)
		put_attribute(out, s, cell.attribute);
	put_code(out, cell.code);
	*pen = (struct pen){ .attribute = cell.attribute, .row = row, .column = column + 1 };
}

static void put_rows(struct draw *d, const struct gamut_text_screen *s, const struct gamut_text_cell *cells, bool all,
                     struct draw_out *out)
{
	uint32_t rows = smaller(s->rows, d->rows), columns = smaller(s->columns, d->columns);
	struct pen pen = { .attribute = -1, .row = UINT32_MAX };

	for (uint32_t row = 0; row < rows; row++) {
		for (uint32_t column = 0; column < columns; column++) {
			uint32_t i = (d->top + row) * s->columns + column;

			if (all || memcmp(&d->cells[i], &cells[i], sizeof(*cells)))
				put_cell(out, s, &pen, row, column, cells[i]);
		}
	}
}

static void put_cursor(const struct draw *d, const struct gamut_text_screen *s, struct draw_out *out)
{
	uint32_t row = s->cursor_row - d->top;

	if (s->cursor_on && row < smaller(s->rows, d->rows) && s->cursor_column < smaller(s->columns, d->columns))
		put(out, "\033[%u;%uH\033[?25h", row + 1, s->cursor_column + 1);
}

static int keep(struct draw *d, const struct gamut_text_screen *s, const struct gamut_text_cell *cells)
{
	uint32_t n = s->graphics ? 0 : s->columns * s->rows;

	if (n > d->n) {
		struct gamut_text_cell *grown = realloc(d->cells, n * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		d->cells = grown;
		d->n = n;
	}
	if (n)
		memcpy(d->cells, cells, n * sizeof(*cells));
	d->screen = *s;
	return 0;
}

int draw_update(struct draw *d, const struct gamut_text_screen *screen, const struct gamut_text_cell *cells,
                uint32_t rows, uint32_t columns, struct draw_out *out)
{
	uint32_t top = rows && screen->cursor_on && screen->cursor_row >= rows ? screen->cursor_row - rows + 1 : 0;
	bool all = !same_frame(d, screen, top, rows, columns);

	d->top = top;
	d->rows = rows;
	d->columns = columns;
	draw_put(out, "\033[?25l", 6);
	if (all)
		put(out, "\033[?7l\033[0m\033[2J");
	if (screen->graphics && all)
		put(out, "\033[1;1H(graphics, %u x %u)", screen->columns, screen->rows);
	if (!screen->graphics && !screen->blank) {
		put_rows(d, screen, cells, all, out);
		put_cursor(d, screen, out);
	}
	d->valid = !keep(d, screen, cells) && !out->failed;
	return d->valid ? 0 : -ENOMEM;
}

void draw_leave(struct draw *d, struct draw_out *out)
{
	uint32_t rows = d->screen.graphics ? 1 : smaller(d->screen.rows, d->rows);

	if (d->screen.size)
		put(out, "\033[0m\033[?7h\033[?25h\033[%u;1H\r\n", rows ? rows : 1);
	d->valid = false;
}

void draw_free(struct draw *d)
{
	free(d->cells);
	memset(d, 0, sizeof(*d));
}

/* ---- plain ---- */

static bool is_blank(struct gamut_text_cell cell)
{
	return cell.code == 0 || cell.code == ' ' || cell.code == 0xff;
}

void draw_plain(const struct gamut_text_screen *screen, const struct gamut_text_cell *cells, struct draw_out *out)
{
	uint32_t end = 0; /* of what has been put that is not empty */
	uint32_t begin = out->len;

	if (screen->graphics) {
		put(out, "(graphics, %u x %u)\n", screen->columns, screen->rows);
		return;
	}
	for (uint32_t row = 0; row < screen->rows && !screen->blank; row++) {
		const struct gamut_text_cell *line = cells + row * screen->columns;
		uint32_t n = screen->columns;

		while (n && is_blank(line[n - 1]))
			n--;
		for (uint32_t i = 0; i < n; i++)
			put_code(out, is_blank(line[i]) ? ' ' : line[i].code);
		draw_put(out, "\n", 1);
		if (n)
			end = out->len;
	}
	out->len = end ? end : begin;
}
