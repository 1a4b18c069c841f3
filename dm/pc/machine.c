/* SPDX-License-Identifier: MIT */
#include "dm/pc/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- reset, power ---- */

static void machine_reset(void *opaque)
{
	struct pc_machine *p = opaque;

	__atomic_fetch_add(p->resets, 1, __ATOMIC_RELAXED);
	p->host->domain_end(p->inst, GAMUT_END_REBOOT);
}

/* The chip set sees the processor's shutdown cycle, and resets. */
static void processor_shutdown(void *opaque, uint32_t vcpu)
{
	struct pc_machine *p = opaque;

	p->host->log(p->inst, GAMUT_LOG_WARN, "vcpu %u: triple fault: reset", vcpu);
	machine_reset(p);
}

static void power_off(void *opaque)
{
	struct pc_machine *p = opaque;

	p->host->domain_end(p->inst, GAMUT_END_POWEROFF);
}

/*
 * The processors' INIT alone, memory stays: how old software leaves protected
 * mode, and firmware finds out by itself what was meant. With no firmware
 * there is nothing to find, and it is a reset.
 */
static void processor_init(void *opaque)
{
	struct pc_machine *p = opaque;

	__atomic_fetch_add(p->inits, 1, __ATOMIC_RELAXED);
	if (!p->direct && GAMUT_HAS(p->lines, struct gamut_irq_lines_ops, init) && p->lines->init)
		p->lines->init(p->lines_self);
	else
		machine_reset(p);
}

static void set_a20(void *opaque, uint32_t level)
{
	struct pc_machine *p = opaque;

	piix3_set_a20(&p->isa, level);
}

/* ---- between the buses ---- */

static void pirq(void *opaque, uint32_t n, uint32_t level)
{
	struct pc_machine *p = opaque;

	piix3_pirq(&p->isa, n, level);
}

static void sci(void *opaque, uint32_t level)
{
	struct pc_machine *p = opaque;

	piix3_sci(&p->isa, level);
}

static void message(void *opaque, uint64_t address, uint32_t data)
{
	struct pc_machine *p = opaque;

	p->lines->message(p->lines_self, address, data);
}

static uint32_t side_read(void *opaque, uint32_t offset)
{
	struct pc_machine *p = opaque;

	return piix3_side_read(&p->isa, offset);
}

static void side_write(void *opaque, uint32_t offset, uint32_t value)
{
	struct pc_machine *p = opaque;

	piix3_side_write(&p->isa, offset, value);
}

static int otherwise(void *opaque, uint64_t address, uint32_t width, uint32_t write, uint64_t *value)
{
	struct pc_machine *p = opaque;

	return GAMUT_HAS(p->lines, struct gamut_irq_lines_ops, mmio) && p->lines->mmio ?
	               p->lines->mmio(p->lines_self, address, width, write, value) :
	               -ENOENT;
}

/* ---- making the chips ---- */

static int make_pci(struct pc_machine *p)
{
	const struct pci_bus_config config = {
		.host = p->host,
		.inst = p->inst,
		.pirq = pirq,
		.message = message,
		.side_read = side_read,
		.side_write = side_write,
		.otherwise = otherwise,
		.opaque = p,
	};

	return pci_bus_init(&p->pci, &config);
}

static int make_bridge(struct pc_machine *p)
{
	return i440fx_init(&p->bridge, p->host, p->inst);
}

static int make_isa(struct pc_machine *p)
{
	const struct piix3_pins pins = { machine_reset, processor_init, p };

	return piix3_init(&p->isa, p->host, p->inst, &pins);
}

static int make_pm(struct pc_machine *p)
{
	const struct piix4_pm_pins pins = { sci, power_off, p };

	return piix4_pm_init(&p->pm, p->host, p->inst, &pins);
}

static int make_config(struct pc_machine *p)
{
	return fw_cfg_init(&p->config, p->host, p->inst);
}

static int make_cmos(struct pc_machine *p)
{
	struct cmos_config config = {
		.ram_below_4g = p->boot.low_end,
		.cpus = p->host->vcpu_count(p->inst),
	};

	for (uint32_t i = 0; i < p->boot.n_map; i++) {
		if (p->boot.map[i].addr >= 1ull << 32)
			config.ram_above_4g += p->boot.map[i].size;
	}
	memcpy(config.boot, p->order, sizeof(config.boot));
	return cmos_init(&p->cmos, p->host, p->inst, &config);
}

static int make_keyboard(struct pc_machine *p)
{
	const struct i8042_pins pins = { set_a20, processor_init, p };

	return i8042_init(&p->keyboard, p->host, p->inst, &pins);
}

static int make_dma(struct pc_machine *p)
{
	return i8237_init(&p->dma, p->host, p->inst);
}

static int make_vga(struct pc_machine *p)
{
	return vga_init(&p->vga, p->host, p->inst);
}

static int make_debug(struct pc_machine *p)
{
	return debugcon_init(&p->debug, p->host, p->inst);
}

static int make_com1(struct pc_machine *p)
{
	return uart_init(&p->uart[0], p->host, p->inst, "com1");
}

static int make_com2(struct pc_machine *p)
{
	return uart_init(&p->uart[1], p->host, p->inst, "com2");
}

static int make_test(struct pc_machine *p)
{
	int wanted = 0;

	p->host->option_bool(p->inst, "testdev", &wanted);
	if (!wanted)
		return 0;
	p->test = malloc(sizeof(*p->test));
	if (!p->test)
		return -ENOMEM;
	testdev_init(p->test, p->host, p->inst);
	return 0;
}

static void end_pci(struct pc_machine *p)
{
	pci_bus_finish(&p->pci);
}

static void end_bridge(struct pc_machine *p)
{
	i440fx_finish(&p->bridge);
}

static void end_isa(struct pc_machine *p)
{
	piix3_finish(&p->isa);
}

static void end_pm(struct pc_machine *p)
{
	piix4_pm_finish(&p->pm);
}

static void end_config(struct pc_machine *p)
{
	fw_cfg_finish(&p->config);
}

static void end_cmos(struct pc_machine *p)
{
	cmos_finish(&p->cmos);
}

static void end_keyboard(struct pc_machine *p)
{
	i8042_finish(&p->keyboard);
}

static void end_dma(struct pc_machine *p)
{
	i8237_finish(&p->dma);
}

static void end_vga(struct pc_machine *p)
{
	vga_finish(&p->vga);
}

static void end_debug(struct pc_machine *p)
{
	debugcon_finish(&p->debug);
}

static void end_com1(struct pc_machine *p)
{
	uart_finish(&p->uart[0]);
}

static void end_com2(struct pc_machine *p)
{
	uart_finish(&p->uart[1]);
}

static void end_test(struct pc_machine *p)
{
	free(p->test);
}

static const struct {
	const char *name;
	int (*make)(struct pc_machine *p);
	void (*end)(struct pc_machine *p);
} chips[] = {
	{ "PCI bus", make_pci, end_pci },
	{ "host bridge", make_bridge, end_bridge },
	{ "ISA bridge", make_isa, end_isa },
	{ "power management", make_pm, end_pm },
	{ "configuration device", make_config, end_config },
	{ "clock", make_cmos, end_cmos },
	{ "keyboard controller", make_keyboard, end_keyboard },
	{ "DMA controllers", make_dma, end_dma },
	{ "VGA", make_vga, end_vga },
	{ "debug port", make_debug, end_debug },
	{ "first serial port", make_com1, end_com1 },
	{ "second serial port", make_com2, end_com2 },
	{ "test devices", make_test, end_test },
};

#define N_CHIPS (sizeof(chips) / sizeof(chips[0]))

int pc_machine_make(struct pc_machine *p)
{
	for (; p->chips < N_CHIPS; p->chips++) {
		int rc = chips[p->chips].make(p);

		if (rc)
			return p->host->fail(p->inst, -rc, "cannot make the %s: %s", chips[p->chips].name, strerror(-rc));
	}
	return 0;
}

/* ---- life cycle ---- */

int pc_machine_init(struct pc_machine *p, const struct gamut_host *host, struct gamut_inst *inst)
{
	p->host = p->firmware.host = host;
	p->inst = p->firmware.inst = inst;
	p->resets = host->counter(inst, "resets");
	p->inits = host->counter(inst, "processor-resets");
	return pc_boot_init(&p->boot, host, inst);
}

int pc_machine_register(struct pc_machine *p)
{
	static const uint16_t base[PC_UARTS] = { 0x3f8, 0x2f8 }, line[PC_UARTS] = { 4, 3 };
	int rc = pci_bus_register(&p->pci);

	if (!rc)
		rc = i440fx_register(&p->bridge, &pci_bus_ops, &p->pci);
	if (!rc)
		rc = piix3_register(&p->isa, &pci_bus_ops, &p->pci, p->lines, p->lines_self);
	if (!rc)
		rc = piix4_pm_register(&p->pm, &pci_bus_ops, &p->pci);
	if (!rc)
		rc = fw_cfg_register(&p->config);
	if (!rc)
		rc = cmos_register(&p->cmos, p->lines, p->lines_self);
	if (!rc)
		rc = i8042_register(&p->keyboard, p->lines, p->lines_self);
	if (!rc)
		rc = i8237_register(&p->dma);
	if (!rc)
		rc = vga_register(&p->vga);
	if (!rc)
		rc = debugcon_register(&p->debug);
	for (uint32_t i = 0; i < PC_UARTS && !rc; i++)
		rc = uart_register(&p->uart[i], base[i], p->lines, p->lines_self, line[i]);
	if (!rc && p->test)
		rc = testdev_register(p->test, p->lines, p->lines_self);
	if (!rc)
		rc = p->host->on_shutdown(p->inst, processor_shutdown, p);
	return rc ? p->host->fail(p->inst, -rc, "cannot register the machine's chips: %s", strerror(-rc)) : 0;
}

static void reset_chips(struct pc_machine *p)
{
	pci_bus_reset(&p->pci);
	piix3_reset(&p->isa);
	piix4_pm_reset(&p->pm);
	fw_cfg_reset(&p->config);
	cmos_reset(&p->cmos);
	i8042_reset(&p->keyboard);
	i8237_reset(&p->dma);
	vga_reset(&p->vga);
	debugcon_reset(&p->debug);
	for (uint32_t i = 0; i < PC_UARTS; i++)
		uart_reset(&p->uart[i]);
	if (p->test)
		testdev_reset(p->test);
}


int pc_machine_power_on(struct pc_machine *p)
{
	int rc;

	reset_chips(p);
	rc = i440fx_reset(&p->bridge);
	if (rc)
		return p->host->fail(p->inst, -rc, "cannot lay out the first MiB: %s", strerror(-rc));
	return p->direct ? pc_machine_boot(p) : 0;
}

void pc_machine_flush(struct pc_machine *p)
{
	for (uint32_t i = 0; i < PC_UARTS; i++)
		uart_flush(&p->uart[i]);
}

void pc_machine_resume(struct pc_machine *p)
{
	cmos_resume(&p->cmos);
}

void pc_machine_finish(struct pc_machine *p)
{
	while (p->chips)
		chips[--p->chips].end(p);
	firmware_finish(&p->firmware);
	acpi_pc_finish(&p->acpi);
	smbios_finish(&p->smbios);
	free(p->apic_id);
}
