/* SPDX-License-Identifier: MIT */
/*
 * What a terminal sends when keys are pressed, as keys of a US keyboard (HID
 * usages): characters, control characters, the escape sequences of xterm, VT220,
 * rxvt and the Linux console, and ESC before a key for Alt.
 */
#ifndef DM_TERM_KEYS_H
#define DM_TERM_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum { KEYS_SHIFT = 1, KEYS_ALT = 2, KEYS_CTRL = 4 };

struct keys_stroke {
	uint8_t usage;     /* 0: none */
	uint8_t modifiers; /* KEYS_* */
};

struct keys {
	uint8_t state;
	uint8_t skip;     /* bytes of a UTF-8 character to come */
	uint8_t n_args;
	uint16_t args[2]; /* of a control sequence */
	bool alt;         /* an ESC came before */
};

/* One byte; returns the key that is complete with it, usage 0 when none is. */
struct keys_stroke keys_feed(struct keys *k, uint8_t byte);
/* Whether bytes of a sequence are awaited: after a while without any call keys_idle. */
bool keys_waiting(const struct keys *k);
/* Nothing more came: an ESC was the Esc key. */
struct keys_stroke keys_idle(struct keys *k);

/* The keys to press in order, then release in reverse order; returns how many (at most 4). */
uint32_t keys_of(struct keys_stroke stroke, uint8_t usage[4]);

#endif
