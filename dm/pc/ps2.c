/* SPDX-License-Identifier: MIT */
/*
 * PS/2 keyboard and mouse, after IBM's Personal System/2 Hardware Interface
 * Technical Reference, "Keyboards" and "Mouse": commands and their answers,
 * scan code sets, and which keys send what. Scan codes of the keys that IBM's
 * keyboards do not have (F13-F24, Japanese and Korean ones) are those of
 * Microsoft's Keyboard Scan Code Specification.
 */
#include "dm/pc/ps2.h"

#include <errno.h>
#include <string.h>

enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa, ECHO = 0xee };

/* ---- queues ---- */

static void put(struct ps2_queue *q, uint8_t byte)
{
	if (q->count < PS2_QUEUE)
		q->data[(q->head + q->count++) % PS2_QUEUE] = byte;
}

static uint8_t take(struct ps2_queue *q)
{
	uint8_t byte = q->data[q->head];

	q->head = (q->head + 1) % PS2_QUEUE;
	q->count--;
	return byte;
}

bool ps2_out_pending(const struct ps2_out *o)
{
	return o->answers.count || o->events.count;
}

uint8_t ps2_out_take(struct ps2_out *o)
{
	o->last = take(o->answers.count ? &o->answers : &o->events);
	return o->last;
}

/* A command makes what was still to be answered void. */
static void answer(struct ps2_out *o, const uint8_t *bytes, uint32_t n)
{
	o->answers.count = 0;
	for (uint32_t i = 0; i < n; i++)
		put(&o->answers, bytes[i]);
}

#define ANSWER(o, ...)                                                                                              \
	answer(o, (const uint8_t[]){ __VA_ARGS__ }, (uint32_t)sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* ---- scan codes ---- */

#define E0 0x100u /* behind the prefix E0 */

/* Set 2, by HID usage; 0: no such key. Print Screen and Pause are made below. */
static const uint16_t set2[0x98] = {
	[0x04] = 0x1c, 0x32, 0x21, 0x23, 0x24, 0x2b, 0x34, 0x33, 0x43, 0x3b, 0x42, 0x4b, 0x3a, /* a-m */
	0x31, 0x44, 0x4d, 0x15, 0x2d, 0x1b, 0x2c, 0x3c, 0x2a, 0x1d, 0x22, 0x35, 0x1a,          /* n-z */
	0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45,                            /* 1-9, 0 */
	0x5a, 0x76, 0x66, 0x0d, 0x29, 0x4e, 0x55, 0x54, 0x5b, 0x5d, 0x5d, 0x4c, 0x52, 0x0e,    /* Enter .. ` */
	0x41, 0x49, 0x4a, 0x58,                                                                /* , . / Caps Lock */
	0x05, 0x06, 0x04, 0x0c, 0x03, 0x0b, 0x83, 0x0a, 0x01, 0x09, 0x78, 0x07,                /* F1-F12 */
	E0 | 0x7c, 0x7e, E0 | 0x7e,                                         /* Print Screen, Scroll Lock, Pause */
	E0 | 0x70, E0 | 0x6c, E0 | 0x7d, E0 | 0x71, E0 | 0x69, E0 | 0x7a,   /* Insert .. Page Down */
	E0 | 0x74, E0 | 0x6b, E0 | 0x72, E0 | 0x75,                         /* right, left, down, up */
	0x77, E0 | 0x4a, 0x7c, 0x7b, 0x79, E0 | 0x5a,                       /* Num Lock, pad: / * - + Enter */
	0x69, 0x72, 0x7a, 0x6b, 0x73, 0x74, 0x6c, 0x75, 0x7d, 0x70, 0x71,   /* pad: 1-9, 0, . */
	0x61, E0 | 0x2f, E0 | 0x37, 0x0f,                                   /* ISO's 102nd, Menu, Power, pad = */
	0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x5f, /* F13-F24 */
	[0x85] = 0x6d, [0x87] = 0x51, 0x13, 0x6a, 0x64, 0x67,               /* pad comma, international 1-5 */
};

static const uint16_t set2_modifiers[8] = { 0x14, 0x12, 0x11, E0 | 0x1f, E0 | 0x14, 0x59, E0 | 0x11, E0 | 0x27 };

/* Set 3; where it is 0 there is no such key in the set. */
static const uint8_t set3[0x66] = {
	[0x04] = 0x1c, 0x32, 0x21, 0x23, 0x24, 0x2b, 0x34, 0x33, 0x43, 0x3b, 0x42, 0x4b, 0x3a,
	0x31, 0x44, 0x4d, 0x15, 0x2d, 0x1b, 0x2c, 0x3c, 0x2a, 0x1d, 0x22, 0x35, 0x1a,
	0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45,
	0x5a, 0x08, 0x66, 0x0d, 0x29, 0x4e, 0x55, 0x54, 0x5b, 0x5c, 0x53, 0x4c, 0x52, 0x0e,
	0x41, 0x49, 0x4a, 0x14,
	0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x56, 0x5e,
	0x57, 0x5f, 0x62,
	0x67, 0x6e, 0x6f, 0x64, 0x65, 0x6d,
	0x6a, 0x61, 0x60, 0x63,
	0x76, 0x77, 0x7e, 0x84, 0x7c, 0x79,
	0x69, 0x72, 0x7a, 0x6b, 0x73, 0x74, 0x6c, 0x75, 0x7d, 0x70, 0x71,
	0x13, 0x8d,
};

static const uint8_t set3_modifiers[8] = { 0x11, 0x12, 0x19, 0x8b, 0x58, 0x59, 0x39, 0x8c };

/*
 * Keys of set 3 that send no break code by default: those that repeat (the
 * letters, figures, marks, Space, Tab, Enter, Backspace, Delete, arrows, pad +)
 * and those that are make only (functions, pad, editing, the right Ctrl and
 * Alt). So these are the ones that do: Caps Lock, both Shifts, the left Ctrl
 * and Alt, the logo keys and Menu.
 */
static const uint8_t set3_breaks[] = { 0x14, 0x12, 0x59, 0x11, 0x19, 0x8b, 0x8c, 0x8d };

/* The 8042's table from set 2 to set 1. */
static const uint8_t translation[0x85] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
	0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
	0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
	0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
	0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
	0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
	0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
	0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
	0x80, 0x81, 0x82, 0x41, 0x54,
};

int ps2_translate(bool *f0, uint8_t byte)
{
	uint8_t release = *f0 ? 0x80 : 0;

	if (byte == 0xf0) {
		*f0 = true;
		return -1;
	}
	*f0 = false;
	return (byte < sizeof(translation) ? translation[byte] : byte) | release;
}

/* ---- keys ---- */

/* What one key sends. */
struct codes {
	uint8_t byte[8];
	uint32_t n;
};

static void add(struct codes *c, uint16_t code, bool down)
{
	if (code & E0)
		c->byte[c->n++] = 0xe0;
	if (!down)
		c->byte[c->n++] = 0xf0;
	c->byte[c->n++] = (uint8_t)code;
}

enum { CTRL = 0x11, SHIFT = 0x22, ALT = 0x44 };

/* With Alt it is System Request; alone it pretends that a Shift is down. */
static void print_screen(const struct ps2_keyboard *k, struct codes *c, bool down)
{
	if (k->modifiers & ALT) {
		add(c, 0x84, down);
		return;
	}
	if (k->modifiers & (CTRL | SHIFT)) {
		add(c, E0 | 0x7c, down);
		return;
	}
	if (down)
		add(c, E0 | 0x12, true);
	add(c, E0 | 0x7c, down);
	if (!down)
		add(c, E0 | 0x12, false);
}

/* It is released as soon as it is pressed; with Ctrl it is Break. */
static void pause_key(const struct ps2_keyboard *k, struct codes *c, bool down)
{
	static const uint8_t plain[8] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };

	if (!down)
		return;
	if (k->modifiers & CTRL) {
		add(c, E0 | 0x7e, true);
		add(c, E0 | 0x7e, false);
		return;
	}
	memcpy(c->byte, plain, sizeof(plain));
	c->n = sizeof(plain);
}

static bool codes_set2(const struct ps2_keyboard *k, uint32_t usage, bool down, struct codes *c)
{
	uint16_t code = usage >= 0xe0 ? set2_modifiers[usage & 7] : usage < 0x98 ? set2[usage] : 0;

	/* Two keys of Korean keyboards that are never released. */
	if (usage == 0x90 || usage == 0x91) {
		if (down)
			c->byte[c->n++] = usage == 0x90 ? 0xf2 : 0xf1;
		return true;
	}
	if (!code)
		return false;
	if (usage == 0x46)
		print_screen(k, c, down);
	else if (usage == 0x48)
		pause_key(k, c, down);
	else
		add(c, code, down);
	return true;
}

static bool codes_set3(const struct ps2_keyboard *k, uint32_t usage, bool down, struct codes *c)
{
	uint8_t code = usage >= 0xe0 ? set3_modifiers[usage & 7] : usage < sizeof(set3) ? set3[usage] : 0;

	if (code && (down || !(k->no_break[code / 8] & 1u << code % 8)))
		add(c, code, down);
	return code;
}

/* Set 1 is set 2 with the translation done in the keyboard. */
static void to_set1(struct codes *c)
{
	uint32_t n = 0;
	bool f0 = false;

	for (uint32_t i = 0; i < c->n; i++) {
		int byte = ps2_translate(&f0, c->byte[i]);

		if (byte >= 0)
			c->byte[n++] = (uint8_t)byte;
	}
	c->n = n;
}

static bool key_codes(const struct ps2_keyboard *k, uint32_t usage, bool down, struct codes *c)
{
	if (k->set == 3)
		return codes_set3(k, usage, down, c);
	if (!codes_set2(k, usage, down, c))
		return false;
	if (k->set == 1)
		to_set1(c);
	return true;
}

int ps2_keyboard_key(struct ps2_keyboard *k, uint32_t usage, bool down)
{
	struct codes c = { .n = 0 };

	if (usage > 0xe7 || (usage < 0xe0 && usage >= 0x98) || !key_codes(k, usage, down, &c))
		return -EINVAL;
	if (k->scanning && c.n > PS2_QUEUE - k->out.events.count)
		return -EAGAIN;
	if (usage >= 0xe0)
		k->modifiers = (uint8_t)(down ? k->modifiers | 1u << (usage & 7) : k->modifiers & ~(1u << (usage & 7)));
	for (uint32_t i = 0; i < c.n && k->scanning; i++)
		put(&k->out.events, c.byte[i]);
	return 0;
}

/* ---- keyboard commands ---- */

enum {
	SET_LEDS = 0xed,
	SCAN_CODE_SET = 0xf0,
	IDENTIFY = 0xf2,
	SET_RATE = 0xf3,
	ENABLE = 0xf4,
	DEFAULT_DISABLE = 0xf5,
	SET_DEFAULT = 0xf6,
	ALL_TYPEMATIC = 0xf7,
	ALL_MAKE_BREAK = 0xf8,
	ALL_MAKE = 0xf9,
	ALL_TYPEMATIC_MAKE_BREAK = 0xfa,
	KEY_TYPEMATIC = 0xfb,
	KEY_MAKE_BREAK = 0xfc,
	KEY_MAKE = 0xfd,
	RESET = 0xff,
};

static void key_types_default(struct ps2_keyboard *k)
{
	memset(k->no_break, 0xff, sizeof(k->no_break));
	for (uint32_t i = 0; i < sizeof(set3_breaks); i++)
		k->no_break[set3_breaks[i] / 8] &= (uint8_t)~(1u << set3_breaks[i] % 8);
}

/* What F5, F6 and FF have in common. LEDs stay but for a reset. */
static void defaults(struct ps2_keyboard *k)
{
	k->set = 2;
	k->rate = 0x2b; /* 500 ms, 10.9 a second */
	k->command = 0;
	k->out.events.count = 0;
	key_types_default(k);
}

/* As after its self test; the result is sent when power comes. */
static void power_on(struct ps2_keyboard *k)
{
	defaults(k);
	k->leds = 0;
	k->scanning = true;
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
	memset(k, 0, sizeof(*k));
	power_on(k);
	ANSWER(&k->out, SELF_TEST_OK);
}

static void keyboard_argument(struct ps2_keyboard *k, uint8_t byte)
{
	uint8_t command = k->command;

	k->command = 0;
	switch (command) {
	case SET_LEDS:
		k->leds = byte & 7;
		break;
	case SET_RATE:
		k->rate = byte & 0x7f;
		break;
	case SCAN_CODE_SET:
		if (byte > 3) {
			ANSWER(&k->out, RESEND);
			return;
		}
		if (!byte) {
			ANSWER(&k->out, ACK, k->set);
			return;
		}
		k->set = byte;
		k->out.events.count = 0;
		break;
	default: /* a list of set 3's keys, until the next command */
		k->command = command;
		if (command == KEY_MAKE_BREAK)
			k->no_break[byte / 8] &= (uint8_t)~(1u << byte % 8);
		else
			k->no_break[byte / 8] |= (uint8_t)(1u << byte % 8);
		break;
	}
	ANSWER(&k->out, ACK);
}

static void keyboard_command(struct ps2_keyboard *k, uint8_t byte)
{
	k->command = 0;
	switch (byte) {
	case ECHO:
		ANSWER(&k->out, ECHO);
		return;
	case RESEND:
		ANSWER(&k->out, k->out.last);
		return;
	case IDENTIFY:
		ANSWER(&k->out, ACK, 0xab, 0x83);
		return;
	case RESET:
		power_on(k);
		ANSWER(&k->out, ACK, SELF_TEST_OK);
		return;
	case SET_LEDS:
	case SCAN_CODE_SET:
	case SET_RATE:
	case KEY_TYPEMATIC:
	case KEY_MAKE_BREAK:
	case KEY_MAKE:
		k->command = byte;
		break;
	case ENABLE:
		k->out.events.count = 0;
		k->scanning = true;
		break;
	case DEFAULT_DISABLE:
	case SET_DEFAULT:
		defaults(k);
		k->scanning = byte == SET_DEFAULT;
		break;
	case ALL_TYPEMATIC:
	case ALL_MAKE:
		memset(k->no_break, 0xff, sizeof(k->no_break));
		break;
	case ALL_MAKE_BREAK:
	case ALL_TYPEMATIC_MAKE_BREAK:
		memset(k->no_break, 0, sizeof(k->no_break));
		break;
	default:
		ANSWER(&k->out, RESEND);
		return;
	}
	ANSWER(&k->out, ACK);
}

/* In place of an argument a command is one; no argument is as high as the first of them. */
void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte)
{
	if (k->command && byte < SET_LEDS)
		keyboard_argument(k, byte);
	else
		keyboard_command(k, byte);
}

/* ---- mouse ---- */

enum {
	MOUSE_SCALING_1 = 0xe6,
	MOUSE_SCALING_2 = 0xe7,
	MOUSE_RESOLUTION = 0xe8,
	MOUSE_STATUS = 0xe9,
	MOUSE_STREAM = 0xea,
	MOUSE_READ = 0xeb,
	MOUSE_NO_WRAP = 0xec,
	MOUSE_WRAP = 0xee,
	MOUSE_REMOTE = 0xf0,
	MOUSE_IDENTIFY = 0xf2,
	MOUSE_RATE = 0xf3,
	MOUSE_ENABLE = 0xf4,
	MOUSE_DISABLE = 0xf5,
	MOUSE_DEFAULT = 0xf6,
};

static void mouse_defaults(struct ps2_mouse *m)
{
	m->command = 0;
	m->rate = 100;
	m->resolution = 2;
	m->remote = m->wrap = m->streaming = m->scaling = false;
	m->out.events.count = 0;
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
	memset(m, 0, sizeof(*m));
	mouse_defaults(m);
	ANSWER(&m->out, SELF_TEST_OK, 0);
}

/* A second error in a row would be FC on some; one error answer is enough for any driver. */
static void mouse_argument(struct ps2_mouse *m, uint8_t byte)
{
	uint8_t command = m->command;
	bool ok = command == MOUSE_RESOLUTION ? byte <= 3 : byte >= 10 && byte <= 200;

	m->command = 0;
	if (!ok) {
		ANSWER(&m->out, RESEND);
		return;
	}
	if (command == MOUSE_RESOLUTION)
		m->resolution = byte;
	else
		m->rate = byte;
	ANSWER(&m->out, ACK);
}

static void mouse_command(struct ps2_mouse *m, uint8_t byte)
{
	uint8_t status = (uint8_t)(m->remote << 6 | m->streaming << 5 | m->scaling << 4);

	switch (byte) {
	case MOUSE_SCALING_1:
	case MOUSE_SCALING_2:
		m->scaling = byte == MOUSE_SCALING_2;
		break;
	case MOUSE_RESOLUTION:
	case MOUSE_RATE:
		m->command = byte;
		break;
	case MOUSE_STATUS:
		ANSWER(&m->out, ACK, status, m->resolution, m->rate);
		return;
	case MOUSE_STREAM:
	case MOUSE_REMOTE:
		m->remote = byte == MOUSE_REMOTE;
		break;
	case MOUSE_READ: /* no button, no movement; bit 3 is always 1 */
		ANSWER(&m->out, ACK, 8, 0, 0);
		return;
	case MOUSE_WRAP:
	case MOUSE_NO_WRAP:
		m->wrap = byte == MOUSE_WRAP;
		break;
	case MOUSE_IDENTIFY:
		ANSWER(&m->out, ACK, 0);
		return;
	case MOUSE_ENABLE:
	case MOUSE_DISABLE:
		m->streaming = byte == MOUSE_ENABLE;
		break;
	case MOUSE_DEFAULT:
		mouse_defaults(m);
		break;
	case RESEND:
		ANSWER(&m->out, m->out.last);
		return;
	case RESET:
		mouse_defaults(m);
		ANSWER(&m->out, ACK, SELF_TEST_OK, 0);
		return;
	default:
		ANSWER(&m->out, RESEND);
		return;
	}
	ANSWER(&m->out, ACK);
}

void ps2_mouse_write(struct ps2_mouse *m, uint8_t byte)
{
	if (m->wrap && byte != RESET && byte != MOUSE_NO_WRAP)
		ANSWER(&m->out, byte);
	else if (m->command)
		mouse_argument(m, byte);
	else
		mouse_command(m, byte);
}
