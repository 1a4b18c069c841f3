/* SPDX-License-Identifier: MIT */
#include "dm/pc/testdev.h"

#include <string.h>

static uint32_t width_mask(uint32_t width)
{
	return width >= 4 ? UINT32_MAX : (1u << 8 * width) - 1;
}

/* ---- echo: a register as wide as the last write ---- */

static uint64_t echo_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct testdev *t = opaque;

	return __atomic_load_n(&t->echo, __ATOMIC_RELAXED) >> 8 * offset & width_mask(width);
}

static void echo_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct testdev *t = opaque;
	uint32_t mask = width_mask(width) << 8 * offset;
	uint32_t old = __atomic_load_n(&t->echo, __ATOMIC_RELAXED);

	__atomic_store_n(&t->echo, (old & ~mask) | ((uint32_t)(value << 8 * offset) & mask), __ATOMIC_RELAXED);
}

const struct gamut_io_ops testdev_echo_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = echo_read,
	.write = echo_write,
};

/* ---- flush: what is at the page stays, how it is reached is looked up anew ---- */

static uint64_t flush_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return UINT64_MAX;
}

static void flush_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct testdev *t = opaque;

	(void)offset;
	(void)width;
	t->host->mem_dirty(t->inst, value & ~0xfffull, 4096);
}

const struct gamut_io_ops testdev_flush_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = flush_read,
	.write = flush_write,
};

/* ---- exit ---- */

static void exit_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct testdev *t = opaque;

	(void)offset;
	(void)width;
	t->host->log(t->inst, GAMUT_LOG_INFO, "test device: exit code %u", (uint32_t)value);
	t->host->domain_end(t->inst, value ? GAMUT_END_CRASH : GAMUT_END_POWEROFF);
}

const struct gamut_io_ops testdev_exit_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = flush_read,
	.write = exit_write,
};

/* ---- lines ---- */

static void lines_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct testdev *t = opaque;

	(void)width;
	t->lines->set(t->lines_self, (uint32_t)offset, value != 0);
}

const struct gamut_io_ops testdev_lines_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = flush_read,
	.write = lines_write,
};

/* ---- memory ---- */

static uint64_t memory_read(void *opaque, uint64_t offset, uint32_t width)
{
	const struct testdev *t = opaque;
	uint64_t value = 0;

	if (width <= sizeof(value) && offset < TESTDEV_MEMORY_SIZE && width <= TESTDEV_MEMORY_SIZE - offset)
		memcpy(&value, t->memory + offset, width);
	return value;
}

static void memory_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct testdev *t = opaque;

	if (width <= sizeof(value) && offset < TESTDEV_MEMORY_SIZE && width <= TESTDEV_MEMORY_SIZE - offset)
		memcpy(t->memory + offset, &value, width);
}

const struct gamut_io_ops testdev_memory_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = memory_read,
	.write = memory_write,
};

/* ---- life cycle ---- */

void testdev_init(struct testdev *t, const struct gamut_host *host, struct gamut_inst *inst)
{
	memset(t, 0, sizeof(*t));
	t->host = host;
	t->inst = inst;
}

int testdev_register(struct testdev *t, const struct gamut_irq_lines_ops *lines, void *lines_self)
{
	const struct gamut_host *host = t->host;
	int rc = host->pio_register(t->inst, TESTDEV_ECHO, 4, &testdev_echo_ops, t);

	t->lines = lines;
	t->lines_self = lines_self;
	if (!rc)
		rc = host->pio_register(t->inst, TESTDEV_FLUSH, 4, &testdev_flush_ops, t);
	if (!rc)
		rc = host->pio_register(t->inst, TESTDEV_EXIT, 4, &testdev_exit_ops, t);
	if (!rc)
		rc = host->pio_register(t->inst, TESTDEV_LINES, GAMUT_IRQ_COUNT, &testdev_lines_ops, t);
	return rc ? rc : host->mmio_register(t->inst, TESTDEV_MEMORY, TESTDEV_MEMORY_SIZE, &testdev_memory_ops, t);
}

void testdev_reset(struct testdev *t)
{
	__atomic_store_n(&t->echo, 0, __ATOMIC_RELAXED);
	memset(t->memory, 0, sizeof(t->memory));
}
