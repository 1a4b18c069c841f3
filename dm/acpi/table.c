/* SPDX-License-Identifier: MIT */
#include "dm/acpi/table.h"

#include <string.h>

#define LAPIC_BYTES 8u
#define X2APIC_BYTES 16u
#define LAPIC_ID_MAX 254u /* 255 is the broadcast */
#define CPU_ENABLED 1u

void acpi_put(uint8_t *p, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

uint8_t acpi_checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

void acpi_finish_table(uint8_t *t, const char *signature, size_t len, uint8_t revision)
{
	memcpy(t, signature, 4);
	acpi_put(t + 4, len, 4);
	t[8] = revision;
	t[9] = 0;
	memcpy(t + 10, "Gamut ", 6);
	memcpy(t + 16, "GAMUTDOM", 8);
	acpi_put(t + 24, 1, 4);
	memcpy(t + 28, "GAMU", 4);
	acpi_put(t + 32, 1, 4);
	t[9] = acpi_checksum(t, len);
}

/* An identifier of more than 8 bits, or a processor whose number has more, has another kind of entry. */
static int needs_x2apic(uint32_t apic_id, uint32_t cpu)
{
	return apic_id > LAPIC_ID_MAX || cpu > LAPIC_ID_MAX;
}

size_t acpi_cpus_bytes(const uint32_t *apic_id, uint32_t n)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < n; i++)
		bytes += needs_x2apic(apic_id[i], i) ? X2APIC_BYTES : LAPIC_BYTES;
	return bytes;
}

static uint8_t *put_cpu(uint8_t *e, uint32_t apic_id, uint32_t cpu)
{
	if (!needs_x2apic(apic_id, cpu)) {
		e[0] = 0;
		e[1] = LAPIC_BYTES;
		e[2] = (uint8_t)cpu;
		e[3] = (uint8_t)apic_id;
		acpi_put(e + 4, CPU_ENABLED, 4);
		return e + LAPIC_BYTES;
	}
	e[0] = 9;
	e[1] = X2APIC_BYTES;
	acpi_put(e + 4, apic_id, 4);
	acpi_put(e + 8, CPU_ENABLED, 4);
	acpi_put(e + 12, cpu, 4);
	return e + X2APIC_BYTES;
}

uint8_t *acpi_put_cpus(uint8_t *e, const uint32_t *apic_id, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		e = put_cpu(e, apic_id[i], i);
	return e;
}
