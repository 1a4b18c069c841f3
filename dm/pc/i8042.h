/* SPDX-License-Identifier: MIT */
/*
 * The keyboard controller of an IBM PS/2 (8042): ports 0x60 and 0x64, a
 * keyboard on interrupt 1 and a mouse on interrupt 12. Port 0x61 is not its.
 */
#ifndef DM_PC_I8042_H
#define DM_PC_I8042_H

#include <pthread.h>
#include <stdbool.h>

#include "dm/pc/isa.h"
#include "dm/pc/ps2.h"
#include "gamut/pc.h"

#define I8042_DATA 0x60u
#define I8042_COMMAND 0x64u

/* Pins of the output port. Called with the chip's lock held, on [vcpu]: must not call back. */
struct i8042_pins {
	/* Gate A20: 1 lets address bit 20 through. Also called by reset. May be NULL. */
	void (*a20)(void *opaque, uint32_t level);
	/* The processors' reset input is pulsed. */
	void (*reset)(void *opaque);
	void *opaque;
};

struct i8042 {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct i8042_pins pins;
	struct isa_line keyboard_line, mouse_line;
	pthread_mutex_t lock; /* over all below */

	uint8_t ram[32];      /* ram[0] is the command byte */
	uint8_t status;
	uint8_t output_port;
	uint8_t out;          /* the output buffer */
	uint8_t command;      /* whose argument is awaited at port 0x60; 0: none */
	int response;         /* the controller's own answer that waits for the buffer; -1: none */
	uint32_t response_aux; /* it looks like the mouse's */
	bool f0;              /* the translation's state */
	uint64_t next_at;     /* domain ns before which no device's byte has arrived */
	struct gamut_timer *timer;
	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;
	uint64_t *keys, *overruns; /* counters */
};

/* For port 0x60 and for port 0x64: ranges of one port each. */
extern const struct gamut_io_ops i8042_data_ops, i8042_command_ops;
/* What interface() returns for GAMUT_KEYBOARD; self is the struct i8042. */
extern const struct gamut_keyboard_ops i8042_keyboard_ops;

int i8042_init(struct i8042 *k, const struct gamut_host *host, struct gamut_inst *inst,
               const struct i8042_pins *pins);
int i8042_register(struct i8042 *k, const struct gamut_irq_lines_ops *lines, void *lines_self);
void i8042_reset(struct i8042 *k);
void i8042_finish(struct i8042 *k);

#endif
