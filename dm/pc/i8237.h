/* SPDX-License-Identifier: MIT */
/*
 * The two 8237A DMA controllers of an AT with their page registers, and the
 * POST code latch at port 0x80. Nothing is wired to the channels: no request
 * ever comes, so no transfer ever happens; all registers are there.
 */
#ifndef DM_PC_I8237_H
#define DM_PC_I8237_H

#include <pthread.h>

#include "dm/pc/isa.h"

#define I8237_LOW 0x00u   /* channels 0-3, bytes: 16 ports */
#define I8237_PAGE 0x80u  /* page registers: 16 ports */
#define I8237_HIGH 0xc0u  /* channels 4-7, words: 32 ports, two a register */

struct i8237_chip {
	uint16_t base_address[4], base_count[4], address[4], count[4];
	uint8_t mode[4];
	uint8_t command, request, mask, temporary;
	uint8_t status;    /* bits 0-3: terminal count, cleared by reading */
	uint8_t flip_flop; /* 1: the high byte is next */
	uint8_t mode_next; /* whose mode register is read next */
	struct i8237 *owner;
};

struct i8237 {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	pthread_mutex_t lock; /* over all below */
	struct i8237_chip chip[2];
	uint8_t page[16]; /* page[0] is the POST code */
	uint64_t *posts;  /* counter: writes of POST codes */
};

/* low: opaque is &chip[0]; high: &chip[1]; page: the struct i8237. */
extern const struct gamut_io_ops i8237_low_ops, i8237_high_ops, i8237_page_ops;

int i8237_init(struct i8237 *d, const struct gamut_host *host, struct gamut_inst *inst);
int i8237_register(struct i8237 *d);
void i8237_reset(struct i8237 *d);
void i8237_finish(struct i8237 *d);

#endif
