/* SPDX-License-Identifier: MIT */
#include "rig.h"

enum { ACTIVE = 1, ERROR = 2, INTR = 4 };

static uint8_t *ram(struct rig *r, uint32_t at)
{
	return r->f->ram + at;
}

static void test_read(void **state)
{
	struct rig *r = *state;

	address28(r, 40, 8);
	prd(r, 0, DATA, EOT | 4096);
	command(r, 0xc8);
	assert_int_equal(alt(r), OK | DRQ);
	assert_false(irq(r));
	bm_start(r, true);
	assert_true(irq(r));
	assert_int_equal(bm_stop(r), INTR);
	assert_int_equal(reg(r, 7), OK);
	assert_false(irq(r));
	assert_true(is_pattern(ram(r, DATA), 40 * 512, 4096));
	assert_int_equal(r->f->dirtied, 4096);
	assert_int_equal(r->f->gets, 0);
	assert_int_equal(edges(r), 1);
	/* The bit stays until it is cleared. */
	assert_int_equal(bm_in(r, 2, 1), INTR);
	bm_out(r, 2, 1, INTR);
	assert_int_equal(bm_in(r, 2, 1), 0);
}

static void test_bus_master_first(void **state)
{
	struct rig *r = *state;

	address48(r, 4000, 8);
	prd(r, 0, DATA, EOT | 4096);
	bm_start(r, true);
	assert_int_equal(bm_in(r, 2, 1), ACTIVE);
	command(r, 0x25);
	assert_int_equal(bm_stop(r), INTR);
	assert_true(is_pattern(ram(r, DATA), 4000 * 512, 4096));
}

static void test_write_scattered(void **state)
{
	struct rig *r = *state;
	uint8_t want[4096];

	/* Regions that split sectors, out of order in memory, one of two bytes. */
	fill_pattern(want, 77, sizeof(want));
	memcpy(ram(r, DATA + 8192), want, 700);
	memcpy(ram(r, DATA), want + 700, 2);
	memcpy(ram(r, DATA + 3), want + 702, 0);
	memcpy(ram(r, DATA + 20000), want + 702, 3394);
	prd(r, 0, DATA + 8192, 700);
	prd(r, 1, DATA, 2);
	prd(r, 2, DATA + 20000, EOT | 3394);
	address28(r, 200, 8);
	command(r, 0xca);
	bm_start(r, false);
	assert_int_equal(bm_stop(r), INTR);
	assert_int_equal(finish(r), OK);
	assert_memory_equal(r->disk.data + 200 * 512, want, sizeof(want));
	assert_int_equal(r->f->dirtied, 0);
}

static void test_write_fua(void **state)
{
	struct rig *r = *state;

	memset(ram(r, DATA), 0x5a, 512);
	prd(r, 0, DATA, EOT | 512);
	address48(r, 7, 1);
	command(r, 0x3d);
	bm_start(r, false);
	assert_int_equal(bm_stop(r), INTR);
	assert_int_equal(r->disk.stable[7 * 512], 0x5a);
}

/* The whole of a region of 64 KiB, and more than one request to the host. */
static void test_large(void **state)
{
	struct rig *r = *state;
	uint32_t n = 3 << 20;

	for (uint32_t i = 0; i < n / 0x10000; i++)
		prd(r, i, DATA + i * 0x10000, i == n / 0x10000 - 1 ? EOT : 0);
	address48(r, 16, n / 512);
	command(r, 0x25);
	bm_start(r, true);
	assert_int_equal(bm_stop(r), INTR);
	assert_true(is_pattern(ram(r, DATA), 16 * 512, n));
	memset(ram(r, DATA), 0x3c, n);
	address48(r, 8, n / 512);
	command(r, 0x35);
	bm_start(r, false);
	assert_int_equal(finish(r), OK);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(r->disk.data[8 * 512 + i], 0x3c);
}

/* Two bytes each: a sector takes 256 of them, and the table wraps in its 64 KiB. */
static void test_tiny_regions(void **state)
{
	struct rig *r = *state;
	uint32_t table = 0x2ff00, n = 16 * 512 / 2;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (table & 0xffff0000) | ((table + 8 * i) & 0xffff), base = DATA + 4 * i,
		         flags = 2;

		if (i == n - 1)
			flags |= EOT;
		memcpy(ram(r, at), &base, 4);
		memcpy(ram(r, at + 4), &flags, 4);
	}
	address28(r, 1, 16);
	command(r, 0xc8);
	bm_out(r, 4, 4, table | 3);
	assert_int_equal(bm_in(r, 4, 4), table);
	bm_out(r, 0, 1, 9);
	host_fake_run(r->f);
	assert_int_equal(finish(r), OK);
	assert_int_equal(bm_stop(r), INTR);
	for (uint32_t i = 0; i < 2 * n; i++)
		assert_int_equal(ram(r, DATA)[i / 2 * 4 + i % 2], pattern(512 + i));
	for (uint32_t i = 0; i < 2 * n; i++)
		ram(r, DATA)[i / 2 * 4 + i % 2] ^= 0xff;
	address28(r, 1, 16);
	command(r, 0xca);
	bm_out(r, 0, 1, 1);
	host_fake_run(r->f);
	assert_int_equal(finish(r), OK);
	for (uint32_t i = 0; i < 2 * n; i++)
		assert_int_equal(r->disk.data[512 + i], (uint8_t)~pattern(512 + i));
}

static void test_overlapping_regions(void **state)
{
	struct rig *r = *state;

	prd(r, 0, DATA, 1024);
	prd(r, 1, DATA, 1024);
	prd(r, 2, PRD, EOT | 512); /* over the table itself */
	address28(r, 10, 5);
	command(r, 0xc8);
	bm_start(r, true);
	assert_int_equal(finish(r), OK);
	assert_int_equal(bm_stop(r), INTR);
	assert_true(is_pattern(ram(r, PRD), 14 * 512, 512));
}

/* ---- the four ends ---- */

static void test_regions_too_long(void **state)
{
	struct rig *r = *state;

	prd(r, 0, DATA, 4096);
	prd(r, 1, DATA + 0x10000, EOT | 4096);
	memset(ram(r, DATA + 512), 0xcc, 512);
	address28(r, 10, 1);
	command(r, 0xc8);
	bm_start(r, true);
	assert_int_equal(bm_in(r, 2, 1), INTR | ACTIVE);
	assert_int_equal(finish(r), OK);
	assert_int_equal(ram(r, DATA)[512], 0xcc);
	assert_int_equal(bm_stop(r), INTR | ACTIVE);
	assert_int_equal(bm_in(r, 2, 1), INTR);
}

static void test_regions_too_short(void **state)
{
	struct rig *r = *state;

	memset(ram(r, DATA), 0xcc, 4096);
	prd(r, 0, DATA, EOT | 700);
	address28(r, 10, 4);
	command(r, 0xc8);
	bm_start(r, true);
	assert_int_equal(bm_in(r, 2, 1), 0);
	assert_false(irq(r));
	assert_int_equal(alt(r), OK | DRQ);
	assert_true(is_pattern(ram(r, DATA), 10 * 512, 700));
	assert_int_equal(ram(r, DATA)[700], 0xcc);
	bm_stop(r);
	/* The drive waits; another table takes up where that one ended. */
	prd(r, 0, DATA + 700, EOT | (2048 - 700));
	bm_start(r, true);
	assert_int_equal(bm_in(r, 2, 1), INTR);
	assert_int_equal(finish(r), OK);
	assert_true(is_pattern(ram(r, DATA), 10 * 512, 2048));
}

static void test_regions_too_short_for_a_write(void **state)
{
	struct rig *r = *state;

	fill_pattern(ram(r, DATA), 321, 2048);
	prd(r, 0, DATA, EOT | 100);
	address28(r, 10, 4);
	command(r, 0xca);
	bm_start(r, false);
	assert_int_equal(bm_in(r, 2, 1), 0);
	assert_true(is_pattern(r->disk.data + 10 * 512, 10 * 512, 512));
	bm_stop(r);
	memset(ram(r, DATA), 0, 100);
	prd(r, 0, DATA + 100, EOT | 1000);
	bm_start(r, false);
	bm_stop(r);
	memset(ram(r, DATA), 0, 1100);
	assert_true(is_pattern(r->disk.data + 10 * 512, 321, 1024));
	assert_true(is_pattern(r->disk.data + 12 * 512, 12 * 512, 1024));
	prd(r, 0, DATA + 1100, EOT | 948);
	bm_start(r, false);
	assert_int_equal(bm_in(r, 2, 1), INTR);
	assert_int_equal(finish(r), OK);
	assert_true(is_pattern(r->disk.data + 10 * 512, 321, 2048));
}

static void fault(struct rig *r, uint32_t base, uint32_t flags)
{
	uint32_t before = edges(r);

	address28(r, 10, 4);
	prd(r, 0, DATA, 1024);
	prd(r, 1, base, flags);
	command(r, 0xc8);
	bm_start(r, true);
	assert_int_equal(bm_in(r, 2, 1), ERROR);
	assert_int_equal(edges(r), before);
	assert_true(is_pattern(ram(r, DATA), 10 * 512, 1024));
	assert_int_equal(r->f->gets, 0);
	bm_stop(r);
	bm_out(r, 2, 1, ERROR);
	assert_int_equal(bm_in(r, 2, 1), 0);
	control(r, 4);
	control(r, 0);
	assert_int_equal(alt(r), OK);
}

static void test_bad_regions(void **state)
{
	struct rig *r = *state;

	fault(r, 0xfee00000, EOT | 1024);
	fault(r, RAM, EOT | 1024);
	fault(r, RAM - 512, EOT | 1024);
	fault(r, 0xfffffffe, EOT);
	/* A region must not cross a 64 KiB boundary. */
	fault(r, DATA + 0xfffe, EOT | 1024);
	fault(r, DATA + 2, EOT);
	assert_int_equal(host_fake_counter(r->f, "dma-errors"), 6);
}

static void test_bad_table(void **state)
{
	struct rig *r = *state;

	address28(r, 10, 4);
	command(r, 0xc8);
	bm_out(r, 4, 4, 0xfffffff8);
	bm_out(r, 0, 1, 9);
	host_fake_run(r->f);
	assert_int_equal(bm_stop(r), ERROR);
	/* A table that leads into itself for ever ends with the command. */
	bm_out(r, 2, 1, ERROR);
	for (uint32_t i = 0; i < 8192; i++) {
		uint32_t base = DATA, flags = 2;

		memcpy(ram(r, 0x20000 + 8 * i), &base, 4);
		memcpy(ram(r, 0x20000 + 8 * i + 4), &flags, 4);
	}
	address48(r, 0, 8192);
	command(r, 0x25);
	bm_out(r, 4, 4, 0x20000);
	bm_out(r, 0, 1, 9);
	host_fake_run(r->f);
	assert_int_equal(finish(r), OK);
	assert_int_equal(bm_stop(r), INTR | ACTIVE);
}

static void test_direction(void **state)
{
	struct rig *r = *state;

	prd(r, 0, DATA, EOT | 512);
	address28(r, 10, 1);
	command(r, 0xc8);
	bm_start(r, false);
	assert_int_equal(bm_in(r, 2, 1), ACTIVE);
	assert_int_equal(alt(r), OK | DRQ);
	bm_stop(r);
	bm_start(r, true);
	assert_int_equal(finish(r), OK);
}

static void test_bus_mastering_off(void **state)
{
	struct rig *r = *state;

	pci_fake_config(&r->pci, 4, 2, 1);
	prd(r, 0, DATA, EOT | 512);
	address28(r, 10, 1);
	command(r, 0xc8);
	bm_start(r, true);
	assert_int_equal(bm_in(r, 2, 1), ACTIVE);
	assert_false(irq(r));
	pci_fake_config(&r->pci, 4, 2, 5);
	host_fake_run(r->f);
	assert_int_equal(bm_in(r, 2, 1), INTR);
	assert_int_equal(finish(r), OK);
	assert_true(is_pattern(ram(r, DATA), 10 * 512, 512));
}

/* ---- errors of the host ---- */

static void test_read_error(void **state)
{
	struct rig *r = *state;

	r->disk.bad_at = 1033 * 512;
	r->disk.bad_len = 1;
	prd(r, 0, DATA, 700);
	prd(r, 1, DATA + 700, EOT | 0xf000);
	address28(r, 1000, 100);
	command(r, 0xc8);
	bm_start(r, true);
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(reg(r, 1), 0x40);
	assert_int_equal(address28_now(r), 1033);
	assert_true(is_pattern(ram(r, DATA), 1000 * 512, 33 * 512));
	assert_int_equal(bm_stop(r), INTR | ACTIVE);
	assert_int_equal(r->f->gets, 0);
}

static void test_write_error(void **state)
{
	struct rig *r = *state;

	r->disk.bad_at = 1033 * 512;
	r->disk.bad_len = 1;
	fill_pattern(ram(r, DATA), 3, 100 * 512);
	prd(r, 0, DATA, 700);
	prd(r, 1, DATA + 700, EOT | 0xf000);
	address48(r, 1000, 100);
	command(r, 0x35);
	bm_start(r, false);
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(reg(r, 1), 0x04);
	assert_int_equal(address48_now(r), 1033);
	assert_true(is_pattern(r->disk.data + 1000 * 512, 3, 33 * 512));
	assert_true(is_pattern(r->disk.data + 1033 * 512, 1033 * 512, 512));
}

/* ---- in the middle ---- */

static void test_reset_in_flight(void **state)
{
	struct rig *r = *state;

	r->disk.hold = true;
	prd(r, 0, DATA, EOT | 4096);
	address28(r, 40, 8);
	command(r, 0xc8);
	bm_start(r, true);
	assert_int_equal(r->disk.in_flight, 1);
	control(r, 4);
	assert_int_equal(alt(r), BSY);
	control(r, 0);
	/* Busy until the host has let go of the guest's memory. */
	assert_int_equal(alt(r), BSY);
	assert_int_not_equal(r->f->gets, 0);
	block_fake_complete(&r->disk);
	assert_int_equal(r->f->gets, 0);
	assert_int_equal(alt(r), OK);
	assert_false(irq(r));
	assert_int_equal(reg(r, 1), 1);
	assert_int_equal(reg(r, 2), 1);
	assert_int_equal(reg(r, 4), 0);
	/* It works as before. */
	r->disk.hold = false;
	bm_stop(r);
	address28(r, 48, 8);
	command(r, 0xc8);
	bm_start(r, true);
	assert_int_equal(finish(r), OK);
	assert_true(is_pattern(ram(r, DATA), 48 * 512, 4096));
}

static void test_pause_in_flight(void **state)
{
	struct rig *r = *state;
	uint32_t n = 3 << 20;

	r->disk.hold = true;
	for (uint32_t i = 0; i < n / 0x10000; i++)
		prd(r, i, DATA + i * 0x10000, i == n / 0x10000 - 1 ? EOT : 0);
	address48(r, 0, n / 512);
	command(r, 0x25);
	bm_start(r, true);
	assert_int_equal(r->disk.in_flight, 1);
	ide_pause(r->ide, 0);
	assert_int_equal(r->disk.in_flight, 0);
	assert_int_equal(r->f->gets, 0);
	assert_false(irq(r));
	host_fake_run(r->f);
	assert_int_equal(r->disk.in_flight, 0);
	r->disk.hold = false;
	ide_resume(r->ide, 0);
	host_fake_run(r->f);
	assert_int_equal(finish(r), OK);
	assert_true(is_pattern(ram(r, DATA), 0, n));
}

/* The request is still queued when the domain pauses, and then it is reset. */
static void test_pause_and_reset(void **state)
{
	struct rig *r = *state;

	prd(r, 0, DATA, EOT | 4096);
	address28(r, 40, 8);
	command(r, 0xc8);
	bm_out(r, 4, 4, PRD);
	bm_out(r, 0, 1, 9);
	assert_int_equal(alt(r), BSY);
	ide_pause(r->ide, 0);
	ide_pause(r->ide, 2);
	assert_int_equal(r->f->gets, 0);
	memset(r->pci.config, 0, sizeof(r->pci.config));
	ide_reset(r->ide);
	assert_false(irq(r));
	ide_resume(r->ide, 0);
	ide_resume(r->ide, 2);
	host_fake_run(r->f);
	/* As at power-on: nothing is decoded before firmware says so. */
	assert_int_equal(alt(r), 0xff);
	enable(r);
	assert_int_equal(bm_in(r, 0, 4), 0);
	assert_int_equal(bm_in(r, 4, 4), 0);
	assert_int_equal(alt(r), OK);
	assert_int_equal(reg(r, 1), 1);
}

static void test_new_command_over_dma(void **state)
{
	struct rig *r = *state;

	address28(r, 40, 8);
	command(r, 0xc8);
	command(r, 0xe5);
	assert_int_equal(finish(r), OK);
	prd(r, 0, DATA, EOT | 4096);
	bm_start(r, true);
	assert_int_equal(bm_stop(r), ACTIVE);
}

static void test_second_channel(void **state)
{
	struct rig *r = *state;

	attach(r, 3, &r->disk, false);
	r->base = 0x170;
	prd(r, 0, DATA, EOT | 512);
	address28(r, 12, 1);
	set(r, 6, 0xf0);
	command(r, 0xc8);
	bm_start(r, true);
	assert_true(r->pci.line[15]);
	assert_false(r->pci.line[14]);
	assert_int_equal(bm_stop(r), INTR);
	assert_int_equal(finish(r), OK);
	assert_true(is_pattern(ram(r, DATA), 12 * 512, 512));
	/* Of the first nothing has changed; software's bits are held. */
	r->base = 0x1f0;
	assert_int_equal(bm_in(r, 0, 4), 0);
	bm_out(r, 2, 1, 0xff);
	assert_int_equal(bm_in(r, 2, 1), 0x60);
	bm_out(r, 1, 1, 0xff);
	bm_out(r, 3, 1, 0xff);
	assert_int_equal(bm_in(r, 0, 4), 0x600000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        IN_BOTH(test_read),
	        IN_BOTH(test_bus_master_first),
	        IN_BOTH(test_write_scattered),
	        IN_BOTH(test_write_fua),
	        IN_BOTH(test_large),
	        IN_BOTH(test_tiny_regions),
	        IN_BOTH(test_overlapping_regions),
	        IN_BOTH(test_regions_too_long),
	        IN_BOTH(test_regions_too_short),
	        IN_BOTH(test_regions_too_short_for_a_write),
	        IN_BOTH(test_bad_regions),
	        IN_BOTH(test_bad_table),
	        IN_BOTH(test_direction),
	        IN_BOTH(test_bus_mastering_off),
	        IN_BOTH(test_read_error),
	        IN_BOTH(test_write_error),
	        IN_RIG(test_reset_in_flight),
	        IN_RIG(test_pause_in_flight),
	        IN_RIG(test_pause_and_reset),
	        IN_RIG(test_new_command_over_dma),
	        IN_BOTH(test_second_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
