/* SPDX-License-Identifier: MIT */
#include "dm/pc/piix3.h"

#include <stdbool.h>

#include "dm/pci/pci.h"

#define CONFIG_AT 0x4cu
#define N_CONFIG 0x60u /* up to 0xab */
#define PIRQRC 0x60u   /* four bytes: bit 7 off, bits 0-3 the ISA line */
#define ROUTE_OFF 0x80u
#define ROUTABLE 0xdef8u /* lines 3-7, 9-12, 14, 15 */

#define RESET_HARD 0x02u
#define RESET_CPU 0x04u

#define P92_INIT 0x01u
#define P92_A20 0x02u
#define P61_GATE 0x01u
#define P61_REFRESH 0x10u
#define P61_OUTPUT 0x20u

/* Power-on values of the data sheet, and what firmware may write. Registers that drive nothing here hold it. */
static const uint8_t config_value[N_CONFIG] = {
	[0x4c - CONFIG_AT] = 0x4d, [0x4e - CONFIG_AT] = 0x03, [0x60 - CONFIG_AT] = 0x80, [0x61 - CONFIG_AT] = 0x80,
	[0x62 - CONFIG_AT] = 0x80, [0x63 - CONFIG_AT] = 0x80, [0x69 - CONFIG_AT] = 0x02, [0x70 - CONFIG_AT] = 0x80,
	[0x76 - CONFIG_AT] = 0x0c, [0x77 - CONFIG_AT] = 0x0c, [0x78 - CONFIG_AT] = 0x02, [0xa0 - CONFIG_AT] = 0x08,
	[0xa8 - CONFIG_AT] = 0x0f,
};
static const uint8_t config_mask[N_CONFIG] = {
	[0x4c - CONFIG_AT] = 0xff, [0x4e - CONFIG_AT] = 0xff, [0x4f - CONFIG_AT] = 0x07, [0x60 - CONFIG_AT] = 0x8f,
	[0x61 - CONFIG_AT] = 0x8f, [0x62 - CONFIG_AT] = 0x8f, [0x63 - CONFIG_AT] = 0x8f, [0x69 - CONFIG_AT] = 0xfe,
	[0x6a - CONFIG_AT] = 0x80, [0x70 - CONFIG_AT] = 0xef, [0x76 - CONFIG_AT] = 0x8f, [0x77 - CONFIG_AT] = 0x8f,
	[0x78 - CONFIG_AT] = 0xff, [0x79 - CONFIG_AT] = 0xff, [0x80 - CONFIG_AT] = 0x7f, [0x82 - CONFIG_AT] = 0x0f,
};

/* ---- interrupts ---- */

/* The ISA lines as inputs and SCI ask for them now; lock held. */
static uint32_t wanted(const struct piix3 *x)
{
	uint32_t lines = x->sci ? 1u << PIIX3_SCI : 0;

	for (uint32_t i = 0; i < PCI_PIRQS; i++) {
		uint32_t route = x->bus->config_get(x->bus_self, x->function, PIRQRC + i, 1);

		if (x->pirq >> i & 1 && !(route & ROUTE_OFF))
			lines |= 1u << (route & 15) & ROUTABLE;
	}
	return lines;
}

static void update(struct piix3 *x)
{
	uint32_t now = wanted(x), changed = now ^ x->driven;

	x->driven = now;
	for (; changed; changed &= changed - 1) {
		uint32_t line = (uint32_t)__builtin_ctz(changed);

		x->lines->set(x->lines_self, line, now >> line & 1);
	}
}

void piix3_pirq(struct piix3 *x, uint32_t pirq, uint32_t level)
{
	pthread_mutex_lock(&x->lock);
	x->pirq = level ? x->pirq | 1u << pirq : x->pirq & ~(1u << pirq);
	if (x->lines)
		update(x);
	pthread_mutex_unlock(&x->lock);
}

void piix3_sci(struct piix3 *x, uint32_t level)
{
	pthread_mutex_lock(&x->lock);
	x->sci = level;
	if (x->lines)
		update(x);
	pthread_mutex_unlock(&x->lock);
}

static void config_written(void *opaque, uint32_t offset, uint32_t width)
{
	struct piix3 *x = opaque;

	if (offset + width <= PIRQRC || offset >= PIRQRC + PCI_PIRQS)
		return;
	pthread_mutex_lock(&x->lock);
	update(x);
	pthread_mutex_unlock(&x->lock);
}

/* ---- reset ---- */

uint32_t piix3_side_read(struct piix3 *x, uint32_t offset)
{
	return offset == 1 ? __atomic_load_n(&x->reset_control, __ATOMIC_RELAXED) : 0xff;
}

/* Bit 2 going up resets; bit 1 says what. It reads back as 0 afterwards, as the machine has been reset. */
void piix3_side_write(struct piix3 *x, uint32_t offset, uint32_t value)
{
	if (offset != 1)
		return;
	__atomic_store_n(&x->reset_control, (uint8_t)(value & RESET_HARD), __ATOMIC_RELAXED);
	if (!(value & RESET_CPU))
		return;
	if (value & RESET_HARD)
		x->pins.reset(x->pins.opaque);
	else
		x->pins.init(x->pins.opaque);
}

static uint64_t port_92_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct piix3 *x = opaque;

	(void)offset;
	(void)width;
	return __atomic_load_n(&x->port_92, __ATOMIC_RELAXED);
}

/* INIT with the bit's going up; it reads back as it was written. */
static void port_92_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct piix3 *x = opaque;
	uint8_t old = __atomic_exchange_n(&x->port_92, (uint8_t)(value & (P92_INIT | P92_A20)), __ATOMIC_RELAXED);

	(void)offset;
	(void)width;
	if (value & P92_INIT && !(old & P92_INIT))
		x->pins.init(x->pins.opaque);
}

const struct gamut_io_ops piix3_port_92_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = port_92_read,
	.write = port_92_write,
};

void piix3_set_a20(struct piix3 *x, uint32_t level)
{
	if (level)
		__atomic_fetch_or(&x->port_92, P92_A20, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&x->port_92, (uint8_t)~P92_A20, __ATOMIC_RELAXED);
}

/* ---- port 61 ---- */

static uint64_t port_61_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct piix3 *x = opaque;
	uint32_t value = __atomic_load_n(&x->port_61, __ATOMIC_RELAXED);

	(void)offset;
	(void)width;
	if (x->lines->speaker_output(x->lines_self))
		value |= P61_OUTPUT;
	if (x->lines->refresh(x->lines_self))
		value |= P61_REFRESH;
	return value;
}

/* Bits 2 and 3 mask parity and channel checks, which never come. */
static void port_61_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct piix3 *x = opaque;

	(void)offset;
	(void)width;
	__atomic_store_n(&x->port_61, (uint8_t)(value & 0x0f), __ATOMIC_RELAXED);
	x->lines->speaker_gate(x->lines_self, (uint32_t)value & P61_GATE);
}

const struct gamut_io_ops piix3_port_61_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = port_61_read,
	.write = port_61_write,
};

/* ---- life cycle ---- */

int piix3_init(struct piix3 *x, const struct gamut_host *host, struct gamut_inst *inst, const struct piix3_pins *pins)
{
	*x = (struct piix3){ .host = host, .inst = inst, .pins = *pins, .port_92 = P92_A20 };
	pthread_mutex_init(&x->lock, NULL);
	return 0;
}

int piix3_register(struct piix3 *x, const struct gamut_pci_bus_ops *bus, void *bus_self,
                   const struct gamut_irq_lines_ops *lines, void *lines_self)
{
	const struct gamut_pci_desc desc = {
		.size = sizeof(desc),
		.devfn = 1 << 3,
		.multi_function = 1,
		.vendor = 0x8086,
		.device = 0x7000,
		.class_revision = 0x06010000,
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
	/* I/O, memory and mastering are always on; a medium decoder. */
	pci_power_on(x->function, PCI_REG_COMMAND, 2, 0x0007, 0x0108);
	pci_power_on(x->function, PCI_REG_STATUS, 2, 0x0200, 0);
	pthread_mutex_lock(&x->lock);
	x->lines = lines;
	x->lines_self = lines_self;
	pthread_mutex_unlock(&x->lock);
	rc = x->host->pio_register(x->inst, PIIX3_PORT_61, 1, &piix3_port_61_ops, x);
	return rc ? rc : x->host->pio_register(x->inst, PIIX3_PORT_92, 1, &piix3_port_92_ops, x);
}

/* After the bus: the routing is off then, and so are the lines. */
void piix3_reset(struct piix3 *x)
{
	pthread_mutex_lock(&x->lock);
	x->pirq = x->sci = 0;
	if (x->lines)
		update(x);
	pthread_mutex_unlock(&x->lock);
	x->reset_control = x->port_61 = 0;
	x->port_92 = P92_A20;
}

void piix3_finish(struct piix3 *x)
{
	pthread_mutex_destroy(&x->lock);
}
