/* SPDX-License-Identifier: MIT */
/*
 * The two 8259A interrupt controllers of a PC, the second cascaded on input 2
 * of the first, with the edge/level registers of the PIIX (Intel 8259A data
 * sheet, order 231468; PIIX3 data sheet, "Interrupt Controller"). As in the
 * PIIX, the cascade is wired whatever ICW3 says, and whether an input is edge
 * or level triggered is in ELCR alone: LTIM of ICW1 does nothing.
 *
 * Edge triggered means what the data sheet says: the input must rise and stay
 * high until it is acknowledged. One that falls before has asked for nothing.
 *
 * The pair has one lock. `output` is called with it held, and may take the
 * locks of what comes after it (I/O APIC, then local APICs); nothing that
 * comes after it calls back in while it holds a lock of its own.
 */
#ifndef DM_PC_I8259_H
#define DM_PC_I8259_H

#include <pthread.h>
#include <stdbool.h>

#include "gamut/host.h"

#define I8259_MASTER_PORT 0x20u /* two ports */
#define I8259_SLAVE_PORT 0xa0u  /* two ports */
#define I8259_ELCR_PORT 0x4d0u  /* one port each */

struct i8259_chip {
	uint8_t lines;  /* the inputs */
	uint8_t edges;  /* those that rose and were not acknowledged since */
	uint8_t level;  /* ELCR: level triggered */
	uint8_t imr, isr;
	uint8_t base;   /* ICW2: the vector of input 0 */
	uint8_t lowest; /* the input with the lowest priority; the next is the highest */
	uint8_t step;   /* the ICW that is expected, 2 to 4; 0: initialized */
	uint8_t icw1;
	bool auto_eoi, rotate_auto, nested, special_mask, poll, read_isr;
};

struct i8259 {
	pthread_mutex_t lock;
	struct i8259_chip chip[2];
	bool out; /* INT of the master */
	void (*output)(void *opaque, uint32_t level);
	/* Called before software accesses the chips, with no lock held: inputs may be brought up to date. NULL: nobody minds. */
	void (*look)(void *opaque);
	void *opaque;
};

/* In power-on state, all inputs low. [control] */
void i8259_init(struct i8259 *p, void (*output)(void *opaque, uint32_t level), void *opaque);
void i8259_finish(struct i8259 *p);
/* Power-on state; the inputs are what they were. [control] */
void i8259_reset(struct i8259 *p);

/* The level of input 0-15; 2 is the cascade's, and ignored. [any] */
void i8259_set(struct i8259 *p, uint32_t line, uint32_t level);
/* INT, without taking the lock. [any] */
bool i8259_output(const struct i8259 *p);
/*
 * The processor's two INTA cycles: the vector. Without a request it is that of
 * input 7, of the slave if that asked and asks no more (the spurious IRQ7 and
 * IRQ15); unless only_if_asked, which gives -1 when INT is low. [any]
 */
int i8259_ack(struct i8259 *p, bool only_if_asked);
/* Whether the input asks and was not acknowledged (1) or not (0); -1: it is masked. [any] */
int i8259_asks(struct i8259 *p, uint32_t line);

/* The opaque of all three is the pair. */
extern const struct gamut_io_ops i8259_master_ops, i8259_slave_ops, i8259_elcr_ops;

#endif
