/* SPDX-License-Identifier: MIT */
/*
 * Intel 8237A-5 (data sheet 231466) twice, and the page registers of the AT.
 *
 * A software request (request register) would make a channel run without a
 * device. In a PC such a transfer moves bytes between memory and a bus where
 * nobody listens; memory-to-memory does not work in an AT, whose second
 * controller is in the way and whose page registers hold one address. So a
 * request stays pending, as for a channel that is masked.
 */
#include "dm/pc/i8237.h"

#include <string.h>

enum { COMMAND = 8, REQUEST = 9, MASK_BIT = 10, MODE = 11, FLIP_FLOP = 12, CLEAR = 13, CLEAR_MASK = 14, MASK_ALL = 15 };

/* ---- one controller; all under the lock ---- */

static uint8_t flip(struct i8237_chip *c, uint16_t value)
{
	uint8_t byte = c->flip_flop ? (uint8_t)(value >> 8) : (uint8_t)value;

	c->flip_flop ^= 1;
	return byte;
}

/* Writes go to the base and to the current register. */
static void flip_in(struct i8237_chip *c, uint16_t *base, uint16_t *current, uint8_t value)
{
	*base = c->flip_flop ? (uint16_t)((*base & 0xff) | value << 8) : (uint16_t)((*base & 0xff00) | value);
	*current = *base;
	c->flip_flop ^= 1;
}

static uint8_t read_status(struct i8237_chip *c)
{
	uint8_t value = c->status | (uint8_t)(c->request << 4);

	c->status = 0;
	return value;
}

static uint8_t read_mode(struct i8237_chip *c)
{
	uint8_t channel = c->mode_next;

	c->mode_next = (channel + 1) & 3;
	return c->mode[channel] | 3;
}

static uint8_t chip_read(struct i8237_chip *c, uint32_t reg)
{
	switch (reg) {
	case 0 ... 7:
		return flip(c, reg & 1 ? c->count[reg / 2] : c->address[reg / 2]);
	case COMMAND:
		return read_status(c);
	case REQUEST:
		return c->request | 0xf0;
	case MASK_BIT: /* the command register, in the later chips that can be read back */
		return c->command;
	case MODE:
		return read_mode(c);
	case FLIP_FLOP: /* sets the flip-flop */
		c->flip_flop = 1;
		return 0xff;
	case CLEAR:
		return c->temporary;
	case CLEAR_MASK: /* the mode register's counter */
		c->mode_next = 0;
		return 0xff;
	default:
		return c->mask | 0xf0;
	}
}

static void master_clear(struct i8237_chip *c)
{
	c->command = c->request = c->status = c->temporary = c->flip_flop = c->mode_next = 0;
	c->mask = 0xf;
}

static uint8_t with_bit(uint8_t bits, uint8_t value)
{
	uint8_t bit = (uint8_t)(1u << (value & 3));

	return value & 4 ? bits | bit : bits & (uint8_t)~bit;
}

static void chip_write(struct i8237_chip *c, uint32_t reg, uint8_t value)
{
	switch (reg) {
	case 0 ... 7:
		if (reg & 1)
			flip_in(c, &c->base_count[reg / 2], &c->count[reg / 2], value);
		else
			flip_in(c, &c->base_address[reg / 2], &c->address[reg / 2], value);
		break;
	case COMMAND:
		c->command = value;
		break;
	case REQUEST:
		c->request = with_bit(c->request, value);
		break;
	case MASK_BIT:
		c->mask = with_bit(c->mask, value);
		break;
	case MODE:
		c->mode[value & 3] = value & 0xfc;
		break;
	case FLIP_FLOP:
		c->flip_flop = 0;
		break;
	case CLEAR:
		master_clear(c);
		break;
	case CLEAR_MASK:
		c->mask = 0;
		break;
	default:
		c->mask = value & 0xf;
		break;
	}
}

/* ---- ports ---- */

static uint8_t locked_read(struct i8237_chip *c, uint32_t reg)
{
	uint8_t value;

	pthread_mutex_lock(&c->owner->lock);
	value = chip_read(c, reg & 15);
	pthread_mutex_unlock(&c->owner->lock);
	return value;
}

static void locked_write(struct i8237_chip *c, uint32_t reg, uint8_t value)
{
	pthread_mutex_lock(&c->owner->lock);
	chip_write(c, reg & 15, value);
	pthread_mutex_unlock(&c->owner->lock);
}

static uint8_t low_byte_read(void *opaque, uint32_t offset)
{
	return locked_read(opaque, offset);
}

static void low_byte_write(void *opaque, uint32_t offset, uint8_t value)
{
	locked_write(opaque, offset, value);
}

/* Address line 0 is not connected: both ports of a pair are one register. */
static uint8_t high_byte_read(void *opaque, uint32_t offset)
{
	return locked_read(opaque, offset / 2);
}

static void high_byte_write(void *opaque, uint32_t offset, uint8_t value)
{
	locked_write(opaque, offset / 2, value);
}

static uint8_t page_byte_read(void *opaque, uint32_t offset)
{
	struct i8237 *d = opaque;

	return __atomic_load_n(&d->page[offset & 15], __ATOMIC_RELAXED);
}

static void page_byte_write(void *opaque, uint32_t offset, uint8_t value)
{
	struct i8237 *d = opaque;

	__atomic_store_n(&d->page[offset & 15], value, __ATOMIC_RELAXED);
	if (!(offset & 15))
		isa_count(d->posts, 1);
}

#define BYTE_OPS(name)                                                                                             \
	static uint64_t name##_read(void *opaque, uint64_t offset, uint32_t width)                                 \
	{                                                                                                          \
		return isa_read(name##_byte_read, opaque, offset, width);                                          \
	}                                                                                                          \
	static void name##_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)                    \
	{                                                                                                          \
		isa_write(name##_byte_write, opaque, offset, width, value);                                        \
	}                                                                                                          \
	const struct gamut_io_ops i8237_##name##_ops = {                                                           \
		.size = sizeof(struct gamut_io_ops), .read = name##_read, .write = name##_write                    \
	}

BYTE_OPS(low);
BYTE_OPS(high);
BYTE_OPS(page);

/* ---- life ---- */

int i8237_init(struct i8237 *d, const struct gamut_host *host, struct gamut_inst *inst)
{
	memset(d, 0, sizeof(*d));
	d->host = host;
	d->inst = inst;
	pthread_mutex_init(&d->lock, NULL);
	d->posts = host->counter(inst, "post-codes");
	d->chip[0].owner = d->chip[1].owner = d;
	i8237_reset(d);
	return 0;
}

int i8237_register(struct i8237 *d)
{
	const struct gamut_host *host = d->host;
	int rc = host->pio_register(d->inst, I8237_LOW, 16, &i8237_low_ops, &d->chip[0]);

	if (!rc)
		rc = host->pio_register(d->inst, I8237_HIGH, 32, &i8237_high_ops, &d->chip[1]);
	return rc ? rc : host->pio_register(d->inst, I8237_PAGE, 16, &i8237_page_ops, d);
}

void i8237_reset(struct i8237 *d)
{
	pthread_mutex_lock(&d->lock);
	for (int i = 0; i < 2; i++) {
		memset(&d->chip[i], 0, offsetof(struct i8237_chip, owner));
		master_clear(&d->chip[i]);
	}
	memset(d->page, 0, sizeof(d->page));
	pthread_mutex_unlock(&d->lock);
}

void i8237_finish(struct i8237 *d)
{
	if (!d->host)
		return;
	pthread_mutex_destroy(&d->lock);
	d->host = NULL;
}
