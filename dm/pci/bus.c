/* SPDX-License-Identifier: MIT */
#include "dm/pci/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gamut/plugin.h"

/* Windows that a function can have: its BARs, the expansion ROM, and a fixed one. */
#define WINDOWS_EACH (GAMUT_PCI_BARS + 2)

/* ---- accesses that no other range claims ---- */

static bool find(struct pci_bus *bus, struct pci_windows *w, uint64_t address, struct pci_window *found)
{
	uint32_t vcpu = bus->config.host->vcpu_current(bus->config.inst);

	return vcpu < w->n_readers && pci_windows_find(w, vcpu, address, found);
}

static bool holds(const struct pci_window *p, uint64_t address, uint32_t width)
{
	return width - 1 <= p->last - address;
}

/* Whether somebody off the bus takes an access to memory. */
static bool otherwise(struct pci_bus *bus, struct pci_windows *w, uint64_t address, uint32_t width, uint32_t write,
                      uint64_t *value)
{
	return w == &bus->memory && bus->config.otherwise &&
	       !bus->config.otherwise(bus->config.opaque, address, width, write, value);
}

static uint64_t window_read(struct pci_bus *bus, struct pci_windows *w, uint64_t address, uint32_t width)
{
	struct pci_window p;
	uint64_t value = 0;

	if (find(bus, w, address, &p) && holds(&p, address, width))
		return p.ops->read(p.opaque, address - p.first + p.offset, width);
	if (otherwise(bus, w, address, width, 0, &value))
		return value;
	if (width == 1)
		return 0xff;
	for (uint32_t i = 0; i < width; i++)
		value |= (window_read(bus, w, address + i, 1) & 0xff) << 8 * i;
	return value;
}

static void window_write(struct pci_bus *bus, struct pci_windows *w, uint64_t address, uint32_t width, uint64_t value)
{
	struct pci_window p;

	if (find(bus, w, address, &p) && holds(&p, address, width)) {
		p.ops->write(p.opaque, address - p.first + p.offset, width, value);
		return;
	}
	if (otherwise(bus, w, address, width, 1, &value))
		return;
	for (uint32_t i = 0; i < width && width > 1; i++)
		window_write(bus, w, address + i, 1, value >> 8 * i & 0xff);
}

static uint64_t io_read(void *opaque, uint64_t address, uint32_t width)
{
	struct pci_bus *bus = opaque;

	return window_read(bus, &bus->io, address, width);
}

static void io_write(void *opaque, uint64_t address, uint32_t width, uint64_t value)
{
	struct pci_bus *bus = opaque;

	window_write(bus, &bus->io, address, width, value);
}

static uint64_t memory_read(void *opaque, uint64_t address, uint32_t width)
{
	struct pci_bus *bus = opaque;

	return window_read(bus, &bus->memory, address, width);
}

static void memory_write(void *opaque, uint64_t address, uint32_t width, uint64_t value)
{
	struct pci_bus *bus = opaque;

	window_write(bus, &bus->memory, address, width, value);
}

const struct gamut_io_ops pci_io_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = io_read,
	.write = io_write,
};

const struct gamut_io_ops pci_memory_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = memory_read,
	.write = memory_write,
};

/* ---- INTx ---- */

/* The routing of the PIIX's mainboards: device 1, INTA# is the first input, and each device begins one further. */
static uint32_t pirq_of(uint32_t device, uint32_t pin)
{
	return (pin - 1 + device - 1) & (PCI_PIRQS - 1);
}

/* One driver more or less of an input. Under irq_lock. */
static void drive(struct pci_bus *bus, uint32_t pirq, uint32_t driven)
{
	bus->asserted[pirq] += driven ? 1 : -1u;
	if (bus->asserted[pirq] == driven)
		bus->config.pirq(bus->config.opaque, pirq, driven);
}

void pci_intx_update(struct gamut_pci_function *f)
{
	struct pci_bus *bus = f->bus;
	uint32_t driven;

	if (!f->desc.pin)
		return;
	pthread_mutex_lock(&bus->irq_lock);
	driven = __atomic_load_n(&f->level, __ATOMIC_ACQUIRE) && !pci_msi_on(f) &&
	         !(pci_get(f, PCI_REG_COMMAND, 2) & PCI_COMMAND_INTX_OFF);
	if (driven != f->driven) {
		f->driven = driven;
		drive(bus, pirq_of(f->devfn >> 3, f->desc.pin), driven);
	}
	pthread_mutex_unlock(&bus->irq_lock);
}

static void bus_irq(void *self, struct gamut_pci_function *f, uint32_t level)
{
	(void)self;
	if (__atomic_exchange_n(&f->level, !!level, __ATOMIC_ACQ_REL) != !!level)
		pci_intx_update(f);
}

static void bus_board_irq(void *self, uint32_t device, uint32_t pin, uint32_t level)
{
	struct pci_bus *bus = self;
	uint8_t bit;

	if (device >= PCI_DEVICES || pin - 1 >= PCI_PIRQS)
		return;
	bit = (uint8_t)(1u << (pin - 1));
	pthread_mutex_lock(&bus->irq_lock);
	if (!(bus->board_pins[device] & bit) != !level) {
		bus->board_pins[device] ^= bit;
		drive(bus, pirq_of(device, pin), level != 0);
	}
	pthread_mutex_unlock(&bus->irq_lock);
}

static int bus_message(void *self, struct gamut_pci_function *f, uint32_t n)
{
	(void)self;
	return pci_msi_message(f, n);
}

/* ---- functions ---- */

static int fail(struct pci_bus *bus, int err, const struct gamut_pci_desc *d, const char *why)
{
	return bus->config.host->fail(bus->config.inst, err, "PCI function %04x:%04x: %s", d->vendor, d->device, why);
}

/* A free device number, or that a given one is free. PCI_FUNCTIONS: none. */
static uint32_t choose(const struct pci_bus *bus, uint32_t devfn)
{
	if (devfn < PCI_FUNCTIONS)
		return bus->function[devfn] ? PCI_FUNCTIONS : devfn;
	for (uint32_t n = 0; devfn == GAMUT_PCI_ANY && n < PCI_FUNCTIONS; n += 8) {
		uint32_t i = n;

		while (i < n + 8 && !bus->function[i])
			i++;
		if (i == n + 8)
			return n;
	}
	return PCI_FUNCTIONS;
}

static uint32_t count(const struct pci_bus *bus)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < PCI_FUNCTIONS; i++)
		n += bus->function[i] != NULL;
	return n;
}

static void function_destroy(struct gamut_pci_function *f)
{
	pci_msi_finish(f);
	pthread_mutex_destroy(&f->msi_lock);
	free(f);
}

static void copy_desc(struct gamut_pci_desc *to, const struct gamut_pci_desc *from)
{
	memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
	to->size = sizeof(*to);
}

static int make(struct pci_bus *bus, const struct gamut_pci_desc *desc, void *opaque, struct gamut_pci_function **made)
{
	struct gamut_pci_function *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return -ENOMEM;
	f->bus = bus;
	f->opaque = opaque;
	copy_desc(&f->desc, desc);
	f->devfn = choose(bus, f->desc.devfn);
	pthread_mutex_init(&f->msi_lock, NULL);
	rc = f->devfn >= PCI_FUNCTIONS ? (f->desc.devfn == GAMUT_PCI_ANY ? -ENOSPC : -EBUSY) : pci_config_build(f);
	if (!rc)
		rc = pci_windows_reserve(&bus->io, (count(bus) + 1) * WINDOWS_EACH);
	if (!rc)
		rc = pci_windows_reserve(&bus->memory, (count(bus) + 1) * WINDOWS_EACH);
	if (rc)
		function_destroy(f);
	else
		*made = f;
	return rc;
}

static int bus_add(void *self, const struct gamut_pci_desc *desc, void *opaque, struct gamut_pci_function **function)
{
	struct pci_bus *bus = self;
	int rc = make(bus, desc, opaque, function);

	if (rc)
		return fail(bus, -rc, desc,
		            rc == -EBUSY  ? "its place on the bus is taken" :
		            rc == -ENOSPC ? "no place on the bus is left" :
		                            strerror(-rc));
	pthread_mutex_lock(&bus->lock);
	bus->function[(*function)->devfn] = *function;
	pci_config_map(bus);
	pthread_mutex_unlock(&bus->lock);
	if (bus->config.changed)
		bus->config.changed(bus->config.opaque);
	return 0;
}

static void bus_remove(void *self, struct gamut_pci_function *f)
{
	struct pci_bus *bus = self;

	if (!f)
		return;
	bus_irq(bus, f, 0);
	pthread_mutex_lock(&bus->lock);
	bus->function[f->devfn] = NULL;
	pci_config_map(bus);
	pthread_mutex_unlock(&bus->lock);
	function_destroy(f);
}

/* ---- what functions ask for ---- */

static int bus_master(void *self, struct gamut_pci_function *f)
{
	(void)self;
	return (pci_get(f, PCI_REG_COMMAND, 1) & PCI_COMMAND_MASTER) != 0;
}

static int bus_dma_read(void *self, struct gamut_pci_function *f, uint64_t address, void *buf, uint64_t len)
{
	struct pci_bus *bus = self;

	if (!bus_master(self, f))
		return -EACCES;
	return bus->config.host->mem_read(bus->config.inst, address, buf, len);
}

static int bus_dma_write(void *self, struct gamut_pci_function *f, uint64_t address, const void *buf, uint64_t len)
{
	struct pci_bus *bus = self;

	if (!bus_master(self, f))
		return -EACCES;
	return bus->config.host->mem_write(bus->config.inst, address, buf, len);
}

static uint32_t bus_config_get(void *self, struct gamut_pci_function *f, uint32_t offset, uint32_t width)
{
	(void)self;
	return pci_get(f, offset, width);
}

/* Whatever the mask says: for status bits and power-on values that are found late. */
static void bus_config_set(void *self, struct gamut_pci_function *f, uint32_t offset, uint32_t width, uint32_t value)
{
	struct pci_bus *bus = self;

	pthread_mutex_lock(&bus->lock);
	pci_put(f, offset, width, value);
	if (offset < PCI_REG_OWN)
		pci_config_map(bus);
	pthread_mutex_unlock(&bus->lock);
}

static uint32_t bus_devfn(void *self, struct gamut_pci_function *f)
{
	(void)self;
	return f->devfn;
}

const struct gamut_pci_bus_ops pci_bus_ops = {
	.size = sizeof(struct gamut_pci_bus_ops),
	.add = bus_add,
	.remove = bus_remove,
	.irq = bus_irq,
	.message = bus_message,
	.dma_read = bus_dma_read,
	.dma_write = bus_dma_write,
	.bus_master = bus_master,
	.config_get = bus_config_get,
	.config_set = bus_config_set,
	.devfn = bus_devfn,
	.board_irq = bus_board_irq,
};

/* ---- life cycle ---- */

int pci_bus_init(struct pci_bus *bus, const struct pci_bus_config *config)
{
	uint32_t vcpus = config->host->vcpu_count(config->inst);
	pthread_mutexattr_t recursive;
	int rc;

	*bus = (struct pci_bus){ .config = *config };
	rc = pci_windows_init(&bus->io, vcpus);
	if (rc)
		return rc;
	rc = pci_windows_init(&bus->memory, vcpus);
	if (rc) {
		pci_windows_finish(&bus->io);
		return rc;
	}
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&bus->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	pthread_mutex_init(&bus->irq_lock, NULL);
	bus->moves = config->host->counter(config->inst, "pci-windows-moved");
	bus->accesses = config->host->sign(config->inst, GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_V, "PCI configuration");
	bus->messages = config->host->counter(config->inst, "pci-messages");
	return 0;
}

int pci_bus_register(struct pci_bus *bus)
{
	const struct gamut_host *host = bus->config.host;
	struct gamut_inst *inst = bus->config.inst;
	int rc = host->pio_register(inst, PCI_ADDRESS_PORT, PCI_PORTS, &pci_config_ops, bus);

	if (!rc)
		rc = host->bus_fallback(inst, GAMUT_SPACE_PIO, &pci_io_ops, bus);
	if (!rc)
		rc = host->bus_fallback(inst, GAMUT_SPACE_MMIO, &pci_memory_ops, bus);
	return rc;
}

void pci_bus_reset(struct pci_bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	__atomic_store_n(&bus->address, 0, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < PCI_FUNCTIONS; i++) {
		struct gamut_pci_function *f = bus->function[i];

		if (!f)
			continue;
		bus_irq(bus, f, 0);
		memcpy(f->config, f->power_on, PCI_CONFIG);
		pci_msi_reset(f);
		f->fixed.size = 0;
	}
	pci_config_map(bus);
	pthread_mutex_unlock(&bus->lock);
}

void pci_bus_finish(struct pci_bus *bus)
{
	for (uint32_t i = 0; i < PCI_FUNCTIONS; i++) {
		if (bus->function[i])
			function_destroy(bus->function[i]);
	}
	if (!bus->io.maps)
		return;
	pci_windows_finish(&bus->io);
	pci_windows_finish(&bus->memory);
	pthread_mutex_destroy(&bus->lock);
	pthread_mutex_destroy(&bus->irq_lock);
	bus->io.maps = NULL;
}
