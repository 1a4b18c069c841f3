/* SPDX-License-Identifier: MIT */
/*
 * ACPI machine language as far as machines of this project say things at run
 * time: names, integers, strings, packages, devices with their resources
 * (ACPI 6.4, chapter 20; resources: 6.4). What comes out is byte for byte what
 * iasl makes of the same in ASL.
 *
 * Into a buffer of fixed size: what does not fit is not written, `len` goes on
 * as if it were, and who has written looks at that once, at the end.
 */
#ifndef DM_ACPI_AML_H
#define DM_ACPI_AML_H

#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *buf; /* may be NULL with room 0, to measure */
	size_t room, len;
};

/* What is open; given back to its end, innermost first. */
typedef size_t aml_mark;

/* Scope (\_SB); Device (name); Name (name, Package of n elements); Name (name, ResourceTemplate). */
aml_mark aml_scope_sb(struct aml *a);
aml_mark aml_device(struct aml *a, const char name[4]);
aml_mark aml_package(struct aml *a, const char name[4], uint8_t n);
aml_mark aml_resources(struct aml *a, const char name[4]);
void aml_end(struct aml *a, aml_mark mark);
void aml_resources_end(struct aml *a, aml_mark mark);

void aml_integer(struct aml *a, uint32_t value);
void aml_name_integer(struct aml *a, const char name[4], uint32_t value);
void aml_name_string(struct aml *a, const char name[4], const char *text);

/* Within resources. Memory32Fixed (ReadWrite, ...); IO (Decode16, base, base, 1, len). */
void aml_memory(struct aml *a, uint32_t base, uint32_t len);
void aml_ports(struct aml *a, uint16_t base, uint8_t len);
/* Interrupt (ResourceConsumer, Edge or Level, ActiveHigh, Exclusive) { gsi } */
void aml_interrupt(struct aml *a, uint32_t gsi, int edge);

#endif
