/* SPDX-License-Identifier: MIT */
/* Configuration space: the header of type 0, base address registers, and mechanism #1. */
#include "dm/pci/pci.h"

#include <errno.h>
#include <string.h>

#define ENABLE 0x80000000u /* of the address port */
#define COMMAND_MASK 0x0547u /* I/O, memory, master, parity, SERR, interrupt disable */
#define HEADER_MULTI 0x80u
#define BAR_IO 0x1u
#define BAR_64 0x4u
#define BAR_PREFETCH 0x8u
#define ROM_ENABLE 0x1u
#define ROM_LEAST 2048u
#define IO_MIN 4u
#define IO_MAX 256u
#define MEM_MIN 16u
#define MEM32_MAX (1ull << 31)
#define MEM64_MAX (1ull << 40)

/* ---- bytes ---- */

uint32_t pci_get(const struct gamut_pci_function *f, uint32_t offset, uint32_t width)
{
	uint32_t value = 0;

	if (offset < PCI_CONFIG && width <= PCI_CONFIG - offset && width <= sizeof(value))
		memcpy(&value, f->config + offset, width);
	return value;
}

void pci_put(struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t value)
{
	if (offset < PCI_CONFIG && width <= PCI_CONFIG - offset && width <= sizeof(value))
		memcpy(f->config + offset, &value, width);
}

static void put_mask(struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t mask)
{
	memcpy(f->mask + offset, &mask, width);
}

/* ---- building ---- */

static bool power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static bool bar_ok(const struct gamut_pci_desc *d, uint32_t i)
{
	const struct gamut_pci_bar *b = &d->bar[i];

	switch (b->kind) {
	case GAMUT_PCI_BAR_NONE:
		return true;
	case GAMUT_PCI_BAR_IO:
		return power_of_two(b->size) && b->size >= IO_MIN && b->size <= IO_MAX;
	case GAMUT_PCI_BAR_MEM32:
		return power_of_two(b->size) && b->size >= MEM_MIN && b->size <= MEM32_MAX;
	case GAMUT_PCI_BAR_MEM64:
		return power_of_two(b->size) && b->size >= MEM_MIN && b->size <= MEM64_MAX && i + 1 < GAMUT_PCI_BARS &&
		       d->bar[i + 1].kind == GAMUT_PCI_BAR_NONE;
	default:
		return false;
	}
}

static int build_bar(struct gamut_pci_function *f, uint32_t i)
{
	const struct gamut_pci_bar *b = &f->desc.bar[i];
	uint32_t at = PCI_REG_BAR + 4 * i, fixed = b->prefetchable ? BAR_PREFETCH : 0;
	uint64_t mask = ~(b->size - 1);

	if (!bar_ok(&f->desc, i))
		return -EINVAL;
	if (b->kind == GAMUT_PCI_BAR_NONE)
		return 0;
	if (b->kind == GAMUT_PCI_BAR_IO)
		fixed = BAR_IO;
	else if (b->kind == GAMUT_PCI_BAR_MEM64)
		fixed |= BAR_64;
	pci_put(f, at, 4, fixed);
	put_mask(f, at, 4, (uint32_t)mask & (b->kind == GAMUT_PCI_BAR_IO ? ~0x3u : ~0xfu));
	if (b->kind == GAMUT_PCI_BAR_MEM64)
		put_mask(f, at + 4, 4, (uint32_t)(mask >> 32));
	return 0;
}

static uint64_t rom_window(const struct gamut_pci_function *f)
{
	uint64_t size = ROM_LEAST;

	while (size < f->desc.rom_size)
		size *= 2;
	return size;
}

static int build_own(struct gamut_pci_function *f)
{
	const struct gamut_pci_desc *d = &f->desc;

	if (!d->n_config)
		return d->capability ? -EINVAL : 0;
	if (d->config_at < PCI_REG_OWN || d->config_at > PCI_CONFIG || d->n_config > PCI_CONFIG - d->config_at)
		return -EINVAL;
	if (d->config_value)
		memcpy(f->config + d->config_at, d->config_value, d->n_config);
	if (d->config_mask)
		memcpy(f->mask + d->config_at, d->config_mask, d->n_config);
	if (!d->capability)
		return 0;
	if (d->capability & 3 || d->capability < d->config_at || d->capability >= d->config_at + d->n_config)
		return -EINVAL;
	pci_put(f, PCI_REG_CAPABILITIES, 1, d->capability);
	pci_put(f, PCI_REG_STATUS, 2, pci_get(f, PCI_REG_STATUS, 2) | PCI_STATUS_CAPABILITIES);
	return 0;
}

int pci_config_build(struct gamut_pci_function *f)
{
	const struct gamut_pci_desc *d = &f->desc;
	int rc = d->pin > 4 || d->rom_size > MEM32_MAX ? -EINVAL : 0;

	pci_put(f, PCI_REG_VENDOR, 2, d->vendor);
	pci_put(f, PCI_REG_DEVICE, 2, d->device);
	pci_put(f, PCI_REG_REVISION, 4, d->class_revision);
	pci_put(f, PCI_REG_HEADER, 1, d->multi_function ? HEADER_MULTI : 0);
	pci_put(f, PCI_REG_SUBSYSTEM_VENDOR, 2, d->subsystem_vendor);
	pci_put(f, PCI_REG_SUBSYSTEM, 2, d->subsystem);
	pci_put(f, PCI_REG_PIN, 1, d->pin);
	put_mask(f, PCI_REG_COMMAND, 2, COMMAND_MASK);
	put_mask(f, PCI_REG_CACHE_LINE, 1, 0xff);
	put_mask(f, PCI_REG_LATENCY, 1, 0xff);
	put_mask(f, PCI_REG_LINE, 1, d->pin ? 0xff : 0);
	for (uint32_t i = 0; i < GAMUT_PCI_BARS && !rc; i++)
		rc = build_bar(f, i);
	if (d->rom)
		put_mask(f, PCI_REG_ROM, 4, (uint32_t)~(rom_window(f) - 1) | ROM_ENABLE);
	if (!rc)
		rc = build_own(f);
	if (!rc)
		rc = pci_msi_build(f);
	memcpy(f->power_on, f->config, PCI_CONFIG);
	return rc;
}

/* ---- windows ---- */

static uint64_t rom_read(void *opaque, uint64_t offset, uint32_t width)
{
	const struct gamut_pci_function *f = opaque;
	uint64_t value = UINT64_MAX;

	if (offset < f->desc.rom_size) {
		uint64_t left = f->desc.rom_size - offset;

		memcpy(&value, (const uint8_t *)f->desc.rom + offset, left < width ? left : width);
	}
	return value;
}

static void rom_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)opaque;
	(void)offset;
	(void)width;
	(void)value;
}

static const struct gamut_io_ops rom_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = rom_read,
	.write = rom_write,
};

/* An address of 0 is a register that nobody has set (PCI 3.0, 6.2.5.1), and what wraps leads nowhere. */
static void open_window(struct pci_windows *w, struct pci_map *map, uint64_t base, uint64_t size, uint64_t limit,
                        const struct gamut_io_ops *ops, void *opaque)
{
	const struct pci_window window = { base, base + size - 1, 0, ops, opaque };

	if (ops && base && base <= limit && size - 1 <= limit - base)
		pci_windows_add(w, map, &window);
}

static void open_bar(struct gamut_pci_function *f, uint32_t i, struct pci_map *io, struct pci_map *memory)
{
	const struct gamut_pci_bar *b = &f->desc.bar[i];
	uint32_t at = PCI_REG_BAR + 4 * i, command = pci_get(f, PCI_REG_COMMAND, 2);
	bool table = f->desc.msix_vectors && f->desc.msix_bar == i;
	const struct gamut_io_ops *ops = table ? &pci_msix_ops : b->ops;
	uint64_t base = pci_get(f, at, 4);

	if (b->kind == GAMUT_PCI_BAR_IO && command & PCI_COMMAND_IO) {
		open_window(&f->bus->io, io, base & ~3ull, b->size, UINT16_MAX, ops, f->opaque);
		return;
	}
	if (b->kind == GAMUT_PCI_BAR_NONE || b->kind == GAMUT_PCI_BAR_IO || !(command & PCI_COMMAND_MEMORY))
		return;
	base &= ~15ull;
	if (b->kind == GAMUT_PCI_BAR_MEM64)
		base |= (uint64_t)pci_get(f, at + 4, 4) << 32;
	open_window(&f->bus->memory, memory, base, b->size, b->kind == GAMUT_PCI_BAR_MEM64 ? UINT64_MAX : UINT32_MAX,
	            ops, table ? f : f->opaque);
}

static void open_rom(struct gamut_pci_function *f, struct pci_map *memory)
{
	uint32_t reg = pci_get(f, PCI_REG_ROM, 4);

	if (f->desc.rom && reg & ROM_ENABLE && pci_get(f, PCI_REG_COMMAND, 2) & PCI_COMMAND_MEMORY)
		open_window(&f->bus->memory, memory, reg & ~(ROM_LEAST - 1), rom_window(f), UINT32_MAX, &rom_ops, f);
}

static void open_fixed(struct gamut_pci_function *f, struct pci_map *io)
{
	if (f->fixed.size)
		open_window(&f->bus->io, io, f->fixed.base, f->fixed.size, UINT16_MAX, f->fixed.ops, f->opaque);
}

void pci_config_map(struct pci_bus *bus)
{
	struct pci_map *io = pci_windows_begin(&bus->io), *memory = pci_windows_begin(&bus->memory);

	for (uint32_t n = 0; n < PCI_FUNCTIONS; n++) {
		struct gamut_pci_function *f = bus->function[n];

		for (uint32_t i = 0; f && i < GAMUT_PCI_BARS; i++)
			open_bar(f, i, io, memory);
		if (f) {
			open_rom(f, memory);
			open_fixed(f, io);
		}
	}
	pci_windows_publish(&bus->io, io);
	pci_windows_publish(&bus->memory, memory);
	__atomic_fetch_add(bus->moves, 1, __ATOMIC_RELAXED);
}

void pci_fixed_window(struct gamut_pci_function *f, uint64_t base, uint64_t size, const struct gamut_io_ops *ops)
{
	pthread_mutex_lock(&f->bus->lock);
	f->fixed = (struct pci_fixed){ base, size, ops };
	pci_config_map(f->bus);
	pthread_mutex_unlock(&f->bus->lock);
}

void pci_power_on(struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t value, uint32_t mask)
{
	pthread_mutex_lock(&f->bus->lock);
	pci_put(f, offset, width, value);
	memcpy(f->power_on + offset, f->config + offset, width);
	put_mask(f, offset, width, mask);
	pthread_mutex_unlock(&f->bus->lock);
}

/* ---- access ---- */

static bool own(const struct gamut_pci_function *f, uint32_t offset, uint32_t width)
{
	const struct gamut_pci_desc *d = &f->desc;

	return offset + width > d->config_at && offset < d->config_at + d->n_config;
}

static bool touches(uint32_t offset, uint32_t width, uint32_t first, uint32_t bytes)
{
	return offset + width > first && offset < first + bytes;
}

uint32_t pci_config_read(struct gamut_pci_function *f, uint32_t offset, uint32_t width)
{
	uint32_t value;

	pthread_mutex_lock(&f->bus->lock);
	value = pci_get(f, offset, width);
	pthread_mutex_unlock(&f->bus->lock);
	if (touches(offset, width, PCI_REG_STATUS, 1) && __atomic_load_n(&f->level, __ATOMIC_ACQUIRE))
		value |= PCI_STATUS_INTX << (8 * (PCI_REG_STATUS - offset));
	if (f->desc.config_read && own(f, offset, width))
		value = f->desc.config_read(f->opaque, offset, width, value);
	return value;
}

/* True when a window may have moved. */
static bool store(struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t value)
{
	bool changed = false;

	for (uint32_t i = 0; i < width; i++) {
		uint8_t mask = f->mask[offset + i], old = f->config[offset + i];
		uint8_t byte = (uint8_t)((old & ~mask) | ((value >> (8 * i)) & mask));

		changed |= byte != old;
		f->config[offset + i] = byte;
	}
	return changed && (touches(offset, width, PCI_REG_COMMAND, 1) ||
	                   touches(offset, width, PCI_REG_BAR, 4 * GAMUT_PCI_BARS) ||
	                   touches(offset, width, PCI_REG_ROM, 4));
}

void pci_config_write(struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t value)
{
	bool command = touches(offset, width, PCI_REG_COMMAND, 2);

	pthread_mutex_lock(&f->bus->lock);
	if (store(f, offset, width, value))
		pci_config_map(f->bus);
	pci_msi_written(f);
	if (f->desc.config_written && (command || own(f, offset, width)))
		f->desc.config_written(f->opaque, offset, width);
	pthread_mutex_unlock(&f->bus->lock);
	pci_intx_update(f);
}

/* ---- mechanism #1 ---- */

/* The function that the address port names, for an access to the data port; a vendor of all ones is nobody's. */
static struct gamut_pci_function *addressed(struct pci_bus *bus, uint32_t *offset)
{
	uint32_t address = __atomic_load_n(&bus->address, __ATOMIC_RELAXED);

	__atomic_fetch_add(bus->accesses, 1, __ATOMIC_RELAXED);
	*offset = address & 0xfc;
	return address & ENABLE && !(address >> 16 & 0xff) ? bus->function[address >> 8 & 0xff] : NULL;
}

static uint64_t port_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct pci_bus *bus = opaque;
	struct gamut_pci_function *f;
	uint32_t at, value = 0;

	if (offset < 4 && width == 4)
		return offset ? UINT32_MAX : __atomic_load_n(&bus->address, __ATOMIC_RELAXED);
	if (offset < 4) {
		for (uint32_t i = 0; i < width; i++)
			value |= (bus->config.side_read(bus->config.opaque, (uint32_t)offset + i) & 0xff) << 8 * i;
		return value;
	}
	f = addressed(bus, &at);
	return f && width <= 8 - offset ? pci_config_read(f, at + (uint32_t)(offset & 3), width) : UINT32_MAX;
}

static void port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct pci_bus *bus = opaque;
	struct gamut_pci_function *f;
	uint32_t at;

	if (offset == 0 && width == 4) {
		/* Bits that the specification reserves read as zero. */
		__atomic_store_n(&bus->address, (uint32_t)value & (ENABLE | 0x00fffffcu), __ATOMIC_RELAXED);
		return;
	}
	if (offset < 4) {
		for (uint32_t i = 0; i < width && offset + i < 4; i++)
			bus->config.side_write(bus->config.opaque, (uint32_t)offset + i, value >> 8 * i & 0xff);
		return;
	}
	f = addressed(bus, &at);
	if (f && width <= 8 - offset)
		pci_config_write(f, at + (uint32_t)(offset & 3), width, (uint32_t)value);
}

const struct gamut_io_ops pci_config_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = port_read,
	.write = port_write,
};
