/* SPDX-License-Identifier: MIT */
/*
 * What the chips of the ISA bus have in common: an interrupt output, and how
 * they are made.
 *
 * Every chip is a plain struct with
 *
 *   X_init      zeroes it, makes its timers and locks, resets it. 0 or -errno,
 *               and then nothing stays behind. In create. [control]
 *   X_register  claims its ports (and wires its interrupt). 0 or -errno. In
 *               start. [control]
 *   X_reset     power-on values, as after init; lines go down. [control]
 *   X_finish    frees what init made; after an init that failed, too. [control]
 *
 * and one const struct gamut_io_ops for each range of ports, whose opaque is
 * the chip, so that a test or a fuzzer can be the bus. Handlers run on [vcpu],
 * for several vCPUs at once: each chip has a lock.
 */
#ifndef DM_PC_ISA_H
#define DM_PC_ISA_H

#include "gamut/host.h"
#include "gamut/irq.h"

/* An interrupt output; with ops NULL it leads nowhere. */
struct isa_line {
	const struct gamut_irq_lines_ops *ops;
	void *self;
	uint32_t number; /* 0-15 */
};

static inline void isa_line_set(const struct isa_line *line, uint32_t level)
{
	if (line->ops)
		line->ops->set(line->self, line->number, level);
}

/*
 * A wider access to a chip of eight bits is one access a byte, as the bus
 * splits it. read and write get one byte's offset.
 */
static inline uint64_t isa_read(uint8_t (*read)(void *opaque, uint32_t offset), void *opaque, uint64_t offset,
                                uint32_t width)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < width; i++)
		value |= (uint64_t)read(opaque, (uint32_t)offset + i) << (8 * i);
	return value;
}

static inline void isa_write(void (*write)(void *opaque, uint32_t offset, uint8_t value), void *opaque,
                             uint64_t offset, uint32_t width, uint64_t value)
{
	for (uint32_t i = 0; i < width; i++)
		write(opaque, (uint32_t)offset + i, (uint8_t)(value >> (8 * i)));
}

static inline void isa_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

#endif
