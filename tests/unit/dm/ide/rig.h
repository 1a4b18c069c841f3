/* SPDX-License-Identifier: MIT */
/*
 * An IDE controller on a bus and interrupt lines that record, driven through
 * its ports as a guest's driver would. Slot 0 has a disk, slot 2 a CD-ROM
 * drive, both in memory; a test may attach others.
 */
#ifndef TEST_IDE_RIG_H
#define TEST_IDE_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dm/ide/ide.h"
#include "fake/block-fake.h"
#include "fake/host-fake.h"
#include "fake/pci-fake.h"

#define RAM       (8ull << 20)
#define DISK      (4u << 20)
#define DISK_LAST (DISK / 512 - 1)
#define CD        (1u << 20)

/* Guest memory that the tests use. */
#define PRD  0x1000u
#define DATA 0x100000u

enum { ERR = 1, DRQ = 8, DSC = 0x10, DF = 0x20, DRDY = 0x40, BSY = 0x80 };
enum { OK = DRDY | DSC };

struct rig {
	struct host_fake *f;
	struct block_fake disk, cd;
	struct ide *ide;
	uint32_t base; /* of the channel that the helpers use */

	struct pci_fake pci;
};

/* ---- ports ---- */

static const struct host_fake_range *find_port(const struct rig *r, uint32_t port)
{
	for (uint32_t i = 0; i < r->f->n_pio; i++)
		if (port >= r->f->pio[i].base && port - r->f->pio[i].base < r->f->pio[i].len)
			return &r->f->pio[i];
	fail_msg("nothing at port %#x", port);
	return NULL;
}

static inline uint32_t in(struct rig *r, uint32_t port, uint32_t width)
{
	const struct host_fake_range *p = find_port(r, port);

	return (uint32_t)((const struct gamut_io_ops *)p->ops)->read(p->opaque, port - p->base, width);
}

static inline void out(struct rig *r, uint32_t port, uint32_t width, uint32_t value)
{
	const struct host_fake_range *p = find_port(r, port);

	((const struct gamut_io_ops *)p->ops)->write(p->opaque, port - p->base, width, value);
}

/* REP INS and REP OUTS; returns in how many calls. */
static inline uint32_t ins(struct rig *r, void *buf, uint32_t width, uint32_t count)
{
	const struct host_fake_range *p = find_port(r, r->base);
	uint32_t calls = 0;

	for (uint32_t done = 0; done < count; calls++)
		done += ((const struct gamut_io_ops *)p->ops)
		                ->read_many(p->opaque, 0, width, (uint8_t *)buf + done * width, count - done);
	return calls;
}

static inline uint32_t outs(struct rig *r, const void *buf, uint32_t width, uint32_t count)
{
	const struct host_fake_range *p = find_port(r, r->base);
	uint32_t calls = 0;

	for (uint32_t done = 0; done < count; calls++)
		done += ((const struct gamut_io_ops *)p->ops)
		                ->write_many(p->opaque, 0, width, (const uint8_t *)buf + done * width,
		                             count - done);
	return calls;
}

static inline uint32_t bm_in(struct rig *r, uint32_t at, uint32_t width)
{
	at += r->base == 0x170 ? 8 : 0;
	return (uint32_t)r->pci.desc.bar[4].ops->read(r->pci.opaque, at, width);
}

static inline void bm_out(struct rig *r, uint32_t at, uint32_t width, uint32_t value)
{
	at += r->base == 0x170 ? 8 : 0;
	r->pci.desc.bar[4].ops->write(r->pci.opaque, at, width, value);
}

/* ---- a driver ---- */

static inline uint8_t reg(struct rig *r, uint32_t n)
{
	return (uint8_t)in(r, r->base + n, 1);
}

static inline void set(struct rig *r, uint32_t n, uint8_t value)
{
	out(r, r->base + n, 1, value);
}

static inline uint8_t alt(struct rig *r)
{
	return (uint8_t)in(r, r->base + 0x206, 1);
}

static inline void control(struct rig *r, uint8_t value)
{
	out(r, r->base + 0x206, 1, value);
}

static inline bool irq(const struct rig *r)
{
	return r->pci.line[r->base == 0x170 ? 15 : 14];
}

static inline uint32_t edges(const struct rig *r)
{
	return r->pci.edges[r->base == 0x170 ? 15 : 14];
}

/* A command and what of it is due at once or on [io]; the interrupt is left as it is. */
static inline void command(struct rig *r, uint8_t code)
{
	set(r, 7, code);
	host_fake_run(r->f);
}

static inline void address28(struct rig *r, uint32_t lba, uint8_t count)
{
	set(r, 6, (uint8_t)(0xe0 | (lba >> 24 & 15)));
	set(r, 2, count);
	set(r, 3, (uint8_t)lba);
	set(r, 4, (uint8_t)(lba >> 8));
	set(r, 5, (uint8_t)(lba >> 16));
}

static inline void address48(struct rig *r, uint64_t lba, uint32_t count)
{
	set(r, 6, 0x40);
	for (int high = 1; high >= 0; high--) {
		set(r, 2, (uint8_t)(count >> 8 * high));
		set(r, 3, (uint8_t)(lba >> 24 * high));
		set(r, 4, (uint8_t)(lba >> (24 * high + 8)));
		set(r, 5, (uint8_t)(lba >> (24 * high + 16)));
	}
}

static inline uint32_t address28_now(struct rig *r)
{
	return reg(r, 3) | (uint32_t)reg(r, 4) << 8 | (uint32_t)reg(r, 5) << 16 |
	       (uint32_t)(reg(r, 6) & 15) << 24;
}

static inline uint64_t address48_now(struct rig *r)
{
	uint64_t low = address28_now(r) & 0xffffff;

	control(r, 0x80);
	low |= (uint64_t)reg(r, 3) << 24 | (uint64_t)reg(r, 4) << 32 | (uint64_t)reg(r, 5) << 40;
	control(r, 0);
	return low;
}

/* The status that ends a command, which takes the interrupt back. */
static inline uint8_t finish(struct rig *r)
{
	host_fake_run(r->f);
	assert_true(irq(r));
	return reg(r, 7);
}

#define EOT 0x80000000u

static inline void prd(struct rig *r, uint32_t n, uint32_t base, uint32_t flags)
{
	memcpy(r->f->ram + PRD + 8 * n, &base, 4);
	memcpy(r->f->ram + PRD + 8 * n + 4, &flags, 4);
}

/* Starts the bus master on the table at PRD. */
static inline void bm_start(struct rig *r, bool to_memory)
{
	bm_out(r, 4, 4, PRD);
	bm_out(r, 2, 1, 6);
	bm_out(r, 0, 1, to_memory ? 8 : 0);
	bm_out(r, 0, 1, to_memory ? 9 : 1);
	host_fake_run(r->f);
}

static inline uint8_t bm_stop(struct rig *r)
{
	uint8_t status = (uint8_t)bm_in(r, 2, 1);

	bm_out(r, 0, 1, 0);
	return status;
}

static inline uint8_t pattern(uint32_t at)
{
	return (uint8_t)(at * 7 + (at >> 9) * 13 + (at >> 17));
}

static inline void fill_pattern(uint8_t *p, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = pattern(at + i);
}

static inline bool is_pattern(const uint8_t *p, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i] != pattern(at + i))
			return false;
	return true;
}

static inline void attach(struct rig *r, uint32_t slot, struct block_fake *b, bool cdrom)
{
	struct ide_drive_config c = {
	        .host = r->f->host, .inst = r->f->inst, .block = b ? &b->block : NULL, .cdrom = cdrom};

	assert_int_equal(ide_attach(r->ide, slot, &c), 0);
}

/* As firmware leaves it. */
static inline void enable(struct rig *r)
{
	pci_fake_config(&r->pci, 4, 2, 5);
	pci_fake_config(&r->pci, 0x40, 2, 0x8000);
	pci_fake_config(&r->pci, 0x42, 2, 0x8000);
}

static inline int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct ide_config c = {
	        .pci = &pci_fake_ops, .pci_self = &r->pci, .irq = &pci_fake_lines, .irq_self = &r->pci};

	r->f = r->pci.host = host_fake_create(RAM, 1);
	c.host = r->f->host;
	c.inst = r->f->inst;
	block_fake_init(&r->disk, DISK);
	block_fake_init(&r->cd, CD);
	r->cd.block.info.readonly = true;
	r->cd.block.info.discard = false;
	fill_pattern(r->disk.data, 0, DISK);
	fill_pattern(r->cd.data, 5, CD);
	r->ide = ide_create(&c);
	assert_non_null(r->ide);
	attach(r, 0, &r->disk, false);
	attach(r, 2, &r->cd, true);
	enable(r);
	r->base = 0x1f0;
	*state = r;
	return 0;
}

/* The same with a back end that has everything at hand. */
static inline int rig_setup_at_once(void **state)
{
	rig_setup(state);
	((struct rig *)*state)->disk.at_once = ((struct rig *)*state)->cd.at_once = true;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		ide_detach(r->ide, i);
	ide_destroy(r->ide);
	assert_int_equal(r->pci.functions, 0);
	assert_int_equal(r->disk.n_refused + r->cd.n_refused, 0);
	assert_int_equal(host_fake_destroy(r->f), 0);
	block_fake_finish(&r->disk);
	block_fake_finish(&r->cd);
	free(r);
	return 0;
}

#define IN_BOTH(t)                                                                                           \
	cmocka_unit_test_setup_teardown(t, rig_setup, rig_teardown),                                         \
	{                                                                                                    \
#t " (at once)", t, rig_setup_at_once, rig_teardown, NULL                                    \
	}
#define IN_RIG(t) cmocka_unit_test_setup_teardown(t, rig_setup, rig_teardown)

#endif
