/* SPDX-License-Identifier: MIT */
/*
 * platform = "pc": an i440FX and PIIX machine. This file chooses how it starts
 * (firmware, or a kernel without), makes the chips and wires them; what each
 * does is in dm/pc, dm/pci and dm/acpi.
 *
 * Power-on is written once, in power_on, for start and for reset.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/acpi/acpi-pc.h"
#include "dm/pc/boot.h"
#include "dm/pc/cmos.h"
#include "dm/pc/debugcon.h"
#include "dm/pc/firmware.h"
#include "dm/pc/i440fx.h"
#include "dm/pc/i8042.h"
#include "dm/pc/i8237.h"
#include "dm/pc/piix3.h"
#include "dm/pc/piix4-pm.h"
#include "dm/pc/smbios.h"
#include "dm/pc/testdev.h"
#include "dm/pc/uart.h"
#include "dm/pc/vga.h"
#include "dm/pci/pci.h"
#include "gamut/plugin.h"
#include "gamut/slots.h"

#define UARTS 2u
#define RESET_PORT 0xcf9u
#define RESET_VALUE 0x06u /* the processors, and everything else */

#define FIRMWARE_FILE "/usr/share/seabios/bios-256k.bin"
#define VGA_BIOS_FILE "/usr/share/seabios/vgabios-isavga.bin"
#define FIRMWARE_PACKAGE "seabios"
#define VGA_BIOS_MAX (128u << 10)

/* Where the tables of a machine without firmware are. */
#define TABLES_AT 0xe0000u
#define TABLES_MAX 0x10000u
#define SMBIOS_AT 0xf1000u
#define SMBIOS_ANCHOR_AT 0xf0000u
#define RSDP_AT 0xf0040u

#define NO_RETRY 0xffffffffu /* etc/boot-fail-wait: stop there */

struct platform_pc {
	struct pci_bus pci; /* first: what we give as GAMUT_PCI_BUS takes us for it */
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_irq_lines_ops *lines;
	void *lines_self;
	struct pc_boot boot;
	enum pc_image image;
	uint32_t direct;     /* no firmware: the kernel is started by us */
	uint32_t chips;      /* how many of the table have been made */
	uint8_t order[3];    /* as the CMOS has it */
	uint64_t *resets, *inits; /* counters */

	struct i440fx bridge;
	struct piix3 isa;
	struct piix4_pm pm;
	struct fw_cfg config;
	struct firmware firmware;
	struct cmos cmos;
	struct i8042 keyboard;
	struct i8237 dma;
	struct vga vga;
	struct debugcon debug;
	struct uart uart[UARTS];
	struct testdev *test; /* NULL: none */
	struct acpi_pc acpi;
	struct smbios smbios;
	uint32_t *apic_id;
};

/* ---- reset, power ---- */

static void machine_reset(void *opaque)
{
	struct platform_pc *p = opaque;

	__atomic_fetch_add(p->resets, 1, __ATOMIC_RELAXED);
	p->host->domain_end(p->inst, GAMUT_END_REBOOT);
}

/* The chip set sees the processor's shutdown cycle, and resets. */
static void processor_shutdown(void *opaque, uint32_t vcpu)
{
	struct platform_pc *p = opaque;

	p->host->log(p->inst, GAMUT_LOG_WARN, "vcpu %u: triple fault: reset", vcpu);
	machine_reset(p);
}

static void power_off(void *opaque)
{
	struct platform_pc *p = opaque;

	p->host->domain_end(p->inst, GAMUT_END_POWEROFF);
}

/*
 * The processors' INIT alone, memory stays: how old software leaves protected
 * mode, and firmware finds out by itself what was meant. With no firmware
 * there is nothing to find, and it is a reset.
 */
static void processor_init(void *opaque)
{
	struct platform_pc *p = opaque;

	__atomic_fetch_add(p->inits, 1, __ATOMIC_RELAXED);
	if (!p->direct && GAMUT_HAS(p->lines, struct gamut_irq_lines_ops, init) && p->lines->init)
		p->lines->init(p->lines_self);
	else
		machine_reset(p);
}

static void set_a20(void *opaque, uint32_t level)
{
	struct platform_pc *p = opaque;

	piix3_set_a20(&p->isa, level);
}

/* ---- between the buses ---- */

static void pirq(void *opaque, uint32_t n, uint32_t level)
{
	struct platform_pc *p = opaque;

	piix3_pirq(&p->isa, n, level);
}

static void sci(void *opaque, uint32_t level)
{
	struct platform_pc *p = opaque;

	piix3_sci(&p->isa, level);
}

static void message(void *opaque, uint64_t address, uint32_t data)
{
	struct platform_pc *p = opaque;

	p->lines->message(p->lines_self, address, data);
}

static uint32_t side_read(void *opaque, uint32_t offset)
{
	struct platform_pc *p = opaque;

	return piix3_side_read(&p->isa, offset);
}

static void side_write(void *opaque, uint32_t offset, uint32_t value)
{
	struct platform_pc *p = opaque;

	piix3_side_write(&p->isa, offset, value);
}

static int otherwise(void *opaque, uint64_t address, uint32_t width, uint32_t write, uint64_t *value)
{
	struct platform_pc *p = opaque;

	return GAMUT_HAS(p->lines, struct gamut_irq_lines_ops, mmio) && p->lines->mmio ?
	               p->lines->mmio(p->lines_self, address, width, write, value) :
	               -ENOENT;
}

/* ---- making the chips ---- */

static int make_pci(struct platform_pc *p)
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

static int make_bridge(struct platform_pc *p)
{
	return i440fx_init(&p->bridge, p->host, p->inst);
}

static int make_isa(struct platform_pc *p)
{
	const struct piix3_pins pins = { machine_reset, processor_init, p };

	return piix3_init(&p->isa, p->host, p->inst, &pins);
}

static int make_pm(struct platform_pc *p)
{
	const struct piix4_pm_pins pins = { sci, power_off, p };

	return piix4_pm_init(&p->pm, p->host, p->inst, &pins);
}

static int make_config(struct platform_pc *p)
{
	return fw_cfg_init(&p->config, p->host, p->inst);
}

static int make_cmos(struct platform_pc *p)
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

static int make_keyboard(struct platform_pc *p)
{
	const struct i8042_pins pins = { set_a20, processor_init, p };

	return i8042_init(&p->keyboard, p->host, p->inst, &pins);
}

static int make_dma(struct platform_pc *p)
{
	return i8237_init(&p->dma, p->host, p->inst);
}

static int make_vga(struct platform_pc *p)
{
	return vga_init(&p->vga, p->host, p->inst);
}

static int make_debug(struct platform_pc *p)
{
	return debugcon_init(&p->debug, p->host, p->inst);
}

static int make_com1(struct platform_pc *p)
{
	return uart_init(&p->uart[0], p->host, p->inst, "com1");
}

static int make_com2(struct platform_pc *p)
{
	return uart_init(&p->uart[1], p->host, p->inst, "com2");
}

static int make_test(struct platform_pc *p)
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

static void end_pci(struct platform_pc *p)
{
	pci_bus_finish(&p->pci);
}

static void end_bridge(struct platform_pc *p)
{
	i440fx_finish(&p->bridge);
}

static void end_isa(struct platform_pc *p)
{
	piix3_finish(&p->isa);
}

static void end_pm(struct platform_pc *p)
{
	piix4_pm_finish(&p->pm);
}

static void end_config(struct platform_pc *p)
{
	fw_cfg_finish(&p->config);
}

static void end_cmos(struct platform_pc *p)
{
	cmos_finish(&p->cmos);
}

static void end_keyboard(struct platform_pc *p)
{
	i8042_finish(&p->keyboard);
}

static void end_dma(struct platform_pc *p)
{
	i8237_finish(&p->dma);
}

static void end_vga(struct platform_pc *p)
{
	vga_finish(&p->vga);
}

static void end_debug(struct platform_pc *p)
{
	debugcon_finish(&p->debug);
}

static void end_com1(struct platform_pc *p)
{
	uart_finish(&p->uart[0]);
}

static void end_com2(struct platform_pc *p)
{
	uart_finish(&p->uart[1]);
}

static void end_test(struct platform_pc *p)
{
	free(p->test);
}

static const struct {
	const char *name;
	int (*make)(struct platform_pc *p);
	void (*end)(struct platform_pc *p);
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

static int make_chips(struct platform_pc *p)
{
	for (; p->chips < N_CHIPS; p->chips++) {
		int rc = chips[p->chips].make(p);

		if (rc)
			return p->host->fail(p->inst, -rc, "cannot make the %s: %s", chips[p->chips].name, strerror(-rc));
	}
	return 0;
}

/* ---- how it starts ---- */

/* A kernel with a modern entry needs no BIOS; one that counts on a BIOS gets it. */
static int choose_boot(struct platform_pc *p)
{
	const char *word = "auto";

	p->image = pc_image_kind(p->boot.boot);
	p->host->option_string(p->inst, "boot", &word);
	if (p->image == PC_IMAGE_UNKNOWN)
		return p->host->fail(p->inst, ENOEXEC,
		                     "%s cannot be booted on a PC: it is neither a Linux image nor Multiboot",
		                     p->boot.boot->kernel_path);
	if (!strcmp(word, "direct") && p->image == PC_IMAGE_NONE)
		return p->host->fail(p->inst, EINVAL, "boot = \"direct\" needs boot.kernel in the domain file");
	p->direct = !strcmp(word, "direct") ||
	            (!strcmp(word, "auto") && (p->image == PC_IMAGE_LINUX64 || p->image == PC_IMAGE_MULTIBOOT));
	return p->direct ? pc_boot_check(&p->boot, p->image) : 0;
}

/* "disk,cdrom,network": numbers that the BIOS reads from the CMOS. */
static int read_order(struct platform_pc *p)
{
	static const struct {
		const char *word;
		uint8_t number;
	} words[] = { { "floppy", 1 }, { "disk", 2 }, { "cdrom", 3 }, { "network", 4 } };
	const char *order = "disk,cdrom,network", *at;
	uint32_t n = 0;

	p->host->option_string(p->inst, "order", &order);
	at = order;
	for (size_t len; *at; at += len + (at[len] == ',')) {
		size_t i = 0;

		len = strcspn(at, ",");
		while (i < 4 && (strlen(words[i].word) != len || strncmp(words[i].word, at, len) != 0))
			i++;
		if (i == 4 || n == sizeof(p->order))
			return p->host->fail(p->inst, EINVAL,
			                     "order = \"%s\": up to three of disk, cdrom, network and floppy, with commas",
			                     order);
		p->order[n++] = words[i].number;
	}
	return 0;
}

/* A file that the user names is his own; the default comes with a package. */
static const char *file_option(struct platform_pc *p, const char *name, const char *standard, const char **package)
{
	const char *path = standard;

	p->host->option_string(p->inst, name, &path);
	*package = strcmp(path, standard) ? NULL : FIRMWARE_PACKAGE;
	return path;
}

static int load_firmware(struct platform_pc *p)
{
	const char *package, *path = file_option(p, "firmware", FIRMWARE_FILE, &package);

	return p->direct ? 0 : firmware_init(&p->firmware, p->host, p->inst, path, package);
}

/* ---- what firmware is told ---- */

static int give_vga_bios(struct platform_pc *p)
{
	const char *package, *path = file_option(p, "vgabios", VGA_BIOS_FILE, &package);
	void *data = NULL;
	uint32_t len = 0;
	int rc;

	if (p->direct || !*path)
		return 0;
	rc = firmware_read(p->host, p->inst, path, "VGA BIOS", package, VGA_BIOS_MAX, 512, &data, &len);
	if (rc)
		return rc;
	rc = fw_cfg_file(&p->config, "vgaroms/vgabios.bin", data, len, 1);
	free(data);
	return rc ? p->host->fail(p->inst, -rc, "cannot give the VGA BIOS: %s", strerror(-rc)) : 0;
}

/* Firmware makes a map of its own out of where RAM is. */
static int give_memory(struct platform_pc *p)
{
	struct pc_range ram[PC_BOOT_MAP] = { { 0, p->boot.low_end, PC_RANGE_RAM } };
	uint32_t n = 1;

	for (uint32_t i = 0; i < p->boot.n_map; i++) {
		if (p->boot.map[i].addr >= 1ull << 32)
			ram[n++] = p->boot.map[i];
	}
	return fw_cfg_file(&p->config, "etc/e820", ram, n * (uint32_t)sizeof(ram[0]), 1);
}

static int give_numbers(struct platform_pc *p)
{
	static const uint8_t states[6] = { 0x80, 0, 0, 0, 0, 0x80 }; /* S0 and S5; the latter's value is 0 */
	uint32_t n = p->host->vcpu_count(p->inst), no_retry = NO_RETRY;
	int sercon = 0, rc;

	p->host->option_bool(p->inst, "serial_screen", &sercon);
	rc = fw_cfg_set(&p->config, FW_CFG_UUID, p->host->domain_uuid(p->inst), 16);
	if (!rc)
		rc = fw_cfg_set_int(&p->config, FW_CFG_RAM_SIZE, p->boot.low_end, 8);
	if (!rc)
		rc = fw_cfg_set_int(&p->config, FW_CFG_NOGRAPHIC, 0, 2);
	if (!rc)
		rc = fw_cfg_set_int(&p->config, FW_CFG_NB_CPUS, n, 2);
	if (!rc)
		rc = fw_cfg_set_int(&p->config, FW_CFG_MAX_CPUS, p->apic_id[n - 1] + 1, 2);
	if (!rc)
		rc = fw_cfg_set_int(&p->config, FW_CFG_NUMA, 0, 8);
	if (!rc)
		rc = fw_cfg_set_int(&p->config, FW_CFG_BOOT_MENU, 0, 2);
	if (!rc)
		rc = fw_cfg_set_int(&p->config, FW_CFG_IRQ0_OVERRIDE, 1, 4);
	if (!rc)
		rc = fw_cfg_file(&p->config, "etc/system-states", states, sizeof(states), 1);
	if (!rc)
		rc = fw_cfg_file(&p->config, "etc/boot-fail-wait", &no_retry, sizeof(no_retry), 1);
	if (!rc && sercon)
		rc = fw_cfg_file(&p->config, "etc/sercon-port", &(uint64_t){ 0x3f8 }, 8, 1);
	return rc;
}

static int give_tables(struct platform_pc *p)
{
	void *script = NULL;
	uint32_t len = 0;
	int rc = acpi_pc_loader(&p->acpi, &script, &len);

	if (!rc)
		rc = fw_cfg_file(&p->config, ACPI_PC_RSDP_FILE, p->acpi.rsdp, sizeof(p->acpi.rsdp), 1);
	if (!rc)
		rc = fw_cfg_file(&p->config, ACPI_PC_TABLES_FILE, p->acpi.tables, p->acpi.len, 1);
	if (!rc)
		rc = fw_cfg_file(&p->config, ACPI_PC_LOADER_FILE, script, len, 1);
	if (!rc)
		rc = fw_cfg_file(&p->config, SMBIOS_ANCHOR_FILE, p->smbios.anchor, SMBIOS_ANCHOR, 1);
	if (!rc)
		rc = fw_cfg_file(&p->config, SMBIOS_TABLES_FILE, p->smbios.tables, p->smbios.len, 1);
	free(script);
	return rc;
}

/* A kernel through the BIOS comes before the disks. */
static int give_kernel(struct platform_pc *p)
{
	static const char order[] = "/rom@genroms/linuxboot.bin\n";
	int rc;

	if (p->direct || p->image == PC_IMAGE_NONE)
		return 0;
	rc = pc_boot_bios(&p->boot, &p->config);
	return rc ? rc : fw_cfg_file(&p->config, "bootorder", order, sizeof(order), 1);
}

static int tell_firmware(struct platform_pc *p)
{
	int rc = give_memory(p);

	if (!rc)
		rc = give_numbers(p);
	if (!rc)
		rc = give_tables(p);
	if (rc)
		return p->host->fail(p->inst, -rc, "cannot tell the firmware of the machine: %s", strerror(-rc));
	rc = give_vga_bios(p);
	return rc ? rc : give_kernel(p);
}

/* ---- tables ---- */

static uint32_t apic_id(const struct platform_pc *p, uint32_t vcpu)
{
	return GAMUT_HAS(p->lines, struct gamut_irq_lines_ops, apic_id) && p->lines->apic_id ?
	               p->lines->apic_id(p->lines_self, vcpu) :
	               vcpu;
}

static int build_tables(struct platform_pc *p)
{
	uint32_t n = p->host->vcpu_count(p->inst);
	struct acpi_pc_config acpi = {
		.n_cpus = n,
		.ioapic_address = GAMUT_IOAPIC_BASE,
		.pm_base = PIIX4_PM_BASE,
		.smi_port = PIIX4_SMI_PORT,
		.smi_enable = PIIX4_ACPI_ENABLE,
		.smi_disable = PIIX4_ACPI_DISABLE,
		.sci = PIIX3_SCI,
		.reset_port = RESET_PORT,
		.reset_value = RESET_VALUE,
	};
	struct smbios_config smbios = {
		.name = p->host->domain_name(p->inst),
		.uuid = p->host->domain_uuid(p->inst),
		.n_cpus = n,
		.low_end = p->boot.low_end,
	};
	int rc;

	p->apic_id = calloc(n, sizeof(*p->apic_id));
	for (uint32_t i = 0; p->apic_id && i < n; i++)
		p->apic_id[i] = apic_id(p, i);
	for (uint32_t i = 0; i < p->boot.n_map; i++)
		smbios.high_size += p->boot.map[i].addr >= 1ull << 32 ? p->boot.map[i].size : 0;
	acpi.apic_id = p->apic_id;
	rc = p->apic_id ? acpi_pc_build(&p->acpi, &acpi) : -ENOMEM;
	if (!rc)
		rc = smbios_build(&p->smbios, &smbios);
	if (!rc && (p->acpi.len > TABLES_MAX || p->smbios.len > I440FX_END - SMBIOS_AT))
		rc = -E2BIG;
	return rc ? p->host->fail(p->inst, -rc, "cannot make the machine's tables: %s", strerror(-rc)) : 0;
}

/* Where firmware would have put them. */
static int place_tables(struct platform_pc *p)
{
	uint8_t rsdp[ACPI_RSDP], anchor[SMBIOS_ANCHOR], *tables = malloc(p->acpi.len);
	int rc;

	if (!tables)
		return -ENOMEM;
	acpi_pc_place(&p->acpi, TABLES_AT, tables, rsdp);
	smbios_place(&p->smbios, SMBIOS_AT, anchor);
	rc = i440fx_write(&p->bridge, TABLES_AT, tables, p->acpi.len);
	if (!rc)
		rc = i440fx_write(&p->bridge, RSDP_AT, rsdp, sizeof(rsdp));
	if (!rc)
		rc = i440fx_write(&p->bridge, SMBIOS_AT, p->smbios.tables, p->smbios.len);
	if (!rc)
		rc = i440fx_write(&p->bridge, SMBIOS_ANCHOR_AT, anchor, sizeof(anchor));
	free(tables);
	return rc;
}

/* ---- life cycle ---- */

static void finish(struct platform_pc *p)
{
	while (p->chips)
		chips[--p->chips].end(p);
	firmware_finish(&p->firmware);
	acpi_pc_finish(&p->acpi);
	smbios_finish(&p->smbios);
	free(p->apic_id);
	free(p);
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct platform_pc *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return host->fail(inst, ENOMEM, "out of memory");
	p->host = p->firmware.host = host;
	p->inst = p->firmware.inst = inst;
	p->resets = host->counter(inst, "resets");
	p->inits = host->counter(inst, "processor-resets");
	rc = pc_boot_init(&p->boot, host, inst);
	if (!rc)
		rc = choose_boot(p);
	if (!rc)
		rc = read_order(p);
	if (!rc)
		rc = load_firmware(p);
	if (!rc)
		rc = make_chips(p);
	if (rc)
		finish(p);
	else
		*self = p;
	return rc;
}

static int register_chips(struct platform_pc *p)
{
	static const uint16_t base[UARTS] = { 0x3f8, 0x2f8 }, line[UARTS] = { 4, 3 };
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
	for (uint32_t i = 0; i < UARTS && !rc; i++)
		rc = uart_register(&p->uart[i], base[i], p->lines, p->lines_self, line[i]);
	if (!rc && p->test)
		rc = testdev_register(p->test, p->lines, p->lines_self);
	if (!rc)
		rc = p->host->on_shutdown(p->inst, processor_shutdown, p);
	return rc ? p->host->fail(p->inst, -rc, "cannot register the machine's chips: %s", strerror(-rc)) : 0;
}

static void reset_chips(struct platform_pc *p)
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
	for (uint32_t i = 0; i < UARTS; i++)
		uart_reset(&p->uart[i]);
	if (p->test)
		testdev_reset(p->test);
}

/* The work of firmware, for a machine without. */
static int boot_directly(struct platform_pc *p)
{
	int rc = i440fx_open(&p->bridge);

	piix4_pm_open(&p->pm);
	if (!rc)
		rc = place_tables(p);
	if (rc)
		return p->host->fail(p->inst, -rc, "cannot place the machine's tables: %s", strerror(-rc));
	p->boot.rsdp = RSDP_AT;
	return pc_boot_load(&p->boot, p->image);
}

/* vCPUs are at their reset vector already. */
static int power_on(struct platform_pc *p)
{
	int rc;

	reset_chips(p);
	rc = i440fx_reset(&p->bridge);
	if (rc)
		return p->host->fail(p->inst, -rc, "cannot lay out the first MiB: %s", strerror(-rc));
	if (!p->direct)
		return 0;
	vga_text_mode(&p->vga);
	return boot_directly(p);
}

/*
 * Memory type range registers are offered where there is firmware to enable
 * them: kernels take those that are off for a reason to do without PAT as well.
 */
static int offer_mtrrs(struct platform_pc *p)
{
	static const uint32_t none[4] = { 0 }, mtrr[4] = { 0, 0, 0, 1u << 12 };
	unsigned max, b, c, d;
	int rc = p->host->cpuid_mask(p->inst, UINT32_MAX, 1, 0, none, mtrr);

	/* AMD repeats the bit. */
	if (rc || !__get_cpuid(0, &max, &b, &c, &d) || c != signature_AMD_ecx)
		return rc;
	return p->host->cpuid_mask(p->inst, UINT32_MAX, 0x80000001u, 0, none, mtrr);
}

static int start(void *self)
{
	struct platform_pc *p = self;
	int rc;

	p->lines = p->host->lookup(p->inst, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, 0, &p->lines_self);
	if (!p->lines)
		return p->host->fail(p->inst, ENOENT, "nobody gives \"%s\"", GAMUT_IRQ_LINES);
	rc = register_chips(p);
	if (!rc)
		rc = build_tables(p);
	if (!rc)
		rc = tell_firmware(p);
	if (!rc && !p->direct)
		rc = firmware_register(&p->firmware, &p->bridge);
	if (!rc && !p->direct)
		rc = offer_mtrrs(p);
	return rc ? rc : power_on(p);
}

static int pause_op(void *self)
{
	struct platform_pc *p = self;

	for (uint32_t i = 0; i < UARTS; i++)
		uart_flush(&p->uart[i]);
	return 0;
}

static int resume(void *self)
{
	struct platform_pc *p = self;

	cmos_resume(&p->cmos);
	return 0;
}

static int reset(void *self)
{
	return power_on(self);
}

static void stop(void *self)
{
	struct platform_pc *p = self;

	for (uint32_t i = 0; i < UARTS; i++)
		uart_flush(&p->uart[i]);
}

static void destroy(void *self)
{
	finish(self);
}

/* ---- what others of the domain get: of each, the chip that it is about ---- */

static int serial_attach(void *self, uint32_t port, const struct gamut_serial_peer *peer, void *opaque)
{
	struct platform_pc *p = self;

	return port < UARTS ? uart_attach(&p->uart[port], peer, opaque) : -ENOENT;
}

static uint32_t serial_send(void *self, uint32_t port, const void *buf, uint32_t len)
{
	struct platform_pc *p = self;

	return port < UARTS ? uart_send(&p->uart[port], buf, len) : 0;
}

static void serial_kick(void *self, uint32_t port)
{
	struct platform_pc *p = self;

	if (port < UARTS)
		uart_kick(&p->uart[port]);
}

static const struct gamut_serial_ops serial_ops = {
	.size = sizeof(struct gamut_serial_ops),
	.count = UARTS,
	.attach = serial_attach,
	.send = serial_send,
	.kick = serial_kick,
};

static uint32_t screen_look(void *self, struct gamut_text_screen *screen, struct gamut_text_cell *cells, uint32_t n)
{
	struct platform_pc *p = self;

	return vga_text_screen_ops.look(&p->vga, screen, cells, n);
}

static uint64_t screen_generation(void *self)
{
	struct platform_pc *p = self;

	return vga_text_screen_ops.generation(&p->vga);
}

static const struct gamut_text_screen_ops screen_ops = {
	.size = sizeof(struct gamut_text_screen_ops),
	.look = screen_look,
	.generation = screen_generation,
};

static int keyboard_key(void *self, uint32_t code, uint32_t down)
{
	struct platform_pc *p = self;

	return i8042_keyboard_ops.key(&p->keyboard, code, down);
}

static const struct gamut_keyboard_ops keyboard_ops = {
	.size = sizeof(struct gamut_keyboard_ops),
	.key = keyboard_key,
};

static int config_file(void *self, const char *name, const void *data, uint32_t len)
{
	struct platform_pc *p = self;

	return fw_cfg_config_ops.file(&p->config, name, data, len);
}

static const struct gamut_firmware_config_ops config_ops = {
	.size = sizeof(struct gamut_firmware_config_ops),
	.file = config_file,
};

static const void *interface(void *self, const char *id, uint32_t revision)
{
	static const struct {
		const char *id;
		uint32_t revision;
		const void *ops;
	} given[] = {
		{ GAMUT_PCI_BUS, GAMUT_PCI_REVISION, &pci_bus_ops },
		{ GAMUT_SERIAL_PORTS, GAMUT_PC_REVISION, &serial_ops },
		{ GAMUT_TEXT_SCREEN, GAMUT_PC_REVISION, &screen_ops },
		{ GAMUT_KEYBOARD, GAMUT_PC_REVISION, &keyboard_ops },
		{ GAMUT_FIRMWARE_CONFIG, GAMUT_PC_REVISION, &config_ops },
	};

	(void)self;
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		if (revision == given[i].revision && !strcmp(id, given[i].id))
			return given[i].ops;
	}
	return NULL;
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.pause = pause_op,
	.resume = resume,
	.reset = reset,
	.stop = stop,
	.destroy = destroy,
	.interface = interface,
};

static const char *const boots[] = { "auto", "direct", "bios", NULL };

static const struct gamut_option options[] = {
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_CHOICE,
	  .name = "boot",
	  .help = "how boot.kernel starts: without firmware, through the BIOS, or what its entries suggest",
	  .default_value = "auto",
	  .choices = boots },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_PATH,
	  .name = "firmware",
	  .help = "image that ends at 4 GiB: SeaBIOS, OVMF",
	  .default_value = FIRMWARE_FILE },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_PATH,
	  .name = "vgabios",
	  .help = "option ROM of the VGA for SeaBIOS; empty: none",
	  .default_value = VGA_BIOS_FILE },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_STRING,
	  .name = "order",
	  .help = "what the BIOS boots from: up to three of disk, cdrom, network, floppy, with commas",
	  .default_value = "disk,cdrom,network" },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_BOOL,
	  .name = "serial_screen",
	  .help = "The BIOS shows its screen on COM1, too, and takes keys from there",
	  .default_value = "false" },
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_BOOL,
	  .name = "testdev",
	  .help = "Add the devices that kvm-unit-tests drives",
	  .default_value = "false" },
};

static const char *const needs[] = { GAMUT_IRQ_LINES, NULL };
static const char *const gives[] = { GAMUT_PCI_BUS,  GAMUT_SERIAL_PORTS,     GAMUT_TEXT_SCREEN,
	                             GAMUT_KEYBOARD, GAMUT_FIRMWARE_CONFIG, GAMUT_VIRTIO_TRANSPORT, NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_PLATFORM,
	.colour = GAMUT_COLOUR_V,
	.score = 50,
	.choice = "pc",
	.description = "a PC (i440FX, PIIX): PCI and ISA buses, VGA, serial ports, ACPI; BIOS or direct boot",
	.needs = needs,
	.gives = gives,
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "platform-pc",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
