/* SPDX-License-Identifier: MIT */
#include "dm/pc/smbios.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define HEADER 4u
#define FORMATTED_MAX 64u
#define STRINGS 4u

/* A structure being made: its formatted part, and its strings. */
struct record {
	uint8_t data[FORMATTED_MAX];
	uint32_t len;
	const char *string[STRINGS];
	uint32_t n_strings;
};

static void put(struct record *r, uint32_t at, uint64_t value, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		r->data[at + i] = (uint8_t)(value >> 8 * i);
}

static struct record begin(uint8_t type, uint32_t len, uint16_t handle)
{
	struct record r = { .len = len };

	put(&r, 0, type, 1);
	put(&r, 1, len, 1);
	put(&r, 2, handle, 2);
	return r;
}

/* Strings are known by number, from 1. */
static void text(struct record *r, uint32_t at, const char *string)
{
	r->string[r->n_strings++] = string;
	r->data[at] = (uint8_t)r->n_strings;
}

static uint8_t *extend(struct smbios *s, uint32_t bytes)
{
	if (s->len + bytes > s->room && !s->failed) {
		uint32_t room = (s->len + bytes) * 2;
		uint8_t *p = realloc(s->tables, room);

		s->failed = !p;
		s->tables = p ? p : s->tables;
		s->room = p ? room : s->room;
	}
	if (s->failed)
		return NULL;
	s->len += bytes;
	return s->tables + s->len - bytes;
}

static void end(struct smbios *s, const struct record *r)
{
	uint32_t bytes = r->len + (r->n_strings ? 1 : 2);
	uint8_t *p;

	for (uint32_t i = 0; i < r->n_strings; i++)
		bytes += (uint32_t)strlen(r->string[i]) + 1;
	p = extend(s, bytes);
	if (!p)
		return;
	memset(p, 0, bytes);
	memcpy(p, r->data, r->len);
	p += r->len;
	for (uint32_t i = 0; i < r->n_strings; i++)
		p = (uint8_t *)stpcpy((char *)p, r->string[i]) + 1;
	s->n++;
	if (bytes > s->largest)
		s->largest = bytes;
}

/* ---- the structures ---- */

static void firmware(struct smbios *s)
{
	struct record r = begin(0, 0x18, 0);

	text(&r, 0x04, "Gamut");
	text(&r, 0x05, "1");
	put(&r, 0x06, 0xe800, 2);
	text(&r, 0x08, "01/01/2024");
	put(&r, 0x0a, 0x08, 8);  /* characteristics are not supported */
	put(&r, 0x12, 0x01, 1);  /* ACPI */
	put(&r, 0x13, 0x1c, 1);  /* a virtual machine */
	put(&r, 0x14, 0xffff, 2);
	put(&r, 0x16, 0xffff, 2);
	end(s, &r);
}

static void system_of(struct smbios *s, const struct smbios_config *c)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	struct record r = begin(1, 0x1b, 0x100);

	text(&r, 0x04, c->maker ? c->maker : "Gamut");
	text(&r, 0x05, c->product ? c->product : "PC (i440FX + PIIX)");
	text(&r, 0x06, "1");
	for (uint32_t i = 0; i < 16; i++)
		r.data[0x08 + i] = c->uuid[order[i]];
	put(&r, 0x18, 0x06, 1); /* woken by the power switch */
	text(&r, 0x1a, c->name);
	end(s, &r);
}

static void chassis(struct smbios *s)
{
	struct record r = begin(3, 0x15, 0x300);

	text(&r, 0x04, "Gamut");
	put(&r, 0x05, 0x01, 1); /* other */
	put(&r, 0x09, 0x03, 1); /* states: safe */
	put(&r, 0x0a, 0x03, 1);
	put(&r, 0x0b, 0x03, 1);
	put(&r, 0x0c, 0x02, 1); /* security: unknown */
	end(s, &r);
}

static void processor(struct smbios *s, uint32_t n)
{
	struct record r = begin(4, 0x2a, (uint16_t)(0x400 + n));

	text(&r, 0x04, "CPU");
	put(&r, 0x05, 0x03, 1); /* central processor */
	put(&r, 0x06, 0x01, 1); /* family: other */
	text(&r, 0x07, "Gamut");
	put(&r, 0x18, 0x41, 1); /* populated, enabled */
	put(&r, 0x19, 0x01, 1); /* upgrade: other */
	put(&r, 0x1a, 0xffff, 2);
	put(&r, 0x1c, 0xffff, 2);
	put(&r, 0x1e, 0xffff, 2);
	put(&r, 0x23, 0x010101, 3); /* one core, one enabled, one thread */
	put(&r, 0x26, 0x04, 2);     /* 64 bits */
	put(&r, 0x28, 0x01, 2);
	end(s, &r);
}

static void memory_array(struct smbios *s, uint64_t kib)
{
	struct record r = begin(16, 0x17, 0x1000);

	put(&r, 0x04, 0x01, 1); /* where: other */
	put(&r, 0x05, 0x03, 1); /* system memory */
	put(&r, 0x06, 0x06, 1); /* multi-bit ECC */
	put(&r, 0x07, kib < 0x80000000 ? kib : 0x80000000, 4);
	put(&r, 0x0b, 0xfffe, 2);
	put(&r, 0x0d, 1, 2);
	put(&r, 0x0f, kib < 0x80000000 ? 0 : kib * 1024, 8);
	end(s, &r);
}

static void memory_device(struct smbios *s, uint64_t mib)
{
	struct record r = begin(17, 0x28, 0x1100);

	put(&r, 0x04, 0x1000, 2);
	put(&r, 0x06, 0xfffe, 2);
	put(&r, 0x08, 0xffff, 2);
	put(&r, 0x0a, 0xffff, 2);
	put(&r, 0x0c, mib < 0x7fff ? mib : 0x7fff, 2);
	put(&r, 0x0e, 0x09, 1); /* DIMM */
	text(&r, 0x10, "DIMM 0");
	put(&r, 0x12, 0x07, 1); /* RAM */
	put(&r, 0x13, 0x02, 2);
	text(&r, 0x17, "Gamut");
	put(&r, 0x1c, mib < 0x7fff ? 0 : mib, 4);
	end(s, &r);
}

static void memory_range(struct smbios *s, uint16_t handle, uint64_t from, uint64_t to)
{
	struct record r = begin(19, 0x1f, handle);
	uint64_t last = (to - 1) / 1024;

	if (to <= from)
		return;
	if (last < UINT32_MAX) {
		put(&r, 0x04, from / 1024, 4);
		put(&r, 0x08, last, 4);
	} else {
		put(&r, 0x04, UINT32_MAX, 4);
		put(&r, 0x08, UINT32_MAX, 4);
		put(&r, 0x0f, from, 8);
		put(&r, 0x17, to - 1, 8);
	}
	put(&r, 0x0c, 0x1000, 2);
	put(&r, 0x0e, 1, 1);
	end(s, &r);
}

static void boot_status(struct smbios *s)
{
	struct record r = begin(32, 0x0b, 0x2000); /* all zero: no errors */

	end(s, &r);
}

static void last(struct smbios *s)
{
	struct record r = begin(127, HEADER, 0x7f00);

	end(s, &r);
}

static uint8_t sum(const uint8_t *p, uint32_t len)
{
	uint8_t total = 0;

	while (len--)
		total = (uint8_t)(total + *p++);
	return (uint8_t)-total;
}

/* The entry point; its address and checksums come when it is placed, and firmware wants them right for 0, too. */
static void anchor(struct smbios *s)
{
	uint8_t *a = s->anchor;

	memcpy(a, "_SM_", 4);
	a[5] = SMBIOS_ANCHOR;
	a[6] = 2;
	a[7] = 8;
	a[8] = (uint8_t)s->largest;
	a[9] = (uint8_t)(s->largest >> 8);
	memcpy(a + 0x10, "_DMI_", 5);
	a[0x16] = (uint8_t)s->len;
	a[0x17] = (uint8_t)(s->len >> 8);
	a[0x1c] = (uint8_t)s->n;
	a[0x1d] = (uint8_t)(s->n >> 8);
	a[0x1e] = 0x28;
	smbios_place(s, 0, a);
}

void smbios_place(const struct smbios *s, uint32_t tables_gpa, uint8_t a[SMBIOS_ANCHOR])
{
	memmove(a, s->anchor, SMBIOS_ANCHOR);
	for (uint32_t i = 0; i < 4; i++)
		a[0x18 + i] = (uint8_t)(tables_gpa >> 8 * i);
	a[0x15] = a[4] = 0;
	a[0x15] = sum(a + 0x10, 0x0f);
	a[4] = sum(a, SMBIOS_ANCHOR);
}

int smbios_build(struct smbios *s, const struct smbios_config *c)
{
	uint64_t bytes = c->low_end + c->high_size;

	*s = (struct smbios){ 0 };
	firmware(s);
	system_of(s, c);
	chassis(s);
	for (uint32_t i = 0; i < c->n_cpus; i++)
		processor(s, i);
	memory_array(s, bytes / 1024);
	memory_device(s, bytes / MIB);
	memory_range(s, 0x1300, 0, c->low_end);
	memory_range(s, 0x1301, 4 * GIB, 4 * GIB + c->high_size);
	boot_status(s);
	last(s);
	if (s->failed || s->len > UINT16_MAX) {
		int rc = s->failed ? -ENOMEM : -E2BIG;

		smbios_finish(s);
		return rc;
	}
	anchor(s);
	return 0;
}

void smbios_finish(struct smbios *s)
{
	free(s->tables);
	s->tables = NULL;
}
