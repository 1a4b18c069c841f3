/* SPDX-License-Identifier: MIT */
/* Interrupt lines that remember, and ports as the guest sees them, for tests of the chips in dm/pc. */
#ifndef ISA_RIG_H
#define ISA_RIG_H

#include <string.h>

#include "fake/host-fake.h"
#include "gamut/irq.h"

struct isa_rig_lines {
	uint32_t level[GAMUT_IRQ_COUNT], edges[GAMUT_IRQ_COUNT]; /* edges: rising */
};

static inline void isa_rig_set(void *self, uint32_t line, uint32_t level)
{
	struct isa_rig_lines *l = self;

	if (line >= GAMUT_IRQ_COUNT)
		return;
	if (level && !l->level[line])
		l->edges[line]++;
	l->level[line] = level;
}

static const struct gamut_irq_lines_ops isa_rig_lines_ops = {
	.size = sizeof(struct gamut_irq_lines_ops),
	.set = isa_rig_set,
};

static inline const struct host_fake_range *isa_rig_port(const struct host_fake *f, uint16_t port)
{
	for (uint32_t i = 0; i < f->n_pio; i++)
		if (port - f->pio[i].base < f->pio[i].len)
			return &f->pio[i];
	return NULL;
}

/* All ones where nobody is. */
static inline uint64_t isa_rig_in(const struct host_fake *f, uint16_t port, uint32_t width)
{
	const struct host_fake_range *r = isa_rig_port(f, port);

	return r ? ((const struct gamut_io_ops *)r->ops)->read(r->opaque, port - r->base, width) : UINT64_MAX;
}

static inline void isa_rig_out(const struct host_fake *f, uint16_t port, uint32_t width, uint64_t value)
{
	const struct host_fake_range *r = isa_rig_port(f, port);

	if (r)
		((const struct gamut_io_ops *)r->ops)->write(r->opaque, port - r->base, width, value);
}

static inline uint8_t inb(const struct host_fake *f, uint16_t port)
{
	return (uint8_t)isa_rig_in(f, port, 1);
}

static inline void outb(const struct host_fake *f, uint16_t port, uint8_t value)
{
	isa_rig_out(f, port, 1, value);
}

/* Every register of a range of ports with changing values, in every width: what a fuzzer does, but the same each time. */
static inline void isa_rig_hammer(const struct host_fake *f, uint16_t port, uint32_t n, uint32_t rounds)
{
	uint32_t x = 12345;

	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t at, width;

		x = x * 1664525u + 1013904223u;
		width = 1u << (x >> 28 & 3) % 3;
		at = (x >> 8) % n;
		if (at + width > n)
			continue;
		if (x & 1u << 27)
			isa_rig_in(f, (uint16_t)(port + at), width);
		else
			isa_rig_out(f, (uint16_t)(port + at), width, x >> 16 | (uint64_t)x << 8);
	}
}

#endif
