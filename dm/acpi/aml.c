/* SPDX-License-Identifier: MIT */
#include "dm/acpi/aml.h"

#include <string.h>

#include "dm/acpi/table.h"

enum {
	OP_ZERO = 0x00, OP_ONE = 0x01, OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b, OP_DWORD = 0x0c, OP_STRING = 0x0d,
	OP_SCOPE = 0x10, OP_BUFFER = 0x11, OP_PACKAGE = 0x12, OP_EXT = 0x5b, OP_DEVICE = 0x82,
};

static void bytes(struct aml *a, const void *p, size_t n)
{
	if (a->len + n <= a->room)
		memcpy(a->buf + a->len, p, n);
	a->len += n;
}

static void byte(struct aml *a, uint8_t value)
{
	bytes(a, &value, 1);
}

static void number(struct aml *a, uint32_t value, unsigned n)
{
	uint8_t little[4];

	acpi_put(little, value, n);
	bytes(a, little, n);
}

/* ---- what has a length in front: it is put in when it is known ---- */

static void insert(struct aml *a, size_t at, const uint8_t *p, size_t n)
{
	if (a->len + n <= a->room) {
		memmove(a->buf + at + n, a->buf + at, a->len - at);
		memcpy(a->buf + at, p, n);
	}
	a->len += n;
}

/* PkgLength counts itself: 6 bits in one byte, else 4 and whole bytes. */
void aml_end(struct aml *a, aml_mark mark)
{
	size_t len = a->len - mark;
	uint8_t p[4];
	unsigned n = 1;

	if (len + 1 < 1u << 6) {
		p[0] = (uint8_t)(len + 1);
	} else {
		for (n = 2; n < 4 && len + n >= 1u << (8 * n - 4); n++)
			;
		len += n;
		p[0] = (uint8_t)((n - 1) << 6 | (len & 0xf));
		acpi_put(p + 1, len >> 4, n - 1);
	}
	insert(a, mark, p, n);
}

aml_mark aml_scope_sb(struct aml *a)
{
	aml_mark mark;

	byte(a, OP_SCOPE);
	mark = a->len;
	bytes(a, "\\_SB_", 5);
	return mark;
}

aml_mark aml_device(struct aml *a, const char name[4])
{
	aml_mark mark;

	byte(a, OP_EXT);
	byte(a, OP_DEVICE);
	mark = a->len;
	bytes(a, name, 4);
	return mark;
}

static void begin_name(struct aml *a, const char name[4])
{
	byte(a, OP_NAME);
	bytes(a, name, 4);
}

aml_mark aml_package(struct aml *a, const char name[4], uint8_t n)
{
	aml_mark mark;

	begin_name(a, name);
	byte(a, OP_PACKAGE);
	mark = a->len;
	byte(a, n);
	return mark;
}

/* ---- data ---- */

void aml_integer(struct aml *a, uint32_t value)
{
	if (value <= 1) {
		byte(a, value ? OP_ONE : OP_ZERO);
		return;
	}
	byte(a, value <= UINT8_MAX ? OP_BYTE : value <= UINT16_MAX ? OP_WORD : OP_DWORD);
	number(a, value, value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : 4);
}

void aml_name_integer(struct aml *a, const char name[4], uint32_t value)
{
	begin_name(a, name);
	aml_integer(a, value);
}

void aml_name_string(struct aml *a, const char name[4], const char *text)
{
	begin_name(a, name);
	byte(a, OP_STRING);
	bytes(a, text, strlen(text) + 1);
}

/* ---- resources ---- */

aml_mark aml_resources(struct aml *a, const char name[4])
{
	begin_name(a, name);
	byte(a, OP_BUFFER);
	return a->len;
}

/* The end tag, whose checksum of 0 means none; then the size of it all. */
void aml_resources_end(struct aml *a, aml_mark mark)
{
	uint8_t size[5];
	struct aml s = { size, sizeof(size), 0 };

	byte(a, 0x79);
	byte(a, 0);
	aml_integer(&s, (uint32_t)(a->len - mark));
	insert(a, mark, size, s.len);
	aml_end(a, mark);
}

void aml_memory(struct aml *a, uint32_t base, uint32_t len)
{
	static const uint8_t tag[] = { 0x86, 9, 0, 1 };

	bytes(a, tag, sizeof(tag));
	number(a, base, 4);
	number(a, len, 4);
}

void aml_ports(struct aml *a, uint16_t base, uint8_t len)
{
	byte(a, 0x47);
	byte(a, 1);
	number(a, base, 2);
	number(a, base, 2);
	byte(a, 1);
	byte(a, len);
}

void aml_interrupt(struct aml *a, uint32_t gsi, int edge)
{
	const uint8_t tag[] = { 0x89, 6, 0, edge ? 3 : 1, 1 };

	bytes(a, tag, sizeof(tag));
	number(a, gsi, 4);
}
