/* SPDX-License-Identifier: MIT */
#include "dm/pc/machine.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRMWARE_PACKAGE "seabios"
#define VGA_BIOS_MAX (128u << 10)
#define NO_RETRY 0xffffffffu /* etc/boot-fail-wait: stop there */

/* ---- how it starts ---- */

/* A kernel with a modern entry needs no BIOS; one that counts on a BIOS gets it. */
static int choose_boot(struct pc_machine *p)
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
static int read_order(struct pc_machine *p)
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
static const char *file_option(struct pc_machine *p, const char *name, const char *standard, const char **package)
{
	const char *path = standard;

	p->host->option_string(p->inst, name, &path);
	*package = strcmp(path, standard) ? NULL : FIRMWARE_PACKAGE;
	return path;
}

static int load_firmware(struct pc_machine *p)
{
	const char *package, *path = file_option(p, "firmware", PC_FIRMWARE_FILE, &package);

	return p->direct ? 0 : firmware_init(&p->firmware, p->host, p->inst, path, package);
}

int pc_machine_choose(struct pc_machine *p)
{
	int rc = choose_boot(p);

	if (!rc)
		rc = read_order(p);
	return rc ? rc : load_firmware(p);
}

/* ---- what firmware is told ---- */

static int give_vga_bios(struct pc_machine *p)
{
	const char *package, *path = file_option(p, "vgabios", PC_VGA_BIOS_FILE, &package);
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

/* Firmware makes a map of its own out of where RAM is, and of what else there is beyond the first MiB. */
static int give_memory(struct pc_machine *p)
{
	struct pc_range ram[PC_BOOT_MAP] = { { 0, p->boot.low_end, PC_RANGE_RAM } };
	uint32_t n = 1;

	for (uint32_t i = 0; i < p->boot.n_map; i++) {
		if (p->boot.map[i].addr > 1u << 20)
			ram[n++] = p->boot.map[i];
	}
	return fw_cfg_file(&p->config, "etc/e820", ram, n * (uint32_t)sizeof(ram[0]), 1);
}

static int give_numbers(struct pc_machine *p)
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

static int give_tables(struct pc_machine *p)
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
static int give_kernel(struct pc_machine *p)
{
	static const char order[] = "/rom@genroms/linuxboot.bin\n";
	int rc;

	if (p->direct || p->image == PC_IMAGE_NONE)
		return 0;
	rc = pc_boot_bios(&p->boot, &p->config);
	return rc ? rc : fw_cfg_file(&p->config, "bootorder", order, sizeof(order), 1);
}

static int tell_firmware(struct pc_machine *p)
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

/*
 * Memory type range registers are offered where there is firmware to enable
 * them: kernels take those that are off for a reason to do without PAT as well.
 */
static int offer_mtrrs(struct pc_machine *p)
{
	static const uint32_t none[4] = { 0 }, mtrr[4] = { 0, 0, 0, 1u << 12 };
	unsigned max, b, c, d;
	int rc = p->host->cpuid_mask(p->inst, UINT32_MAX, 1, 0, none, mtrr);

	/* AMD repeats the bit. */
	if (rc || !__get_cpuid(0, &max, &b, &c, &d) || c != signature_AMD_ecx)
		return rc;
	return p->host->cpuid_mask(p->inst, UINT32_MAX, 0x80000001u, 0, none, mtrr);
}

int pc_machine_firmware(struct pc_machine *p)
{
	int rc = tell_firmware(p);

	if (rc || p->direct)
		return rc;
	rc = firmware_register(&p->firmware, &p->bridge);
	return rc ? rc : offer_mtrrs(p);
}

/* ---- and without ---- */

int pc_machine_boot(struct pc_machine *p)
{
	int rc = i440fx_open(&p->bridge);

	vga_text_mode(&p->vga);
	piix4_pm_open(&p->pm);
	if (!rc)
		rc = pc_machine_place_tables(p);
	if (rc)
		return p->host->fail(p->inst, -rc, "cannot place the machine's tables: %s", strerror(-rc));
	return pc_boot_load(&p->boot, p->image);
}

