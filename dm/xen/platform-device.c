/* SPDX-License-Identifier: MIT */
#include "dm/xen/platform-device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gamut/plugin.h"

#define VENDOR 0x5853u /* XenSource */
#define DEVICE 0x0001u
#define CLASS_REVISION 0xff800001u /* unassigned, other; revision 1 */

#define PROTOCOL 1u
#define FLAG_ROM_LOCK 1u
#define BAR_LOG 8u /* offset in the I/O BAR, which has the flags at 0 */

#define ALL_KINDS (GAMUT_XEN_UNPLUG_DISKS | GAMUT_XEN_UNPLUG_NICS | GAMUT_XEN_UNPLUG_AUX_DISKS)
#define DISK_KINDS (GAMUT_XEN_UNPLUG_DISKS | GAMUT_XEN_UNPLUG_AUX_DISKS)

/* ---- unplugging ---- */

/* Guests unplug what they do not have, too: only what goes is counted. To whom it belonged, it is a sign. */
static void unplug_one(struct xen_device *x, const struct xen_unplugger *u, uint32_t kinds)
{
	if (u->kinds & kinds & DISK_KINDS)
		xen_count(x->disks);
	if (u->kinds & kinds & GAMUT_XEN_UNPLUG_NICS)
		xen_count(x->nics);
	u->fn(u->opaque, kinds);
}

static void unplug(struct xen_device *x, uint32_t kinds)
{
	pthread_mutex_lock(&x->lock);
	for (uint32_t i = 0; i < x->n_unpluggers; i++)
		if (x->unplugger[i].kinds & kinds)
			unplug_one(x, &x->unplugger[i], kinds);
	pthread_mutex_unlock(&x->lock);
}

int xen_device_on_unplug(struct xen_device *x, uint32_t kinds, gamut_xen_unplug_fn fn, void *opaque)
{
	struct xen_unplugger *more;

	if (!fn || !kinds || kinds & ~ALL_KINDS)
		return -EINVAL;
	pthread_mutex_lock(&x->lock);
	more = realloc(x->unplugger, (x->n_unpluggers + 1) * sizeof(*more));
	if (more) {
		more[x->n_unpluggers++] = (struct xen_unplugger){ kinds, fn, opaque };
		x->unplugger = more;
	}
	pthread_mutex_unlock(&x->lock);
	return more ? 0 : -ENOMEM;
}

/* ---- registers ---- */

static uint64_t get_flags(const struct xen_device *x)
{
	return __atomic_load_n(&x->flags, __ATOMIC_RELAXED);
}

static void put_flags(struct xen_device *x, uint64_t value)
{
	__atomic_store_n(&x->flags, (uint32_t)value & FLAG_ROM_LOCK, __ATOMIC_RELAXED);
}

static void log_char(struct xen_device *x, uint64_t value)
{
	char c = (char)value;

	xen_console_put(x->xen, &c, 1);
}

static uint64_t port_read(void *opaque, uint64_t offset, uint32_t width)
{
	if (offset == 0 && width == 2)
		return XEN_DEVICE_MAGIC;
	if (offset == 0 && width == 1)
		return get_flags(opaque);
	return offset == 2 && width == 1 ? PROTOCOL : UINT64_MAX;
}

static void port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct xen_device *x = opaque;

	if (offset == 0 && width == 1)
		put_flags(x, value);
	else if (offset == 0 && width == 2)
		unplug(x, (uint32_t)value & ALL_KINDS);
	else if (offset == 0 && width == 4)
		__atomic_store_n(&x->build, (uint32_t)value, __ATOMIC_RELAXED);
	else if (offset == 2 && width == 1)
		log_char(x, value);
	else if (offset == 2 && width == 2)
		__atomic_store_n(&x->product, (uint16_t)value, __ATOMIC_RELAXED);
}

static uint64_t io_read(void *opaque, uint64_t offset, uint32_t width)
{
	return offset == 0 && width == 1 ? get_flags(opaque) : UINT64_MAX;
}

static void io_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	if (offset == 0 && width == 1)
		put_flags(opaque, value);
	else if (offset == BAR_LOG && width == 1)
		log_char(opaque, value);
}

/* There is nothing until the guest puts something there. */
static uint64_t memory_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return 0;
}

static void memory_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)opaque;
	(void)offset;
	(void)width;
	(void)value;
}

const struct gamut_io_ops xen_device_port_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = port_read,
	.write = port_write,
};

const struct gamut_io_ops xen_device_io_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = io_read,
	.write = io_write,
};

const struct gamut_io_ops xen_device_memory_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = memory_read,
	.write = memory_write,
};

/* ---- life cycle ---- */

void xen_device_init(struct xen_device *x, struct xen_platform *xen)
{
	const struct gamut_host *host = xen->env.host;
	struct gamut_inst *inst = xen->env.inst;

	*x = (struct xen_device){ .xen = xen };
	pthread_mutex_init(&x->lock, NULL);
	x->disks = host->counter(inst, "disks unplugged");
	x->nics = host->counter(inst, "cards unplugged");
}

void xen_device_finish(struct xen_device *x)
{
	if (x->function)
		x->bus->remove(x->bus_self, x->function);
	free(x->unplugger);
	pthread_mutex_destroy(&x->lock);
}

int xen_device_register(struct xen_device *x, const struct gamut_pci_bus_ops *bus, void *bus_self)
{
	const struct gamut_pci_desc desc = {
		.size = sizeof(desc),
		.devfn = XEN_DEVICE_DEVFN,
		.vendor = VENDOR,
		.device = DEVICE,
		.subsystem_vendor = VENDOR,
		.subsystem = DEVICE,
		.class_revision = CLASS_REVISION,
		.pin = XEN_DEVICE_PIN,
		.bar[0] = { .kind = GAMUT_PCI_BAR_IO, .size = XEN_DEVICE_IO, .ops = &xen_device_io_ops },
		.bar[1] = { .kind = GAMUT_PCI_BAR_MEM32, .prefetchable = 1, .size = XEN_DEVICE_MEMORY,
		            .ops = &xen_device_memory_ops },
	};
	const struct xen_env *env = &x->xen->env;
	int rc;

	x->bus = bus;
	x->bus_self = bus_self;
	rc = bus->add(bus_self, &desc, x, &x->function);
	if (rc)
		return rc;
	rc = env->host->pio_register(env->inst, XEN_DEVICE_PORT, XEN_DEVICE_PORTS, &xen_device_port_ops, x);
	return rc ? env->host->fail(env->inst, -rc, "cannot register the Xen platform device: %s", strerror(-rc)) : 0;
}

void xen_device_reset(struct xen_device *x)
{
	x->flags = x->product = x->build = 0;
}
