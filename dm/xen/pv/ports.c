/* SPDX-License-Identifier: MIT */
/*
 * Channel 2 of an 8254 with the gate and output bits of port 0x61: what kernels
 * measure their processor's frequency against. It counts domain time.
 *
 * Modes: 0 and 1 go down once, 2 and 3 for ever, 4 and 5 count as 0 and 1. The
 * output matters in mode 0 (and 1): it rises when the count ends. Binary
 * counting alone; BCD is taken for binary.
 */
#include "dm/xen/pv/ports.h"

#include <string.h>

#include "dm/xen/pv/monitor.h"

#define PIT_HZ 1193182ull
#define NS_PER_S 1000000000ull
#define REFRESH_SHIFT 14 /* port 0x61 bit 4 toggles about every 15 us */

enum { PORT_COUNT = 0x42, PORT_CONTROL = 0x43, PORT_GATE = 0x61, PORT_CMOS_INDEX = 0x70 };

void pv_pit_init(struct pv_pit *pit)
{
	memset(pit, 0, sizeof(*pit));
	pthread_mutex_init(&pit->lock, NULL);
	pv_pit_reset(pit);
}

void pv_pit_finish(struct pv_pit *pit)
{
	pthread_mutex_destroy(&pit->lock);
}

void pv_pit_reset(struct pv_pit *pit)
{
	pit->start = 0;
	pit->count = 0x10000;
	pit->latches = 0;
	pit->mode = 3;
	pit->access = 3;
	pit->status_latched = pit->write_high_next = pit->read_high_next = false;
	pit->loaded = pit->gate = pit->speaker = false;
	pit->cmos_index = 0;
}

/* ---- the counter --------------------------------------------------------------------------------- */

static uint64_t ticks(const struct pv_pit *pit, uint64_t now)
{
	uint64_t ns = now - pit->start;

	if (!pit->loaded)
		return 0;
	return ns / NS_PER_S * PIT_HZ + ns % NS_PER_S * PIT_HZ / NS_PER_S;
}

static bool periodic(const struct pv_pit *pit)
{
	return pit->mode == 2 || pit->mode == 3;
}

static uint16_t counter(const struct pv_pit *pit, uint64_t now)
{
	uint64_t t = ticks(pit, now);

	if (pit->mode == 3)
		return (uint16_t)(pit->count - (2 * t) % pit->count);
	if (periodic(pit))
		return (uint16_t)(pit->count - t % pit->count);
	return (uint16_t)(pit->count - t);
}

static bool output(const struct pv_pit *pit, uint64_t now)
{
	uint64_t t = ticks(pit, now);

	switch (pit->mode) {
	case 0:
	case 1:
		return pit->loaded && t >= pit->count;
	case 2:
		return t % pit->count != pit->count - 1;
	case 3:
		return t % pit->count < (pit->count + 1) / 2;
	default:
		return t != pit->count;
	}
}

/* ---- ports of one byte ------------------------------------------------------------------------------ */

static void latch(struct pv_pit *pit, uint64_t now)
{
	if (pit->latches)
		return;
	pit->latched = counter(pit, now);
	pit->latches = pit->access == 3 ? 2 : 1;
}

static void latch_status(struct pv_pit *pit, uint64_t now)
{
	if (pit->status_latched)
		return;
	pit->status = (uint8_t)(output(pit, now) << 7 | !pit->loaded << 6 | pit->access << 4 | pit->mode << 1);
	pit->status_latched = true;
}

static void write_control(struct pv_pit *pit, uint8_t value, uint64_t now)
{
	uint8_t channel = value >> 6, access = value >> 4 & 3, mode = value >> 1 & 7;

	if (channel == 3 && value & 8) { /* read-back; bit 3 is channel 2 */
		if (!(value & 0x20))
			latch(pit, now);
		if (!(value & 0x10))
			latch_status(pit, now);
	} else if (channel == 2 && !access) {
		latch(pit, now);
	} else if (channel == 2) {
		pit->access = access;
		pit->mode = mode > 5 ? mode - 4 : mode;
		pit->latches = 0;
		pit->status_latched = pit->write_high_next = pit->read_high_next = pit->loaded = false;
	}
}

static void load(struct pv_pit *pit, uint16_t value, uint64_t now)
{
	pit->count = value ? value : 0x10000;
	pit->start = now;
	pit->loaded = true;
}

static void write_count(struct pv_pit *pit, uint8_t value, uint64_t now)
{
	if (pit->access == 1) {
		load(pit, value, now);
	} else if (pit->access == 2) {
		load(pit, (uint16_t)(value << 8), now);
	} else if (!pit->write_high_next) {
		pit->write_low = value;
		pit->write_high_next = true;
	} else {
		pit->write_high_next = false;
		load(pit, (uint16_t)(value << 8 | pit->write_low), now);
	}
}

static uint8_t read_count(struct pv_pit *pit, uint64_t now)
{
	uint16_t value = pit->latches ? pit->latched : counter(pit, now);
	bool high = pit->access == 2;

	if (pit->status_latched) {
		pit->status_latched = false;
		return pit->status;
	}
	if (pit->access == 3) {
		high = pit->read_high_next;
		pit->read_high_next = !high;
	}
	if (pit->latches)
		pit->latches--;
	return (uint8_t)(high ? value >> 8 : value);
}

/* A rising gate starts modes 1 to 3 and 5 anew. */
static void write_gate(struct pv_pit *pit, uint8_t value, uint64_t now)
{
	bool gate = value & 1;

	if (gate && !pit->gate && pit->mode != 0 && pit->mode != 4)
		pit->start = now;
	pit->gate = gate;
	pit->speaker = value & 2;
}

static uint8_t read_gate(const struct pv_pit *pit, uint64_t now)
{
	return (uint8_t)(pit->gate | pit->speaker << 1 | (now >> REFRESH_SHIFT & 1) << 4 | output(pit, now) << 5);
}

static uint8_t read_byte(struct pv_pit *pit, uint32_t port, uint64_t now)
{
	switch (port) {
	case PORT_COUNT:
		return read_count(pit, now);
	case PORT_CONTROL:
		return 0;
	case PORT_GATE:
		return read_gate(pit, now);
	case PORT_CMOS_INDEX:
		return pit->cmos_index;
	default:
		return 0xff;
	}
}

static void write_byte(struct pv_pit *pit, uint32_t port, uint8_t value, uint64_t now)
{
	switch (port) {
	case PORT_COUNT:
		write_count(pit, value, now);
		return;
	case PORT_CONTROL:
		write_control(pit, value, now);
		return;
	case PORT_GATE:
		write_gate(pit, value, now);
		return;
	case PORT_CMOS_INDEX:
		pit->cmos_index = value;
		return;
	default:
		return;
	}
}

/* ---- accesses ------------------------------------------------------------------------------------------ */

uint32_t pv_port_read(struct pv_domain *d, uint32_t port, uint32_t bytes)
{
	uint32_t value = 0;
	uint64_t now;

	pthread_mutex_lock(&d->pit.lock);
	now = d->env.host->time_now(d->env.inst);
	for (uint32_t i = 0; i < bytes; i++)
		value |= (uint32_t)read_byte(&d->pit, port + i, now) << 8 * i;
	pthread_mutex_unlock(&d->pit.lock);
	return value;
}

void pv_port_write(struct pv_domain *d, uint32_t port, uint32_t bytes, uint32_t value)
{
	uint64_t now;

	pthread_mutex_lock(&d->pit.lock);
	now = d->env.host->time_now(d->env.inst);
	for (uint32_t i = 0; i < bytes; i++)
		write_byte(&d->pit, port + i, (uint8_t)(value >> 8 * i), now);
	pthread_mutex_unlock(&d->pit.lock);
}
