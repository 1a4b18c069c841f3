/* SPDX-License-Identifier: MIT */
#include "dm/term/keys.h"

#include <string.h>

enum { GROUND, ESCAPE, CSI, SS3, LINUX_F };

/* HID usages. */
enum {
	KEY_A = 0x04,
	KEY_1 = 0x1e,
	KEY_0 = 0x27,
	KEY_ENTER = 0x28,
	KEY_ESC = 0x29,
	KEY_BACKSPACE = 0x2a,
	KEY_TAB = 0x2b,
	KEY_SPACE = 0x2c,
	KEY_MINUS = 0x2d,
	KEY_F1 = 0x3a,
	KEY_F13 = 0x68,
	KEY_INSERT = 0x49,
	KEY_HOME = 0x4a,
	KEY_PAGE_UP = 0x4b,
	KEY_DELETE = 0x4c,
	KEY_END = 0x4d,
	KEY_PAGE_DOWN = 0x4e,
	KEY_RIGHT = 0x4f,
	KEY_LEFT = 0x50,
	KEY_DOWN = 0x51,
	KEY_UP = 0x52,
	KEY_LEFT_CTRL = 0xe0,
	KEY_LEFT_SHIFT = 0xe1,
	KEY_LEFT_ALT = 0xe2,
};

static struct keys_stroke stroke(uint32_t usage, uint32_t modifiers)
{
	return (struct keys_stroke){ .usage = (uint8_t)usage, .modifiers = usage ? (uint8_t)modifiers : 0 };
}

static const struct keys_stroke none;

/* ---- characters ---- */

/* The marks in the keyboard's order from KEY_MINUS on, and with Shift; 0x32 is not on a US keyboard. */
static const char marks[] = "-=[]\\\001;'`,./";
static const char marks_shifted[] = "_+{}|\001:\"~<>?";
static const char digits_shifted[] = "!@#$%^&*()";

static struct keys_stroke of_mark(uint8_t c)
{
	const char *at = strchr(marks, c);

	if (at)
		return stroke(KEY_MINUS + (uint32_t)(at - marks), 0);
	at = strchr(marks_shifted, c);
	if (at)
		return stroke(KEY_MINUS + (uint32_t)(at - marks_shifted), KEYS_SHIFT);
	at = strchr(digits_shifted, c);
	return at ? stroke(KEY_1 + (uint32_t)(at - digits_shifted), KEYS_SHIFT) : none;
}

/* Line feed is Enter, as in a file of what to type. */
static struct keys_stroke of_control(uint8_t c)
{
	switch (c) {
	case '\r':
	case '\n':
		return stroke(KEY_ENTER, 0);
	case '\t':
		return stroke(KEY_TAB, 0);
	case '\b':
	case 0x7f:
		return stroke(KEY_BACKSPACE, 0);
	case 0:
		return stroke(KEY_SPACE, KEYS_CTRL);
	case 0x1e:
		return stroke(KEY_1 + 5, KEYS_CTRL | KEYS_SHIFT);
	case 0x1f:
		return stroke(KEY_MINUS, KEYS_CTRL | KEYS_SHIFT);
	default:
		break;
	}
	if (c <= 26)
		return stroke(KEY_A + c - 1u, KEYS_CTRL);
	return stroke(of_mark(c + 0x40).usage, KEYS_CTRL);
}

static struct keys_stroke of_character(uint8_t c)
{
	if (c < ' ' || c == 0x7f)
		return of_control(c);
	if (c >= 'a' && c <= 'z')
		return stroke(KEY_A + c - 'a', 0);
	if (c >= 'A' && c <= 'Z')
		return stroke(KEY_A + c - 'A', KEYS_SHIFT);
	if (c >= '1' && c <= '9')
		return stroke(KEY_1 + c - '1', 0);
	if (c == '0' || c == ' ')
		return stroke(c == ' ' ? KEY_SPACE : KEY_0, 0);
	return of_mark(c);
}

/* ---- sequences ---- */

/* The number before "~", as of VT220: function keys in groups with gaps. */
static uint32_t of_tilde(uint32_t n)
{
	static const uint8_t usage[35] = {
		[1] = KEY_HOME, KEY_INSERT, KEY_DELETE, KEY_END, KEY_PAGE_UP, KEY_PAGE_DOWN, KEY_HOME, KEY_END,
		[11] = KEY_F1, KEY_F1 + 1, KEY_F1 + 2, KEY_F1 + 3, KEY_F1 + 4,
		[17] = KEY_F1 + 5, KEY_F1 + 6, KEY_F1 + 7, KEY_F1 + 8, KEY_F1 + 9,
		[23] = KEY_F1 + 10, KEY_F1 + 11, KEY_F13, KEY_F13 + 1,
		[28] = KEY_F13 + 2, KEY_F13 + 3,
		[31] = KEY_F13 + 4, KEY_F13 + 5, KEY_F13 + 6, KEY_F13 + 7,
	};

	return n < sizeof(usage) ? usage[n] : 0;
}

static uint32_t of_final(uint8_t c)
{
	switch (c) {
	case 'A':
		return KEY_UP;
	case 'B':
		return KEY_DOWN;
	case 'C':
		return KEY_RIGHT;
	case 'D':
		return KEY_LEFT;
	case 'F':
		return KEY_END;
	case 'H':
		return KEY_HOME;
	case 'M': /* the pad's Enter in application mode */
		return KEY_ENTER;
	case 'P' ... 'S':
		return KEY_F1 + c - 'P';
	default:
		return 0;
	}
}

/* xterm's second argument less one is a set of Shift, Alt, Ctrl. */
static uint32_t sequence_modifiers(const struct keys *k)
{
	uint32_t bits = k->n_args > 1 && k->args[1] ? k->args[1] - 1u : 0;

	return (bits & 7) | (k->alt ? KEYS_ALT : 0);
}

static struct keys_stroke finish(struct keys *k, uint32_t usage, uint32_t modifiers)
{
	memset(k, 0, sizeof(*k));
	return stroke(usage, modifiers);
}

static struct keys_stroke feed_csi(struct keys *k, uint8_t byte)
{
	uint32_t modifiers = sequence_modifiers(k);

	if (byte >= '0' && byte <= '9') {
		uint16_t *arg = &k->args[k->n_args > 1 ? 1 : 0];

		if (!k->n_args)
			k->n_args = 1;
		if (*arg < 1000)
			*arg = (uint16_t)(*arg * 10 + byte - '0');
		return none;
	}
	if (byte == ';') {
		k->n_args = 2;
		k->args[1] = 0;
		return none;
	}
	if (byte == '[' && !k->n_args) {
		k->state = LINUX_F;
		return none;
	}
	/* Other parameter and intermediate bytes: a sequence that no key sends, until its final byte. */
	if (byte >= 0x20 && byte < 0x40)
		return none;
	if (byte == '~')
		return finish(k, of_tilde(k->args[0]), modifiers);
	if (byte == 'Z')
		return finish(k, KEY_TAB, modifiers | KEYS_SHIFT);
	return finish(k, of_final(byte), modifiers);
}

/* After an ESC: a sequence, or a key with Alt. A second ESC may begin one with Alt. */
static struct keys_stroke feed_escape(struct keys *k, uint8_t byte)
{
	struct keys_stroke s;

	if (byte == '[' || byte == 'O') {
		k->state = byte == '[' ? CSI : SS3;
		return none;
	}
	if (byte == 0x1b) {
		k->alt = true;
		return none;
	}
	s = of_character(byte);
	return finish(k, s.usage, s.modifiers | KEYS_ALT);
}

/* Only what is on a US keyboard can be typed. */
static struct keys_stroke feed_ground(struct keys *k, uint8_t byte)
{
	if (byte == 0x1b) {
		k->state = ESCAPE;
		return none;
	}
	if (byte >= 0xc0) {
		k->skip = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
		return none;
	}
	return byte < 0x80 ? of_character(byte) : none;
}

struct keys_stroke keys_feed(struct keys *k, uint8_t byte)
{
	if (k->skip && (byte & 0xc0) == 0x80) {
		k->skip--;
		return none;
	}
	k->skip = 0;
	switch (k->state) {
	case ESCAPE:
		return feed_escape(k, byte);
	case CSI:
		return feed_csi(k, byte);
	case SS3:
		return finish(k, of_final(byte), sequence_modifiers(k));
	case LINUX_F:
		return finish(k, byte >= 'A' && byte <= 'E' ? KEY_F1 + byte - 'A' : 0, sequence_modifiers(k));
	default:
		return feed_ground(k, byte);
	}
}

bool keys_waiting(const struct keys *k)
{
	return k->state != GROUND;
}

struct keys_stroke keys_idle(struct keys *k)
{
	uint32_t modifiers = k->alt ? KEYS_ALT : 0;

	switch (k->state) {
	case GROUND:
		return none;
	case ESCAPE:
		return finish(k, KEY_ESC, modifiers);
	case CSI: /* Alt and the character that begins sequences */
		return finish(k, k->n_args ? 0 : of_mark('[').usage, KEYS_ALT);
	case SS3:
		return finish(k, KEY_A + 'O' - 'A', KEYS_ALT | KEYS_SHIFT);
	default:
		return finish(k, 0, 0);
	}
}

uint32_t keys_of(struct keys_stroke s, uint8_t usage[4])
{
	uint32_t n = 0;

	if (!s.usage)
		return 0;
	if (s.modifiers & KEYS_CTRL)
		usage[n++] = KEY_LEFT_CTRL;
	if (s.modifiers & KEYS_SHIFT)
		usage[n++] = KEY_LEFT_SHIFT;
	if (s.modifiers & KEYS_ALT)
		usage[n++] = KEY_LEFT_ALT;
	usage[n++] = s.usage;
	return n;
}
