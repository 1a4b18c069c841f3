/* SPDX-License-Identifier: MIT */
/*
 * What a VGA shows, as text: the CRT controller's counters walk over the cells,
 * the attribute controller and the DAC give the colours.
 */
#include "dm/pc/vga-internal.h"

#include <string.h>

/* ---- counters ---- */

/* A vertical register's bits 8 and 9, which are in the overflow register. */
static uint32_t vertical(const struct vga *v, uint32_t reg, uint32_t bit8, uint32_t bit9)
{
	uint32_t overflow = v->crtc[CRTC_OVERFLOW];

	return v->crtc[reg] | (overflow >> bit8 & 1) << 8 | (overflow >> bit9 & 1) << 9;
}

static uint32_t split_line(const struct vga *v)
{
	return v->crtc[CRTC_COMPARE] | (v->crtc[CRTC_OVERFLOW] >> 4 & 1u) << 8 | (v->crtc[CRTC_HEIGHT] >> 6 & 1u) << 9;
}

static uint32_t cell_height(const struct vga *v)
{
	return ((v->crtc[CRTC_HEIGHT] & 31u) + 1) << (v->crtc[CRTC_HEIGHT] >> 7);
}

static uint32_t word(const struct vga *v, uint32_t reg)
{
	return (uint32_t)v->crtc[reg] << 8 | v->crtc[reg + 1];
}

/* The address counter's bits as they go to the memory: by bytes, words or double words. */
static uint32_t memory_address(const struct vga *v, uint32_t counter)
{
	counter &= 0xffff;
	if (v->crtc[CRTC_UNDERLINE] & 0x40)
		return (counter << 2 | counter >> 14) & 0xffff;
	if (v->crtc[CRTC_MODE] & 0x40)
		return counter;
	return (counter << 1 | (counter >> (v->crtc[CRTC_MODE] & 0x20 ? 15 : 13) & 1)) & 0xffff;
}

/* Of a row's first cell. Below the split the counter has begun anew. */
static uint32_t row_address(const struct vga *v, uint32_t row)
{
	uint32_t height = cell_height(v), pitch = v->crtc[CRTC_OFFSET] * 2u, split = split_line(v) / height + 1;

	if (row >= split)
		return (row - split) * pitch;
	return word(v, CRTC_START) + (v->crtc[CRTC_PAN] >> 5 & 3u) + row * pitch;
}

/* ---- the screen ---- */

static bool blank(const struct vga *v)
{
	return !v->enabled || !(v->attr_index & ATTR_DISPLAY) || v->seq[SEQ_CLOCKING] & CLOCKING_OFF ||
	       (v->seq[SEQ_RESET] & 3) != 3 || !(v->crtc[CRTC_MODE] & 0x80);
}

static void colour(const struct vga *v, uint32_t i, uint8_t rgb[3])
{
	uint8_t entry = v->attr[i & v->attr[ATTR_PLANES] & 15], select = v->attr[ATTR_SELECT];

	if (v->attr[ATTR_MODE] & 0x80)
		entry = (entry & 15) | (uint8_t)((select & 3) << 4);
	entry |= (uint8_t)((select & 12) << 4);
	entry &= v->dac_mask;
	for (int j = 0; j < 3; j++)
		rgb[j] = (uint8_t)(v->dac[entry][j] << 2 | v->dac[entry][j] >> 4);
}

static void find_cursor(const struct vga *v, struct gamut_text_screen *s)
{
	uint32_t first = v->crtc[CRTC_CURSOR_START] & 31, last = v->crtc[CRTC_CURSOR_END] & 31;

	if (v->crtc[CRTC_CURSOR_START] & 0x20 || first > last || first > (v->crtc[CRTC_HEIGHT] & 31u))
		return;
	for (uint32_t row = 0; row < s->rows; row++) {
		uint32_t column = (word(v, CRTC_CURSOR) - row_address(v, row)) & 0xffff;

		if (column >= s->columns)
			continue;
		s->cursor_on = 1;
		s->cursor_column = column;
		s->cursor_row = row;
		return;
	}
}

/* Pixels: what the CRT controller counts, a double clock and double scan taken out. */
static void measure_graphics(const struct vga *v, struct gamut_text_screen *s)
{
	uint32_t lines = vertical(v, CRTC_V_END, 1, 6) + 1;

	s->columns = (v->crtc[CRTC_H_END] + 1u) * 8 >> (v->attr[ATTR_MODE] >> 6 & 1);
	s->rows = lines / cell_height(v);
}

static uint32_t fill_cells(const struct vga *v, const struct gamut_text_screen *s, struct gamut_text_cell *cells,
                           uint32_t n)
{
	uint32_t at = 0;

	for (uint32_t row = 0; row < s->rows && at < n; row++) {
		uint32_t counter = row_address(v, row);

		for (uint32_t column = 0; column < s->columns && at < n; column++, at++) {
			uint32_t offset = memory_address(v, counter + column);

			cells[at].code = vga_memory_byte(v, 0, offset);
			cells[at].attribute = vga_memory_byte(v, 1, offset);
		}
	}
	return s->rows * s->columns;
}

static uint32_t look(void *self, struct gamut_text_screen *screen, struct gamut_text_cell *cells, uint32_t n)
{
	struct vga *v = self;
	struct gamut_text_screen s = { .size = sizeof(s) };
	uint32_t count = 0;

	pthread_mutex_lock(&v->lock);
	s.graphics = v->gfx[GFX_MISC] & GMISC_GRAPHICS;
	s.blank = blank(v);
	s.blink = v->attr[ATTR_MODE] >> 3 & 1;
	for (uint32_t i = 0; i < 16; i++)
		colour(v, i, s.palette[i]);
	if (s.graphics) {
		measure_graphics(v, &s);
	} else {
		s.columns = v->crtc[CRTC_H_END] + 1u;
		s.rows = (vertical(v, CRTC_V_END, 1, 6) + 1) / cell_height(v);
		find_cursor(v, &s);
		count = fill_cells(v, &s, cells, n);
	}
	pthread_mutex_unlock(&v->lock);
	s.size = screen->size < sizeof(s) ? screen->size : (uint32_t)sizeof(s);
	memcpy(screen, &s, s.size);
	return count;
}

/* The pages tell nobody that they were written: compare. What is written meanwhile is found the next time. */
static uint64_t generation(void *self)
{
	struct vga *v = self;
	uint64_t changes;

	pthread_mutex_lock(&v->lock);
	if (v->text_at && memcmp(v->seen, v->text, VGA_TEXT)) {
		memcpy(v->seen, v->text, VGA_TEXT);
		v->changes++;
	}
	changes = v->changes;
	pthread_mutex_unlock(&v->lock);
	return changes;
}

const struct gamut_text_screen_ops vga_text_screen_ops = {
	.size = sizeof(struct gamut_text_screen_ops),
	.look = look,
	.generation = generation,
};
