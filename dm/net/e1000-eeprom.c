/* SPDX-License-Identifier: MIT */
/*
 * The 82540EM's EEPROM: 64 words of Microwire (93C46), read through EERD, or
 * bit by bit through EECD (5.3.1, 13.4.3). A bit is taken at SK's rising edge:
 * a start bit, two of opcode, six of address; reads go on to the words after.
 * Written words are kept until the domain ends, and loaded at the next reset.
 */
#include <string.h>

#include "dm/net/e1000-internal.h"

#define SUM_WORD 0x3fu
#define SUM      0xbabau

void e1000_eeprom_create(struct e1000 *d, const uint8_t mac[NETDEV_MAC])
{
	uint16_t *w = d->eeprom.word, sum = 0;

	memset(w, 0, sizeof(d->eeprom.word));
	for (uint32_t i = 0; i < 3; i++)
		w[i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
	w[0x04] = 0xffff; /* LEDs as by default */
	w[0x05] = 0xffff; /* image version: none */
	w[0x0a] = 0x4003; /* signature; subsystem and device numbers are here */
	w[0x0b] = 0x001e; /* subsystem: PRO/1000 MT Desktop */
	w[0x0c] = 0x8086;
	w[0x0d] = 0x100e;
	w[0x0e] = 0x8086;
	w[0x0f] = 0x3000; /* pause both ways; no wake-up */
	for (uint32_t i = 0; i < SUM_WORD; i++)
		sum = (uint16_t)(sum + w[i]);
	w[SUM_WORD] = (uint16_t)(SUM - sum);
}

void e1000_eeprom_load(struct e1000 *d)
{
	const uint16_t *w = d->eeprom.word;

	*e1000_reg(d, E1000_RAL) = w[0] | (uint32_t)w[1] << 16;
	*e1000_reg(d, E1000_RAH) = w[2] | RAH_AV;
}

uint32_t e1000_eerd(struct e1000 *d, uint32_t value)
{
	uint32_t address = value >> 8 & 0xff;

	if (!(value & EERD_START))
		return value & ~EERD_DONE;
	return (value & 0xff00) | EERD_DONE |
	       (uint32_t)(address < EEPROM_WORDS ? d->eeprom.word[address] : 0xffff) << 16;
}

/* ---- bit by bit ---- */

enum opcode { OP_EXTENDED = 0, OP_WRITE = 1, OP_READ = 2, OP_ERASE = 3 };

static void store(struct e1000_eeprom *e, uint16_t value, bool all)
{
	for (uint32_t i = 0; e->writable && i < EEPROM_WORDS; i++)
		if (all || i == e->address)
			e->word[i] = value;
}

/* Start bit, opcode and address are in. */
static void command(struct e1000_eeprom *e)
{
	uint32_t opcode = e->shift >> 6 & 3;

	e->address = e->shift & 0x3f;
	if (opcode == OP_READ) {
		e->reading = 1;
		e->out = e->word[e->address];
		e->data_out = 0; /* a zero comes before the first bit */
	} else if (opcode == OP_ERASE) {
		store(e, 0xffff, false);
	} else if (opcode == OP_EXTENDED) {
		uint32_t which = e->address >> 4;

		if (which == 0 || which == 3)
			e->writable = which == 3;
		else if (which == 2)
			store(e, 0xffff, true);
	}
}

static void bit_out(struct e1000_eeprom *e)
{
	e->data_out = e->out >> 15;
	e->out = (uint16_t)(e->out << 1);
	if ((e->n_bits - 8) % 16 == 0) {
		e->address = (e->address + 1) & 0x3f;
		e->out = e->word[e->address];
	}
}

static void rising_edge(struct e1000_eeprom *e, uint32_t in)
{
	if (!e->started) {
		e->started = in != 0;
		return;
	}
	if (e->n_bits < UINT32_MAX)
		e->n_bits++;
	if (e->reading) {
		bit_out(e);
		return;
	}
	e->shift = e->shift << 1 | in;
	if (e->n_bits == 8)
		command(e);
	/* WRITE, and WRAL, which is the extended opcode 01. */
	else if (e->n_bits == 24 && (e->shift >> 22 & 3) == OP_WRITE)
		store(e, (uint16_t)e->shift, false);
	else if (e->n_bits == 24 && (e->shift >> 20 & 15) == 1)
		store(e, (uint16_t)e->shift, true);
}

void e1000_eecd_write(struct e1000 *d, uint32_t value)
{
	struct e1000_eeprom *e = &d->eeprom;
	uint32_t rose = value & ~e->pins;

	if (!(value & EECD_CS) || rose & EECD_CS) {
		e->started = e->reading = 0;
		e->shift = e->n_bits = 0;
		e->data_out = 1; /* between commands DO says "ready" */
	}
	if (value & EECD_CS && rose & EECD_SK)
		rising_edge(e, value & EECD_DI ? 1 : 0);
	e->pins = value & EECD_HELD;
}

uint32_t e1000_eecd_read(struct e1000 *d)
{
	const struct e1000_eeprom *e = &d->eeprom;

	return e->pins | EECD_PRES | (e->pins & EECD_REQ ? EECD_GNT : 0) | (e->data_out ? EECD_DO : 0);
}
