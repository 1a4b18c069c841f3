/* SPDX-License-Identifier: MIT */
/*
 * A PC's text screen (struct gamut_text_screen) as bytes: for a terminal that
 * knows ECMA-48 and UTF-8, changed cells only; or as plain text.
 * No threads, no host: bytes are appended to a buffer.
 */
#ifndef DM_TERM_DRAW_H
#define DM_TERM_DRAW_H

#include <stdbool.h>

#include "gamut/pc.h"

/* Bytes that grow. */
struct draw_out {
	char *data;
	uint32_t len, room;
	bool failed; /* out of memory: what is there is not all */
};

void draw_put(struct draw_out *out, const char *data, uint32_t len);
void draw_finish(struct draw_out *out);

/* What the terminal shows; all zero: nothing yet. */
struct draw {
	struct gamut_text_screen screen;
	struct gamut_text_cell *cells; /* columns * rows of them, as drawn */
	uint32_t n;
	uint32_t top;       /* the first row that shows */
	uint32_t rows, columns; /* of the terminal, as it was the last time; 0: not known, large enough */
	bool valid;
};

/*
 * Appends what makes the terminal show this screen. rows and columns are the
 * terminal's size, 0 when not known: a screen that is larger is cut, so that the
 * cursor's row shows. 0, or -ENOMEM and then the next call draws all of it.
 */
int draw_update(struct draw *d, const struct gamut_text_screen *screen, const struct gamut_text_cell *cells,
                uint32_t rows, uint32_t columns, struct draw_out *out);
/* Appends what leaves the terminal usable, the cursor below the screen. */
void draw_leave(struct draw *d, struct draw_out *out);
void draw_free(struct draw *d);

/*
 * The screen's text: a line for each row without the blanks at its end, without
 * the empty rows at the end of the screen. For a graphics mode a line that says so.
 */
void draw_plain(const struct gamut_text_screen *screen, const struct gamut_text_cell *cells, struct draw_out *out);

#endif
