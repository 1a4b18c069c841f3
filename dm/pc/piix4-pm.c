/* SPDX-License-Identifier: MIT */
#include "dm/pc/piix4-pm.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "dm/pc/piix3.h"
#include "dm/pci/pci.h"

#define CONFIG_AT 0x40u
#define N_CONFIG 0x94u
#define PMBA 0x40u
#define DEVACTB 0x58u
#define DEVACTB_APMC 0x02000000u /* an SMI is made of a write to 0xb2 */
#define PMREGMISC 0x80u
#define PMREGMISC_ON 0x01u
#define SMBBA 0x90u

#define TIMER_BITS 24u
#define NS 1000000000ull

#define STS_TIMER 0x0001u
#define STS_BUTTON 0x0100u
#define STS_ALL 0x8d31u
#define EN_ALL 0x0521u
#define CNT_SCI 0x0001u
#define CNT_SLEEP 0x2000u
#define CNT_TYPE(v) ((v) >> 10 & 7)
#define CNT_HELD 0x1c03u
#define TYPE_SOFT_OFF 0u

static const uint8_t config_value[N_CONFIG] = { [0] = 1, [DEVACTB + 3 - CONFIG_AT] = DEVACTB_APMC >> 24,
	                                        [SMBBA - CONFIG_AT] = 1 };
static const uint8_t config_mask[N_CONFIG] = {
	[0] = 0xc0, [1] = 0xff,
	[DEVACTB - CONFIG_AT] = 0xff, [DEVACTB + 1 - CONFIG_AT] = 0xff,
	[PMREGMISC - CONFIG_AT] = 0x01, [SMBBA - CONFIG_AT] = 0xf0, [SMBBA + 1 - CONFIG_AT] = 0xff,
};

/* ---- the timer ---- */

static uint64_t ticks(struct piix4_pm *x)
{
	return (uint64_t)((__uint128_t)x->host->time_now(x->inst) * PIIX4_PM_HZ / NS);
}

/* Times that the top bit has changed, which is what the status says. */
static uint64_t turns(struct piix4_pm *x)
{
	return ticks(x) >> (TIMER_BITS - 1);
}

/* ---- SCI: lock held ---- */

static void update(struct piix4_pm *x)
{
	uint64_t now = turns(x);
	uint32_t sci;

	if (now != x->turns) {
		x->turns = now;
		x->status |= STS_TIMER;
	}
	sci = x->control & CNT_SCI && x->status & x->enable & EN_ALL;
	if (sci != x->sci) {
		x->sci = sci;
		x->pins.sci(x->pins.opaque, sci);
	}
	if (x->enable & STS_TIMER && !(x->status & STS_TIMER))
		x->host->timer_set(x->inst, x->timer,
		                   (uint64_t)((__uint128_t)(((now + 1) << (TIMER_BITS - 1)) + 1) * NS / PIIX4_PM_HZ));
}

static void timer_fires(void *opaque)
{
	struct piix4_pm *x = opaque;

	pthread_mutex_lock(&x->lock);
	update(x);
	pthread_mutex_unlock(&x->lock);
}

int piix4_pm_button(struct piix4_pm *x)
{
	int rc;

	pthread_mutex_lock(&x->lock);
	rc = x->control & CNT_SCI && x->enable & STS_BUTTON ? 0 : -EAGAIN;
	x->status |= STS_BUTTON;
	update(x);
	pthread_mutex_unlock(&x->lock);
	return rc;
}

/* ---- ports at the base ---- */

/* The sixteen-bit register at an even offset. */
static uint32_t get(struct piix4_pm *x, uint32_t offset)
{
	switch (offset) {
	case PM_STATUS:
		return x->status;
	case PM_ENABLE:
		return x->enable;
	case PM_CONTROL:
		return x->control;
	case PM_TIMER:
		return ticks(x) & 0xffff;
	case PM_TIMER + 2:
		return ticks(x) >> 16 & 0xff;
	case PM_GP_ENABLE:
		return x->gp_enable;
	case 16:
		return x->global & 0xffff;
	case 18:
		return x->global >> 16;
	default:
		return 0;
	}
}

static uint64_t pm_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct piix4_pm *x = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&x->lock);
	update(x);
	if (offset == PM_TIMER && width == 4) {
		value = ticks(x) & ((1u << TIMER_BITS) - 1);
	} else {
		for (uint32_t i = 0; i < width; i++)
			value |= (uint64_t)(get(x, (uint32_t)(offset + i) & ~1u) >> 8 * ((offset + i) & 1) & 0xff) << 8 * i;
	}
	pthread_mutex_unlock(&x->lock);
	return value;
}

/* True: the machine goes off. */
static bool put_control(struct piix4_pm *x, uint32_t value)
{
	x->control = (uint16_t)(value & CNT_HELD);
	return value & CNT_SLEEP && CNT_TYPE(value) == TYPE_SOFT_OFF;
}

static bool put(struct piix4_pm *x, uint32_t offset, uint32_t value, uint32_t mask)
{
	uint32_t merged = (get(x, offset) & ~mask) | (value & mask);

	switch (offset) {
	case PM_STATUS:
		x->status &= (uint16_t)~(value & mask & STS_ALL);
		return false;
	case PM_ENABLE:
		x->enable = (uint16_t)(merged & EN_ALL);
		return false;
	case PM_CONTROL:
		return put_control(x, merged);
	case PM_GP_ENABLE:
		x->gp_enable = (uint16_t)(merged & 0x0f01);
		return false;
	case 16:
		x->global = (x->global & 0xffff0000u) | merged;
		return false;
	case 18:
		x->global = (x->global & 0xffffu) | merged << 16;
		return false;
	default:
		return false;
	}
}

static void pm_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct piix4_pm *x = opaque;
	bool off = false;

	pthread_mutex_lock(&x->lock);
	for (uint32_t at = (uint32_t)offset & ~1u; at < offset + width; at += 2) {
		int64_t shift = (int64_t)at - (int64_t)offset;
		uint32_t low = at >= offset, high = at + 1 < offset + width;
		uint32_t mask = (low ? 0xffu : 0) | (high ? 0xff00u : 0);

		off |= put(x, at, (uint32_t)(shift < 0 ? value << 8 : value >> 8 * shift) & 0xffff, mask);
	}
	update(x);
	pthread_mutex_unlock(&x->lock);
	if (off)
		x->pins.power_off(x->pins.opaque);
}

const struct gamut_io_ops piix4_pm_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = pm_read,
	.write = pm_write,
};

/* ---- 0xb2, 0xb3 ---- */

static uint64_t apm_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct piix4_pm *x = opaque;
	uint64_t value;

	pthread_mutex_lock(&x->lock);
	value = x->apm[offset & 1] | (width > 1 ? (uint64_t)x->apm[1] << 8 : 0);
	pthread_mutex_unlock(&x->lock);
	return value;
}

static void apm_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct piix4_pm *x = opaque;

	pthread_mutex_lock(&x->lock);
	x->apm[offset & 1] = (uint8_t)value;
	if (width > 1)
		x->apm[1] = (uint8_t)(value >> 8);
	if (offset == 0 && (value & 0xff) == PIIX4_ACPI_ENABLE)
		x->control |= CNT_SCI;
	if (offset == 0 && (value & 0xff) == PIIX4_ACPI_DISABLE)
		x->control &= (uint16_t)~CNT_SCI;
	update(x);
	pthread_mutex_unlock(&x->lock);
}

const struct gamut_io_ops piix4_apm_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = apm_read,
	.write = apm_write,
};

/* ---- configuration ---- */

static void move(struct piix4_pm *x)
{
	uint32_t on = x->bus->config_get(x->bus_self, x->function, PMREGMISC, 1) & PMREGMISC_ON;
	uint32_t base = x->bus->config_get(x->bus_self, x->function, PMBA, 4) & 0xffc0;

	pci_fixed_window(x->function, base, on ? PIIX4_PM_BYTES : 0, &piix4_pm_ops);
}

static void config_written(void *opaque, uint32_t offset, uint32_t width)
{
	(void)offset;
	(void)width;
	move(opaque);
}

void piix4_pm_open(struct piix4_pm *x)
{
	x->bus->config_set(x->bus_self, x->function, PMBA, 4, PIIX4_PM_BASE | 1);
	x->bus->config_set(x->bus_self, x->function, PMREGMISC, 1, PMREGMISC_ON);
	x->bus->config_set(x->bus_self, x->function, PCI_REG_LINE, 1, PIIX3_SCI);
	move(x);
}

/* ---- life cycle ---- */

int piix4_pm_init(struct piix4_pm *x, const struct gamut_host *host, struct gamut_inst *inst,
                  const struct piix4_pm_pins *pins)
{
	*x = (struct piix4_pm){ .host = host, .inst = inst, .pins = *pins };
	x->timer = host->timer_create(inst, timer_fires, x);
	if (!x->timer)
		return -ENOMEM;
	pthread_mutex_init(&x->lock, NULL);
	return 0;
}

int piix4_pm_register(struct piix4_pm *x, const struct gamut_pci_bus_ops *bus, void *bus_self)
{
	const struct gamut_pci_desc desc = {
		.size = sizeof(desc),
		.devfn = PIIX4_PM_DEVFN,
		.vendor = 0x8086,
		.device = 0x7113,
		.class_revision = 0x06800003,
		.config_at = CONFIG_AT,
		.n_config = N_CONFIG,
		.config_value = config_value,
		.config_mask = config_mask,
		.config_written = config_written,
	};
	int rc;

	x->bus = bus;
	x->bus_self = bus_self;
	rc = bus->add(bus_self, &desc, x, &x->function);
	if (rc)
		return rc;
	/* The SCI is no INTx, but the register that says which line it is on can be written. */
	pci_power_on(x->function, PCI_REG_PIN, 1, 1, 0);
	pci_power_on(x->function, PCI_REG_LINE, 1, 0, 0xff);
	return x->host->pio_register(x->inst, PIIX4_SMI_PORT, 2, &piix4_apm_ops, x);
}

void piix4_pm_reset(struct piix4_pm *x)
{
	pthread_mutex_lock(&x->lock);
	x->status = x->enable = x->control = x->gp_enable = 0;
	x->global = 0;
	memset(x->apm, 0, sizeof(x->apm));
	x->turns = turns(x);
	update(x);
	pthread_mutex_unlock(&x->lock);
	x->host->timer_cancel(x->inst, x->timer);
}

void piix4_pm_finish(struct piix4_pm *x)
{
	if (!x->timer)
		return;
	x->host->timer_destroy(x->inst, x->timer);
	x->timer = NULL;
	pthread_mutex_destroy(&x->lock);
}
