/* SPDX-License-Identifier: MIT */
#include "dm/pc/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where the tables of a machine without firmware are. */
#define TABLES_AT 0xe0000u
#define TABLES_MAX 0x10000u
#define SMBIOS_AT 0xf1000u
#define SMBIOS_ANCHOR_AT 0xf0000u
#define RSDP_AT 0xf0040u

static uint32_t apic_id(const struct pc_machine *p, uint32_t vcpu)
{
	return GAMUT_HAS(p->lines, struct gamut_irq_lines_ops, apic_id) && p->lines->apic_id ?
	               p->lines->apic_id(p->lines_self, vcpu) :
	               vcpu;
}

int pc_machine_tables(struct pc_machine *p)
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
		.reset_port = PC_RESET_PORT,
		.reset_value = PC_RESET_VALUE,
	};
	struct smbios_config smbios = {
		.name = p->host->domain_name(p->inst),
		.uuid = p->host->domain_uuid(p->inst),
		.maker = p->maker,
		.product = p->product,
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

int pc_machine_place_tables(struct pc_machine *p)
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
	p->boot.rsdp = RSDP_AT;
	return rc;
}
