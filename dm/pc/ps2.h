/* SPDX-License-Identifier: MIT */
/*
 * The two devices behind a PS/2 keyboard controller: a keyboard with 101 to
 * 105 keys and a mouse of three buttons that nobody moves. Bytes come in by
 * ps2_X_write and wait in the device's queue until the controller clocks them
 * out. No locks: the controller has one.
 */
#ifndef DM_PC_PS2_H
#define DM_PC_PS2_H

#include <stdbool.h>
#include <stdint.h>

#define PS2_QUEUE 32u /* bytes; a keyboard has at least 16, and Pause takes 8 */

struct ps2_queue {
	uint8_t data[PS2_QUEUE];
	uint32_t head, count;
};

/* A device's way out: answers to commands go before what waited already. */
struct ps2_out {
	struct ps2_queue answers, events;
	uint8_t last; /* sent last, for Resend */
};

bool ps2_out_pending(const struct ps2_out *o);
/* The next byte to the host, taken. Only when one is pending. */
uint8_t ps2_out_take(struct ps2_out *o);

struct ps2_keyboard {
	struct ps2_out out;
	uint8_t command;     /* whose argument is awaited; 0: none */
	uint8_t set;         /* scan code set 1-3 */
	uint8_t leds, rate;  /* rate: as set by F3: the delay too. No key repeats by itself here. */
	bool scanning;       /* Enable; not: Default Disable */
	uint8_t modifiers;   /* usages e0-e7 that are down, for keys whose codes depend on them */
	uint8_t no_break[32]; /* set 3: bit of a key's code: it sends no break code */
};

void ps2_keyboard_reset(struct ps2_keyboard *k);
/* A byte from the host; answers go to the queue. */
void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte);
/* A key by its HID usage. 0; -EAGAIN: no room for all of its bytes; -EINVAL: no such key. */
int ps2_keyboard_key(struct ps2_keyboard *k, uint32_t usage, bool down);
/* A byte of set 2 as the controller's translation has it in set 1; *f0 is its state. -1: no byte comes of it. */
int ps2_translate(bool *f0, uint8_t byte);

struct ps2_mouse {
	struct ps2_out out;
	uint8_t command;
	uint8_t rate, resolution;
	bool remote, wrap, streaming, scaling;
};

void ps2_mouse_reset(struct ps2_mouse *m);
void ps2_mouse_write(struct ps2_mouse *m, uint8_t byte);

#endif
