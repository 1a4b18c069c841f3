/* SPDX-License-Identifier: MIT */
/* A real PCI bus over a fake host, with what its neighbours would be told written down; for tests of its functions. */
#ifndef PCI_RIG_H
#define PCI_RIG_H

#include "dm/pci/pci.h"
#include "fake/host-fake.h"

struct pci_rig {
	struct host_fake *f;
	struct pci_bus bus;
	uint32_t pirq; /* a bit each */
	uint32_t pirq_calls;
	uint64_t address; /* of the last message */
	uint32_t data, messages;
	uint8_t side[4]; /* written to the address port's bytes */
	uint32_t changed;
};

static inline void rig_pirq(void *opaque, uint32_t n, uint32_t level)
{
	struct pci_rig *r = opaque;

	r->pirq = level ? r->pirq | 1u << n : r->pirq & ~(1u << n);
	r->pirq_calls++;
}

static inline void rig_message(void *opaque, uint64_t address, uint32_t data)
{
	struct pci_rig *r = opaque;

	r->address = address;
	r->data = data;
	r->messages++;
}

static inline uint32_t rig_side_read(void *opaque, uint32_t offset)
{
	struct pci_rig *r = opaque;

	return r->side[offset];
}

static inline void rig_side_write(void *opaque, uint32_t offset, uint32_t value)
{
	struct pci_rig *r = opaque;

	r->side[offset] = (uint8_t)value;
}

static inline void rig_changed(void *opaque)
{
	struct pci_rig *r = opaque;

	r->changed++;
}

/* 0 when it is there. */
static inline int pci_rig_init(struct pci_rig *r)
{
	*r = (struct pci_rig){ .f = host_fake_create(4 << 20, 2) };
	const struct pci_bus_config config = {
		.host = r->f->host, .inst = r->f->inst, .pirq = rig_pirq, .message = rig_message,
		.side_read = rig_side_read, .side_write = rig_side_write, .changed = rig_changed, .opaque = r,
	};

	host_fake_grow(r->f, 1ull << 32);
	return pci_bus_init(&r->bus, &config) ? -1 : pci_bus_register(&r->bus);
}

/* What was left behind. */
static inline uint32_t pci_rig_finish(struct pci_rig *r)
{
	pci_bus_finish(&r->bus);
	return host_fake_destroy(r->f);
}

static inline uint64_t rig_in(struct pci_rig *r, uint64_t port, uint32_t width)
{
	return host_fake_in(r->f, GAMUT_SPACE_PIO, port, width);
}

static inline void rig_out(struct pci_rig *r, uint64_t port, uint32_t width, uint64_t value)
{
	host_fake_out(r->f, GAMUT_SPACE_PIO, port, width, value);
}

/* Configuration space as the guest gets at it. */
static inline uint32_t rig_get(struct pci_rig *r, uint32_t devfn, uint32_t reg, uint32_t width)
{
	rig_out(r, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
	return (uint32_t)rig_in(r, 0xcfc + (reg & 3), width);
}

static inline void rig_set(struct pci_rig *r, uint32_t devfn, uint32_t reg, uint32_t width, uint32_t value)
{
	rig_out(r, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
	rig_out(r, 0xcfc + (reg & 3), width, value);
}

#endif
