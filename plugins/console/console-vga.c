/* SPDX-License-Identifier: MIT */
/*
 * console = "vga": the PC's screen and keyboard on the domain's terminal.
 *
 * On a terminal (mode = "ansi") what changes on the screen is drawn in place,
 * at most FRAME_NS apart, with colours and cursor.
 *
 * Elsewhere (mode = "plain"), for scripts: whenever the text has changed and
 * then stood still for STILL_NS - or has not stood still for RESTLESS_NS - the
 * whole screen is written as lines of UTF-8, without blanks at their ends and
 * empty rows at the screen's, and then a line with a form feed. Only what the
 * text is counts: colours and the cursor make no new page.
 *
 * Bytes of input are keys of a US keyboard, see dm/term/keys.h. When the
 * keyboard's queue is full the input waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dm/term/draw.h"
#include "dm/term/keys.h"
#include "gamut/host.h"
#include "gamut/plugin.h"

#define FRAME_NS 40000000ull
#define STILL_NS 100000000ull
#define RESTLESS_NS 1000000000ull
#define ESCAPE_NS 50000000ull /* how long the rest of an escape sequence may take */
#define RETRY_NS 10000000ull  /* for a full keyboard */

struct console_vga {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_text_screen_ops *screen; /* NULL before start and after stop */
	const struct gamut_keyboard_ops *keyboard;
	void *screen_self, *keyboard_self;
	int plain;
	uint64_t *frames, *keys_dropped; /* counters */
	uint64_t *changes;               /* sign: the screen was another than at the look before */
	int looked;                      /* there was one since power-on. [io] */

	/* The screen. [io] */
	struct gamut_timer *frame;
	uint64_t drawn; /* the generation that was drawn */
	struct gamut_text_screen now;
	struct gamut_text_cell *cells;
	uint32_t room; /* of cells */
	struct draw draw;
	struct draw_out out; /* [sent, len): the terminal has not taken it yet */
	uint32_t sent;
	struct draw_out page;   /* plain: what was written last */
	uint64_t changed_since; /* plain: when the change began that is not yet written, 0: none */
	uint64_t changed_at;    /* and its last step */

	/* The keyboard. [io] */
	struct gamut_timer *wait;
	struct keys keys;
	uint8_t input[64];
	uint32_t input_at, input_n;
	uint8_t event[8]; /* usages in order: pressed first, then released */
	uint32_t event_at, event_n;
};

/* ---- to the terminal ---- */

/* Whether all is out. */
static bool send_out(struct console_vga *c)
{
	if (c->sent < c->out.len)
		c->sent += c->host->console_write(c->inst, c->out.data + c->sent, c->out.len - c->sent);
	if (c->sent < c->out.len)
		return false;
	c->sent = c->out.len = 0;
	c->out.failed = false;
	return true;
}

/* All cells of the screen as it is now. A screen that grows while we look is looked at once more. */
static bool look(struct console_vga *c)
{
	for (int i = 0; i < 3; i++) {
		struct gamut_text_cell *grown;
		uint32_t n;

		c->now.size = sizeof(c->now);
		n = c->screen->look(c->screen_self, &c->now, c->cells, c->room);
		if (n <= c->room)
			return true;
		grown = realloc(c->cells, n * sizeof(*grown));
		if (!grown)
			return false;
		c->cells = grown;
		c->room = n;
	}
	return false;
}

static void draw_frame(struct console_vga *c)
{
	struct winsize size = { .ws_row = 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		size.ws_row = size.ws_col = 0;
	if (!draw_update(&c->draw, &c->now, c->cells, size.ws_row, size.ws_col, &c->out))
		__atomic_fetch_add(c->frames, 1, __ATOMIC_RELAXED);
}

/* A page, when it is another than the last. */
static void write_page(struct console_vga *c)
{
	struct draw_out page = { .data = NULL };

	draw_plain(&c->now, c->cells, &page);
	if (page.failed || (page.len == c->page.len && !(page.len && memcmp(page.data, c->page.data, page.len)))) {
		draw_finish(&page);
		return;
	}
	draw_put(&c->out, page.data, page.len);
	draw_put(&c->out, "\f\n", 2);
	draw_finish(&c->page);
	c->page = page;
	__atomic_fetch_add(c->frames, 1, __ATOMIC_RELAXED);
}

/* Plain: whether what has changed is to be written now. */
static bool page_due(struct console_vga *c, bool changed)
{
	uint64_t now = c->host->time_now(c->inst);

	if (changed) {
		c->changed_at = now;
		if (!c->changed_since)
			c->changed_since = now ? now : 1;
	}
	return c->changed_since && (now - c->changed_at >= STILL_NS || now - c->changed_since >= RESTLESS_NS);
}

/* last: there will be no later one. */
static void refresh(struct console_vga *c, bool last)
{
	uint64_t generation = c->screen->generation(c->screen_self);
	bool changed = generation != c->drawn;

	c->drawn = generation;
	if (changed && c->looked)
		__atomic_fetch_add(c->changes, 1, __ATOMIC_RELAXED);
	c->looked = 1;
	if (c->plain ? !page_due(c, changed) && !last : !changed)
		return;
	c->changed_since = 0;
	if (!look(c)) {
		c->drawn = generation - 1;
		return;
	}
	if (c->plain)
		write_page(c);
	else
		draw_frame(c);
}

static void frame(void *opaque)
{
	struct console_vga *c = opaque;

	if (send_out(c)) {
		refresh(c, false);
		send_out(c);
	}
	c->host->timer_set(c->inst, c->frame, c->host->time_now(c->inst) + FRAME_NS);
}

/* ---- from the terminal ---- */

static void set_events(struct console_vga *c, struct keys_stroke stroke)
{
	uint32_t n = keys_of(stroke, c->event);

	for (uint32_t i = 0; i < n; i++)
		c->event[n + i] = c->event[n - 1 - i];
	c->event_at = 0;
	c->event_n = 2 * n;
}

/* Whether all keys are with the keyboard. */
static bool press(struct console_vga *c)
{
	while (c->event_at < c->event_n) {
		uint32_t down = c->event_at < c->event_n / 2;
		int rc = c->keyboard->key(c->keyboard_self, c->event[c->event_at], down);

		if (rc == -EAGAIN)
			return false;
		if (rc)
			__atomic_fetch_add(c->keys_dropped, 1, __ATOMIC_RELAXED);
		c->event_at++;
	}
	return true;
}

static bool next_byte(struct console_vga *c, uint8_t *byte)
{
	if (c->input_at == c->input_n) {
		c->input_at = 0;
		c->input_n = c->host->console_read(c->inst, c->input, sizeof(c->input));
	}
	if (c->input_at == c->input_n)
		return false;
	*byte = c->input[c->input_at++];
	return true;
}

static void later(struct console_vga *c, uint64_t ns)
{
	c->host->timer_set(c->inst, c->wait, c->host->time_now(c->inst) + ns);
}

static void type(struct console_vga *c)
{
	uint8_t byte;

	for (;;) {
		if (!press(c)) {
			later(c, RETRY_NS);
			return;
		}
		if (!next_byte(c, &byte))
			break;
		set_events(c, keys_feed(&c->keys, byte));
	}
	if (keys_waiting(&c->keys))
		later(c, ESCAPE_NS);
}

/* There is input; or room in the terminal. */
static void input(void *opaque)
{
	struct console_vga *c = opaque;

	if (!c->screen)
		return;
	send_out(c);
	type(c);
}

/* The keyboard may have room again; or an escape sequence has not gone on. */
static void waited(void *opaque)
{
	struct console_vga *c = opaque;

	if (!c->screen)
		return;
	if (press(c) && c->input_at == c->input_n && keys_waiting(&c->keys)) {
		c->input_n = c->host->console_read(c->inst, c->input, sizeof(c->input));
		c->input_at = 0;
		if (!c->input_n)
			set_events(c, keys_idle(&c->keys));
	}
	type(c);
}

/* ---- life cycle ---- */

static void destroy(void *self)
{
	struct console_vga *c = self;

	if (c->frame)
		c->host->timer_destroy(c->inst, c->frame);
	if (c->wait)
		c->host->timer_destroy(c->inst, c->wait);
	draw_finish(&c->out);
	draw_finish(&c->page);
	draw_free(&c->draw);
	free(c->cells);
	free(c);
}

static int is_plain(const struct gamut_host *host, struct gamut_inst *inst)
{
	const char *mode = "auto";

	host->option_string(inst, "mode", &mode);
	if (!strcmp(mode, "auto"))
		return !isatty(STDOUT_FILENO);
	return !strcmp(mode, "plain");
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct console_vga *c = calloc(1, sizeof(*c));

	if (!c)
		return host->fail(inst, ENOMEM, "out of memory");
	c->host = host;
	c->inst = inst;
	c->plain = is_plain(host, inst);
	c->frames = host->counter(inst, "frames");
	c->keys_dropped = host->counter(inst, "keys-dropped");
	c->changes = host->sign(inst, GAMUT_AXIS_CONSOLE, GAMUT_COLOUR_V, "screen changes");
	c->frame = host->timer_create(inst, frame, c);
	c->wait = host->timer_create(inst, waited, c);
	if (!c->frame || !c->wait) {
		destroy(c);
		return host->fail(inst, ENOMEM, "out of memory");
	}
	*self = c;
	return 0;
}

static int start(void *self)
{
	struct console_vga *c = self;
	const struct gamut_host *host = c->host;
	const struct gamut_text_screen_ops *screen;

	screen = host->lookup(c->inst, GAMUT_TEXT_SCREEN, GAMUT_PC_REVISION, 0, &c->screen_self);
	c->keyboard = host->lookup(c->inst, GAMUT_KEYBOARD, GAMUT_PC_REVISION, 0, &c->keyboard_self);
	if (!screen || !c->keyboard)
		return host->fail(c->inst, ENODEV, "the VGA console needs a platform with %s and %s",
		                  GAMUT_TEXT_SCREEN, GAMUT_KEYBOARD);
	c->screen = screen;
	c->drawn = UINT64_MAX;
	host->timer_set(c->inst, c->frame, host->time_now(c->inst) + FRAME_NS);
	host->console_on_input(c->inst, input, c);
	return 0;
}

/* Domain time stands still from here on, and the timer with it: what is on the screen is drawn now. */
static int pause_op(void *self)
{
	struct console_vga *c = self;

	if (send_out(c))
		refresh(c, true);
	send_out(c);
	return 0;
}

/* What was typed and not taken belonged to the system before. */
static int reset(void *self)
{
	struct console_vga *c = self;

	memset(&c->keys, 0, sizeof(c->keys));
	c->input_at = c->input_n = 0;
	c->event_at = c->event_n = 0;
	c->looked = 0;
	return 0;
}

/* The last that was to be seen. */
static void stop(void *self)
{
	struct console_vga *c = self;

	if (!c->screen)
		return;
	c->host->console_on_input(c->inst, NULL, NULL);
	c->host->timer_cancel(c->inst, c->frame);
	c->host->timer_cancel(c->inst, c->wait);
	if (send_out(c))
		refresh(c, true);
	if (!c->plain)
		draw_leave(&c->draw, &c->out);
	send_out(c);
	c->screen = NULL;
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.pause = pause_op,
	.reset = reset,
	.stop = stop,
	.destroy = destroy,
};

static const char *const modes[] = { "auto", "ansi", "plain", NULL };

static const struct gamut_option options[] = {
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_CHOICE,
	  .name = "mode",
	  .help = "Draw in place on a terminal, or write each page that stands still, a form feed after it",
	  .default_value = "auto",
	  .choices = modes },
};

static const char *const needs[] = { GAMUT_TEXT_SCREEN, GAMUT_KEYBOARD, NULL };
static const char *const gives[] = { NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_CONSOLE,
	.colour = GAMUT_COLOUR_V,
	.score = 40,
	.choice = "vga",
	.description = "The VGA's text screen and the keyboard, drawn on the terminal",
	.needs = needs,
	.gives = gives,
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "console-vga",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
