/* SPDX-License-Identifier: MIT */
#include "dm/pc/i8259.h"

#define CASCADE 2u

#define ICW1 0x10u /* what tells it from OCW2 and OCW3 */
#define ICW1_IC4 0x01u
#define ICW1_SINGLE 0x02u
#define ICW4_AUTO_EOI 0x02u
#define ICW4_NESTED 0x10u
#define OCW3 0x08u
#define OCW3_READ_ISR 0x01u
#define OCW3_READ 0x02u
#define OCW3_POLL 0x04u
#define OCW3_SMM 0x20u
#define OCW3_ESMM 0x40u
#define POLL_ASKS 0x80u

/* Timer, keyboard and cascade; RTC and coprocessor: edge triggered for good. */
static const uint8_t elcr_mask[2] = { 0xf8, 0xde };

/* ---- one chip ---- */

static uint8_t requests(const struct i8259_chip *c)
{
	return (uint8_t)((c->edges & ~c->level) | (c->lines & c->level));
}

/* How far behind the highest priority: 0-7. */
static unsigned rank(const struct i8259_chip *c, unsigned input)
{
	return (input - c->lowest - 1) & 7;
}

/* The input of the map with the highest priority, or -1. */
static int first(const struct i8259_chip *c, uint8_t map)
{
	for (unsigned i = 1; i <= 8; i++) {
		unsigned input = (c->lowest + i) & 7;

		if (map & 1u << input)
			return (int)input;
	}
	return -1;
}

/* What in service keeps others back, which masked inputs do not in special mask mode. */
static uint8_t blocking(const struct i8259_chip *c)
{
	return c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr;
}

/* The input that INT is for, or -1. */
static int winner(const struct i8259 *p, const struct i8259_chip *c)
{
	int asks = first(c, requests(c) & (uint8_t)~c->imr), busy = first(c, blocking(c));

	if (c->step || asks < 0 || busy < 0)
		return c->step ? -1 : asks;
	if (rank(c, (unsigned)asks) < rank(c, (unsigned)busy))
		return asks;
	/* Special fully nested: the slave knows itself which of its own come first. */
	return c == &p->chip[0] && c->nested && asks == busy && asks == CASCADE ? asks : -1;
}

static void drive(struct i8259_chip *c, unsigned input, bool level)
{
	const uint8_t bit = (uint8_t)(1u << input);

	if (level && !(c->lines & bit))
		c->edges |= bit;
	if (!level)
		c->edges &= (uint8_t)~bit;
	c->lines = (uint8_t)(level ? c->lines | bit : c->lines & ~bit);
}

/* From request to service. */
static void acknowledge(struct i8259_chip *c, unsigned input)
{
	c->edges &= (uint8_t)~(1u << input);
	if (!c->auto_eoi)
		c->isr |= (uint8_t)(1u << input);
	else if (c->rotate_auto)
		c->lowest = (uint8_t)input;
}

/* ---- the pair ---- */

static void set_output(struct i8259 *p, bool level)
{
	if (p->out == level)
		return;
	__atomic_store_n(&p->out, level, __ATOMIC_SEQ_CST);
	p->output(p->opaque, level);
}

static void update(struct i8259 *p)
{
	drive(&p->chip[0], CASCADE, winner(p, &p->chip[1]) >= 0);
	set_output(p, winner(p, &p->chip[0]) >= 0);
}

/* INT falls with every acknowledgement, so that whoever looks for edges sees the next request. */
static void fall(struct i8259 *p, const struct i8259_chip *c)
{
	if (c == &p->chip[1])
		drive(&p->chip[0], CASCADE, false);
	else
		set_output(p, false);
}

static int ack_chip(struct i8259 *p, struct i8259_chip *c)
{
	int input = winner(p, c);

	if (input >= 0)
		acknowledge(c, (unsigned)input);
	fall(p, c);
	return input;
}

/* Both cycles: the vector. */
static int acknowledged(struct i8259 *p)
{
	struct i8259_chip *c = &p->chip[0];
	int input = ack_chip(p, c);

	if (input == CASCADE) {
		c = &p->chip[1];
		input = ack_chip(p, c);
	}
	update(p);
	return c->base + (input < 0 ? 7 : input);
}

int i8259_ack(struct i8259 *p, bool only_if_asked)
{
	int vector = -1;

	pthread_mutex_lock(&p->lock);
	if (p->out || !only_if_asked)
		vector = acknowledged(p);
	pthread_mutex_unlock(&p->lock);
	return vector;
}

bool i8259_output(const struct i8259 *p)
{
	return __atomic_load_n(&p->out, __ATOMIC_SEQ_CST);
}

int i8259_asks(struct i8259 *p, uint32_t line)
{
	const struct i8259_chip *c = &p->chip[line >> 3 & 1];
	const uint8_t bit = (uint8_t)(1u << (line & 7));
	int asks;

	pthread_mutex_lock(&p->lock);
	asks = c->imr & bit || c->step ? -1 : (requests(c) & bit) != 0;
	pthread_mutex_unlock(&p->lock);
	return asks;
}

void i8259_set(struct i8259 *p, uint32_t line, uint32_t level)
{
	if (line >= 16 || line == CASCADE)
		return;
	pthread_mutex_lock(&p->lock);
	drive(&p->chip[line / 8], line & 7, level != 0);
	update(p);
	pthread_mutex_unlock(&p->lock);
}

/* ---- commands ---- */

/* ICW1: the edge detectors, the mask and the modes are cleared; ELCR is not the 8259A's. */
static void initialize(struct i8259_chip *c, uint8_t icw1)
{
	*c = (struct i8259_chip){
		.lines = c->lines, .level = c->level, .base = c->base, .lowest = 7, .icw1 = icw1, .step = 2
	};
}

static void end_of_interrupt(struct i8259_chip *c, int input, bool rotate)
{
	if (input < 0)
		return;
	c->isr &= (uint8_t)~(1u << input);
	if (rotate)
		c->lowest = (uint8_t)input;
}

/* Rotate, Select level, EOI in the upper three bits, a level in the lower three. */
static void ocw2(struct i8259_chip *c, uint8_t value)
{
	const uint8_t input = value & 7;

	switch (value >> 5) {
	case 0:
		c->rotate_auto = false;
		break;
	case 1: /* not those that special mask mode has set aside */
		end_of_interrupt(c, first(c, blocking(c)), false);
		break;
	case 3:
		end_of_interrupt(c, input, false);
		break;
	case 4:
		c->rotate_auto = true;
		break;
	case 5:
		end_of_interrupt(c, first(c, blocking(c)), true);
		break;
	case 6:
		c->lowest = input;
		break;
	case 7:
		end_of_interrupt(c, input, true);
		break;
	default:
		break;
	}
}

static void ocw3(struct i8259_chip *c, uint8_t value)
{
	c->poll = value & OCW3_POLL;
	if (value & OCW3_READ)
		c->read_isr = value & OCW3_READ_ISR;
	if (value & OCW3_ESMM)
		c->special_mask = value & OCW3_SMM;
}

static void write_command(struct i8259_chip *c, uint8_t value)
{
	if (value & ICW1)
		initialize(c, value);
	else if (value & OCW3)
		ocw3(c, value);
	else
		ocw2(c, value);
}

static void write_data(struct i8259_chip *c, uint8_t value)
{
	const uint8_t last = c->icw1 & ICW1_IC4 ? 4 : 0;

	switch (c->step) {
	case 2:
		c->base = value & 0xf8;
		c->step = c->icw1 & ICW1_SINGLE ? last : 3;
		break;
	case 3: /* the wiring is as it is */
		c->step = last;
		break;
	case 4:
		c->auto_eoi = value & ICW4_AUTO_EOI;
		c->nested = value & ICW4_NESTED;
		c->step = 0;
		break;
	default:
		c->imr = value;
	}
}

/* The read after a poll command is an acknowledgement. */
static uint8_t poll(struct i8259 *p, struct i8259_chip *c)
{
	int input = ack_chip(p, c);

	c->poll = false;
	update(p);
	return input < 0 ? 0 : (uint8_t)(POLL_ASKS | input);
}

static uint8_t read_chip(struct i8259 *p, struct i8259_chip *c, uint32_t port)
{
	if (c->poll)
		return poll(p, c);
	if (port)
		return c->imr;
	return c->read_isr ? c->isr : requests(c);
}

/* ---- ports ---- */

/* A wider access is one of bytes in a row; those beyond the two ports are nobody's. */
static uint64_t read_ports(struct i8259 *p, unsigned chip, uint64_t offset, uint32_t width)
{
	uint64_t value = 0;

	if (p->look)
		p->look(p->opaque);
	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < width; i++) {
		uint64_t byte = offset + i < 2 ? read_chip(p, &p->chip[chip], (uint32_t)(offset + i)) : 0xff;

		value |= byte << i * 8;
	}
	pthread_mutex_unlock(&p->lock);
	return value;
}

static void write_ports(struct i8259 *p, unsigned chip, uint64_t offset, uint32_t width, uint64_t value)
{
	if (p->look)
		p->look(p->opaque);
	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < width && offset + i < 2; i++) {
		uint8_t byte = (uint8_t)(value >> i * 8);

		if (offset + i)
			write_data(&p->chip[chip], byte);
		else
			write_command(&p->chip[chip], byte);
	}
	update(p);
	pthread_mutex_unlock(&p->lock);
}

static uint64_t master_read(void *opaque, uint64_t offset, uint32_t width)
{
	return read_ports(opaque, 0, offset, width);
}

static void master_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	write_ports(opaque, 0, offset, width, value);
}

static uint64_t slave_read(void *opaque, uint64_t offset, uint32_t width)
{
	return read_ports(opaque, 1, offset, width);
}

static void slave_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	write_ports(opaque, 1, offset, width, value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct i8259 *p = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < width; i++)
		value |= (uint64_t)(offset + i < 2 ? p->chip[offset + i].level : 0xff) << i * 8;
	pthread_mutex_unlock(&p->lock);
	return value;
}

static void elcr_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct i8259 *p = opaque;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < width && offset + i < 2; i++)
		p->chip[offset + i].level = (uint8_t)(value >> i * 8) & elcr_mask[offset + i];
	update(p);
	pthread_mutex_unlock(&p->lock);
}

const struct gamut_io_ops i8259_master_ops = { sizeof(i8259_master_ops), master_read, master_write, NULL, NULL };
const struct gamut_io_ops i8259_slave_ops = { sizeof(i8259_slave_ops), slave_read, slave_write, NULL, NULL };
const struct gamut_io_ops i8259_elcr_ops = { sizeof(i8259_elcr_ops), elcr_read, elcr_write, NULL, NULL };

/* ---- life cycle ---- */

/* Masked, as nothing is known of the state before the first ICW1 and nobody wants interrupts from it. */
void i8259_reset(struct i8259 *p)
{
	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < 2; i++) {
		struct i8259_chip *c = &p->chip[i];

		*c = (struct i8259_chip){ .lines = c->lines, .imr = 0xff, .lowest = 7 };
	}
	update(p);
	pthread_mutex_unlock(&p->lock);
}

void i8259_init(struct i8259 *p, void (*output)(void *opaque, uint32_t level), void *opaque)
{
	*p = (struct i8259){ .output = output, .opaque = opaque };
	pthread_mutex_init(&p->lock, NULL);
	i8259_reset(p);
}

void i8259_finish(struct i8259 *p)
{
	pthread_mutex_destroy(&p->lock);
}
