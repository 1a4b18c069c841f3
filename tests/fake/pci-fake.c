/* SPDX-License-Identifier: MIT */
#include "fake/pci-fake.h"

#include <errno.h>
#include <string.h>

static int fake_add(void *self, const struct gamut_pci_desc *desc, void *opaque, struct gamut_pci_function **function)
{
	struct pci_fake *p = self;

	if (p->functions)
		return -EBUSY;
	p->desc = *desc;
	p->opaque = opaque;
	p->functions++;
	for (uint32_t i = 0; i < desc->n_config; i++)
		p->config[desc->config_at + i] = desc->config_value[i];
	*function = self;
	return 0;
}

static void fake_remove(void *self, struct gamut_pci_function *function)
{
	struct pci_fake *p = self;

	p->functions -= function != NULL;
}

static void fake_irq(void *self, struct gamut_pci_function *function, uint32_t level)
{
	struct pci_fake *p = self;

	(void)function;
	if (level && !p->level)
		p->raised++;
	p->level = level;
}

static int fake_message(void *self, struct gamut_pci_function *function, uint32_t n)
{
	(void)self;
	(void)function;
	(void)n;
	return -ENOENT;
}

static int fake_dma_read(void *self, struct gamut_pci_function *function, uint64_t address, void *buf, uint64_t len)
{
	struct pci_fake *p = self;

	(void)function;
	p->reads++;
	return p->master ? p->host->host->mem_read(p->host->inst, address, buf, len) : -EACCES;
}

static int fake_dma_write(void *self, struct gamut_pci_function *function, uint64_t address, const void *buf,
                          uint64_t len)
{
	struct pci_fake *p = self;

	(void)function;
	p->writes++;
	return p->master ? p->host->host->mem_write(p->host->inst, address, buf, len) : -EACCES;
}

static int fake_bus_master(void *self, struct gamut_pci_function *function)
{
	(void)function;
	return ((struct pci_fake *)self)->master;
}

static uint32_t fake_config_get(void *self, struct gamut_pci_function *function, uint32_t offset, uint32_t width)
{
	const struct pci_fake *p = self;
	uint32_t value = 0;

	(void)function;
	memcpy(&value, p->config + offset, width);
	return value;
}

static void fake_config_set(void *self, struct gamut_pci_function *function, uint32_t offset, uint32_t width,
                            uint32_t value)
{
	struct pci_fake *p = self;

	(void)function;
	memcpy(p->config + offset, &value, width);
}

static uint32_t fake_devfn(void *self, struct gamut_pci_function *function)
{
	(void)self;
	(void)function;
	return 3 << 3;
}

static void fake_present(void *self, struct gamut_pci_function *function, uint32_t present)
{
	struct pci_fake *p = self;

	(void)function;
	p->absent = !present;
	if (p->absent)
		p->master = false;
}

const struct gamut_pci_bus_ops pci_fake_ops = {
        .size = sizeof(struct gamut_pci_bus_ops),
        .add = fake_add,
        .remove = fake_remove,
        .irq = fake_irq,
        .message = fake_message,
        .dma_read = fake_dma_read,
        .dma_write = fake_dma_write,
        .bus_master = fake_bus_master,
        .config_get = fake_config_get,
        .config_set = fake_config_set,
        .devfn = fake_devfn,
        .present = fake_present,
};

uint64_t pci_fake_read(struct pci_fake *p, uint32_t bar, uint64_t offset, uint32_t width)
{
	return p->desc.bar[bar].ops->read(p->opaque, offset, width);
}

void pci_fake_write(struct pci_fake *p, uint32_t bar, uint64_t offset, uint32_t width, uint64_t value)
{
	p->desc.bar[bar].ops->write(p->opaque, offset, width, value);
}

void pci_fake_config(struct pci_fake *p, uint32_t at, uint32_t width, uint32_t value)
{
	memcpy(p->config + at, &value, width);
	if (at == 4)
		p->master = value & 4;
	if (p->desc.config_written)
		p->desc.config_written(p->opaque, at, width);
}

static void set_line(void *self, uint32_t line, uint32_t level)
{
	struct pci_fake *p = self;

	if (line >= GAMUT_IRQ_COUNT)
		return;
	p->edges[line] += level && !p->line[line];
	p->line[line] = level;
}

const struct gamut_irq_lines_ops pci_fake_lines = {.size = sizeof(pci_fake_lines), .set = set_line};
