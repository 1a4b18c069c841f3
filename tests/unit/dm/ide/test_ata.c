/* SPDX-License-Identifier: MIT */
#include "rig.h"

static uint16_t words[256];

static void identify(struct rig *r)
{
	command(r, 0xec);
	assert_int_equal(finish(r), OK | DRQ);
	assert_int_equal(ins(r, words, 2, 256), 1);
	assert_int_equal(reg(r, 7), OK);
}

static void test_identify(void **state)
{
	struct rig *r = *state;
	uint8_t sum = 0, *bytes = (uint8_t *)words;

	set(r, 6, 0xa0);
	identify(r);
	assert_int_equal(words[0], 0x40);
	assert_int_equal(words[3], 16);
	assert_int_equal(words[6], 63);
	assert_int_equal(words[1], DISK / 512 / 1008);
	assert_memory_equal(words + 27, "aGum tidks", 10);
	assert_int_equal(words[60] | words[61] << 16, DISK / 512);
	assert_int_equal(words[100] | words[101] << 16, DISK / 512);
	assert_int_equal(words[83] & 0xc400, 0x4400);
	assert_int_equal(words[106], 0x6003);
	for (int i = 0; i < 512; i++)
		sum = (uint8_t)(sum + bytes[i]);
	assert_int_equal(sum, 0);
	/* Nothing follows. */
	assert_int_equal(in(r, r->base, 2), 0xffff);
}

static void test_capacity_of_two_terabytes(void **state)
{
	struct rig *r = *state;

	r->disk.block.info.capacity = 3ull << 40;
	ide_detach(r->ide, 0);
	attach(r, 0, &r->disk, false);
	identify(r);
	assert_int_equal(words[1], 16383);
	assert_int_equal(words[60] | (uint32_t)words[61] << 16, 0x0fffffff);
	assert_int_equal(words[100] | (uint64_t)words[101] << 16 | (uint64_t)words[102] << 32,
	                 (3ull << 40) / 512);
	set(r, 6, 0xe0);
	command(r, 0x27);
	assert_int_equal(finish(r), OK);
	assert_int_equal(address48_now(r), (3ull << 40) / 512 - 1);
	command(r, 0xf8);
	assert_int_equal(finish(r), OK);
	assert_int_equal(address28_now(r), 0x0fffffff);
	r->disk.block.info.capacity = DISK;
}

/* ---- PIO ---- */

static void read_pio(struct rig *r, uint8_t code, uint32_t lba, uint32_t n, uint32_t block)
{
	static uint8_t buf[256 * 512];
	uint32_t before = edges(r);

	command(r, code);
	for (uint32_t at = 0; at < n; at += block) {
		uint32_t part = n - at < block ? n - at : block;

		assert_int_equal(finish(r), OK | DRQ);
		assert_false(irq(r));
		assert_int_equal(ins(r, buf + at * 512, 2, part * 256), 1);
		host_fake_run(r->f);
	}
	assert_int_equal(alt(r), OK);
	assert_false(irq(r));
	assert_int_equal(edges(r) - before, (n + block - 1) / block);
	assert_true(is_pattern(buf, lba * 512, n * 512));
}

static void test_read_sectors(void **state)
{
	struct rig *r = *state;

	address28(r, 17, 3);
	read_pio(r, 0x20, 17, 3, 1);
	address48(r, 100, 1);
	read_pio(r, 0x24, 100, 1, 1);
	/* 0 is 256: more than the buffer holds. */
	address28(r, 1000, 0);
	read_pio(r, 0x20, 1000, 256, 1);
	assert_true(r->disk.n_log + r->disk.n_at_once < 6);
}

static void test_read_multiple(void **state)
{
	struct rig *r = *state;

	address28(r, 5, 37);
	read_pio(r, 0xc4, 5, 37, 16);
	set(r, 2, 8);
	command(r, 0xc6);
	assert_int_equal(finish(r), OK);
	address48(r, 5, 200);
	read_pio(r, 0x29, 5, 200, 8);
	identify(r);
	assert_int_equal(words[59], 0x108);
	/* 0 turns it off. */
	set(r, 2, 0);
	command(r, 0xc6);
	assert_int_equal(finish(r), OK);
	address28(r, 5, 1);
	command(r, 0xc4);
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(reg(r, 1), 4);
	set(r, 2, 3);
	command(r, 0xc6);
	assert_int_equal(finish(r), OK | ERR);
}

static void test_chs(void **state)
{
	struct rig *r = *state;

	/* cylinder 1, head 2, sector 3 of 16 heads of 63 sectors */
	set(r, 6, 0xa2);
	set(r, 2, 1);
	set(r, 3, 3);
	set(r, 4, 1);
	set(r, 5, 0);
	read_pio(r, 0x20, (1 * 16 + 2) * 63 + 2, 1, 1);
	/* Another translation: 4 heads of 32. */
	set(r, 6, 0xa3);
	set(r, 2, 32);
	command(r, 0x91);
	assert_int_equal(finish(r), OK);
	identify(r);
	assert_int_equal(words[55], 4);
	assert_int_equal(words[56], 32);
	set(r, 6, 0xa2);
	set(r, 2, 1);
	set(r, 3, 3);
	set(r, 4, 1);
	read_pio(r, 0x20, (1 * 4 + 2) * 32 + 2, 1, 1);
	/* Sector 0 does not exist, nor head 5. */
	set(r, 2, 1);
	set(r, 3, 0);
	command(r, 0x20);
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(reg(r, 1), 0x10);
	set(r, 3, 1);
	set(r, 6, 0xa5);
	command(r, 0x70);
	assert_int_equal(finish(r), OK | ERR);
	/* No sectors in a track. */
	set(r, 2, 0);
	command(r, 0x91);
	assert_int_equal(finish(r), OK | ERR);
}

static void write_pio(struct rig *r, uint8_t code, const uint8_t *data, uint32_t n, uint32_t block)
{
	uint32_t before = edges(r);

	command(r, code);
	assert_false(irq(r));
	for (uint32_t at = 0; at < n; at += block) {
		uint32_t part = n - at < block ? n - at : block;

		assert_int_equal(reg(r, 7), OK | DRQ);
		assert_int_equal(outs(r, data + at * 512, 2, part * 256), 1);
		host_fake_run(r->f);
		assert_true(irq(r));
	}
	assert_int_equal(reg(r, 7), OK);
	assert_int_equal(edges(r) - before, (n + block - 1) / block);
}

static void test_write_sectors(void **state)
{
	static uint8_t data[256 * 512];
	struct rig *r = *state;

	fill_pattern(data, 99, sizeof(data));
	address28(r, 64, 2);
	write_pio(r, 0x30, data, 2, 1);
	assert_memory_equal(r->disk.data + 64 * 512, data, 1024);
	address28(r, 512, 0);
	write_pio(r, 0x30, data, 256, 1);
	assert_memory_equal(r->disk.data + 512 * 512, data, sizeof(data));
	address48(r, 2000, 37);
	write_pio(r, 0x39, data, 37, 16);
	assert_memory_equal(r->disk.data + 2000 * 512, data, 37 * 512);
	assert_true(is_pattern(r->disk.data + 2037 * 512, 2037 * 512, 512));
	assert_true(r->disk.n_log + r->disk.n_at_once < 6);
}

static void test_registers_are_wider_than_a_byte(void **state)
{
	struct rig *r = *state;
	uint8_t data[512];

	/* REP INSD, and a sector word by word. */
	address28(r, 9, 2);
	command(r, 0x20);
	assert_int_equal(ins(r, data, 4, 128), 1);
	assert_true(is_pattern(data, 9 * 512, 512));
	for (int i = 0; i < 512; i += 4) {
		uint32_t v = in(r, r->base, 4);

		memcpy(data + i, &v, 4);
	}
	assert_true(is_pattern(data, 10 * 512, 512));
	/* More than there is: ones. */
	address28(r, 9, 1);
	command(r, 0x20);
	ins(r, data, 2, 255);
	assert_int_equal(in(r, r->base, 4) >> 16, 0xffff);
	/* A word to two registers. */
	out(r, r->base + 3, 2, 0x1234);
	assert_int_equal(reg(r, 3), 0x34);
	assert_int_equal(reg(r, 4), 0x12);
	assert_int_equal(in(r, r->base + 3, 2), 0x1234);
}

/* ---- the edges of the address space ---- */

static void expect_error(struct rig *r, uint8_t code, uint8_t error)
{
	command(r, code);
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(reg(r, 1), error);
}

static void test_end_of_disk(void **state)
{
	struct rig *r = *state;

	address28(r, DISK_LAST, 1);
	read_pio(r, 0x20, DISK_LAST, 1, 1);
	address28(r, DISK_LAST - 1, 4);
	expect_error(r, 0x20, 0x10);
	assert_int_equal(address28_now(r), DISK_LAST + 1);
	address48(r, DISK_LAST + 5, 1);
	expect_error(r, 0x34, 0x10);
	assert_int_equal(address48_now(r), DISK_LAST + 5);
	address48(r, 0xffffffffffffull, 0);
	expect_error(r, 0x25, 0x10);
	/* 0 sectors are 65536, more than the disk has. */
	address48(r, 0, 0);
	expect_error(r, 0x25, 0x10);
	assert_int_equal(address48_now(r), DISK_LAST + 1);
	address48(r, DISK_LAST, 2);
	expect_error(r, 0x42, 0x10);
	assert_int_equal(r->disk.n_log + r->disk.n_at_once, 1);
}

static void test_lba48_count_and_high_bytes(void **state)
{
	struct rig *r = *state;

	/* What the high bytes were must not linger in a 28-bit command. */
	address48(r, 0x112233445566ull, 0x0101);
	address28(r, 40, 1);
	read_pio(r, 0x20, 40, 1, 1);
	address48(r, 40, 0x0103);
	command(r, 0x42);
	assert_int_equal(finish(r), OK);
	/* HOB shows what was written before. */
	address48(r, 0x112233445566ull, 0x0102);
	assert_int_equal(reg(r, 3), 0x66);
	control(r, 0x80);
	assert_int_equal(reg(r, 2), 0x01);
	assert_int_equal(reg(r, 3), 0x33);
	assert_int_equal(reg(r, 5), 0x11);
	set(r, 1, 0); /* a write ends it */
	assert_int_equal(reg(r, 3), 0x66);
}

/* ---- errors of the host ---- */

static void test_read_error_at_a_sector(void **state)
{
	struct rig *r = *state;
	uint8_t data[16 * 512];

	r->disk.bad_at = 107 * 512;
	r->disk.bad_len = 512;
	address28(r, 100, 20);
	command(r, 0x20);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(finish(r), OK | DRQ);
		ins(r, data, 2, 256);
		assert_true(is_pattern(data, (uint32_t)(100 + i) * 512, 512));
	}
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(reg(r, 1), 0x40);
	assert_int_equal(address28_now(r), 107);
	/* In blocks of 16: none of the block comes. */
	address48(r, 80, 64);
	command(r, 0x29);
	assert_int_equal(finish(r), OK | DRQ);
	ins(r, data, 2, 16 * 256);
	assert_true(is_pattern(data, 80 * 512, sizeof(data)));
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(address48_now(r), 107);
	address28(r, 0, 200);
	expect_error(r, 0x40, 0x40);
	assert_int_equal(address28_now(r), 107);
}

static void test_write_error_at_a_sector(void **state)
{
	static uint8_t data[64 * 512];
	struct rig *r = *state;

	memset(data, 0xee, sizeof(data));
	r->disk.bad_at = 133 * 512;
	r->disk.bad_len = 512;
	address28(r, 100, 64);
	command(r, 0x30);
	outs(r, data, 2, 64 * 256);
	host_fake_run(r->f);
	assert_int_equal(reg(r, 7), OK | ERR);
	assert_int_equal(reg(r, 1), 0x04);
	assert_int_equal(address28_now(r), 133);
	/* What is before it has been written. */
	assert_memory_equal(r->disk.data + 100 * 512, data, 33 * 512);
	assert_true(is_pattern(r->disk.data + 133 * 512, 133 * 512, 512));
}

static void test_back_end_that_refuses(void **state)
{
	struct rig *r = *state;

	r->disk.refuse = -EIO;
	address28(r, 8, 8);
	expect_error(r, 0x20, 0x40);
	assert_int_equal(address28_now(r), 8);
	expect_error(r, 0xe7, 0x04);
	r->disk.refuse = 0;
}

static void test_readonly(void **state)
{
	struct rig *r = *state;

	r->disk.block.info.readonly = true;
	address28(r, 8, 1);
	expect_error(r, 0x30, 0x04);
	expect_error(r, 0xca, 0x04);
	expect_error(r, 0xc5, 0x04);
	address28(r, 8, 1);
	read_pio(r, 0x20, 8, 1, 1);
	command(r, 0xe7);
	assert_int_equal(finish(r), OK);
	r->disk.block.info.readonly = false;
}

/* ---- durability ---- */

static void write_one(struct rig *r, uint8_t code, uint8_t value)
{
	uint8_t data[512];

	memset(data, value, sizeof(data));
	command(r, code);
	outs(r, data, 2, 256);
	host_fake_run(r->f);
	assert_int_equal(reg(r, 7), OK);
}

static void test_flush(void **state)
{
	struct rig *r = *state;

	address28(r, 3, 1);
	write_one(r, 0x30, 0x11);
	assert_int_not_equal(r->disk.stable[3 * 512], 0x11);
	command(r, 0xe7);
	assert_int_equal(finish(r), OK);
	assert_int_equal(r->disk.stable[3 * 512], 0x11);
	/* FUA */
	address48(r, 4, 1);
	write_one(r, 0xce, 0x22);
	assert_int_equal(r->disk.stable[4 * 512], 0x22);
	/* Without the write cache */
	set(r, 1, 0x82);
	command(r, 0xef);
	assert_int_equal(finish(r), OK);
	identify(r);
	assert_int_equal(words[85] & 0x20, 0);
	address28(r, 5, 1);
	write_one(r, 0x30, 0x33);
	assert_int_equal(r->disk.stable[5 * 512], 0x33);
	set(r, 1, 0x02);
	command(r, 0xef);
	assert_int_equal(finish(r), OK);
	address28(r, 6, 1);
	write_one(r, 0x30, 0x44);
	assert_int_not_equal(r->disk.stable[6 * 512], 0x44);
	command(r, 0xe0);
	assert_int_equal(finish(r), OK);
	assert_int_equal(r->disk.stable[6 * 512], 0x44);
}

static void test_flush_is_not_early(void **state)
{
	struct rig *r = *state;

	r->disk.hold = true;
	command(r, 0xea);
	assert_int_equal(alt(r), BSY);
	assert_false(irq(r));
	/* A busy drive takes no command and no register. */
	set(r, 3, 0x77);
	set(r, 7, 0xec);
	assert_int_equal(alt(r), BSY);
	block_fake_complete(&r->disk);
	assert_int_equal(finish(r), OK);
	assert_int_not_equal(reg(r, 3), 0x77);
	r->disk.hold = false;
	r->disk.fail = -EIO;
	expect_error(r, 0xea, 0x04);
}

/* ---- settings, power, the rest ---- */

static void test_set_features(void **state)
{
	struct rig *r = *state;
	static const uint8_t good[] = {0x00, 0x01, 0x08, 0x0c, 0x20, 0x22, 0x40, 0x45};
	static const uint8_t bad[] = {0x02, 0x0d, 0x10, 0x23, 0x46, 0x48, 0xff};

	for (size_t i = 0; i < sizeof(good); i++) {
		set(r, 1, 3);
		set(r, 2, good[i]);
		command(r, 0xef);
		assert_int_equal(finish(r), OK);
	}
	identify(r);
	assert_int_equal(words[88], 0x203f);
	assert_int_equal(words[63], 0x0007);
	for (size_t i = 0; i < sizeof(bad); i++) {
		set(r, 1, 3);
		set(r, 2, bad[i]);
		expect_error(r, 0xef, 4);
	}
	set(r, 1, 0x05);
	set(r, 2, 0x80);
	command(r, 0xef);
	assert_int_equal(finish(r), OK);
	identify(r);
	assert_int_equal(words[91], 0x80);
	assert_int_equal(words[86] & 8, 8);
	set(r, 1, 0x99);
	expect_error(r, 0xef, 4);
}

static void test_power(void **state)
{
	struct rig *r = *state;

	command(r, 0xe5);
	assert_int_equal(finish(r), OK);
	assert_int_equal(reg(r, 2), 0xff);
	command(r, 0x94);
	assert_int_equal(finish(r), OK);
	command(r, 0xe5);
	finish(r);
	assert_int_equal(reg(r, 2), 0);
	address28(r, 1, 1);
	read_pio(r, 0x20, 1, 1, 1);
	command(r, 0x98);
	finish(r);
	assert_int_equal(reg(r, 2), 0xff);
	/* Asleep it hears nothing but a reset. */
	command(r, 0xe6);
	assert_int_equal(finish(r), OK);
	command(r, 0xec);
	assert_int_equal(alt(r), OK);
	assert_false(irq(r));
	control(r, 4);
	control(r, 0);
	identify(r);
}

static void test_everything_else_is_aborted(void **state)
{
	static const uint8_t known[] = {
	        0x06, 0x10, 0x20, 0x21, 0x24, 0x25, 0x27, 0x29, 0x30, 0x31, 0x34, 0x35, 0x39, 0x3d, 0x40,
	        0x41, 0x42, 0x70, 0x90, 0x91, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0xc4, 0xc5, 0xc6, 0xc8,
	        0xc9, 0xca, 0xcb, 0xce, 0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe6, 0xe7, 0xea, 0xec, 0xef, 0xf8};
	struct rig *r = *state;
	uint32_t n = 0;

	for (uint32_t code = 0; code < 256; code++) {
		if (memchr(known, (int)code, sizeof(known)))
			continue;
		expect_error(r, (uint8_t)code, 4);
		n++;
	}
	assert_int_equal(host_fake_counter(r->f, "commands-aborted"), n);
}

static void test_recalibrate_and_seek(void **state)
{
	struct rig *r = *state;

	command(r, 0x10);
	assert_int_equal(finish(r), OK);
	address28(r, DISK_LAST, 1);
	command(r, 0x70);
	assert_int_equal(finish(r), OK);
	address28(r, DISK_LAST + 1, 1);
	expect_error(r, 0x70, 0x10);
}

/* ---- TRIM ---- */

static void trim(struct rig *r, uint8_t feature, uint32_t units)
{
	set(r, 6, 0xe0);
	set(r, 1, feature);
	set(r, 2, (uint8_t)(units >> 8));
	set(r, 2, (uint8_t)units);
	prd(r, 0, DATA, EOT | units * 512);
	command(r, 0x06);
	bm_start(r, false);
}

static void test_trim(void **state)
{
	struct rig *r = *state;
	uint64_t *range = (uint64_t *)(r->f->ram + DATA);
	uint8_t zero[2048] = {0};

	range[0] = 10 | 4ull << 48;
	range[70] = 20 | 1ull << 48;
	trim(r, 1, 2);
	assert_int_equal(finish(r), OK);
	bm_stop(r);
	assert_memory_equal(r->disk.data + 10 * 512, zero, 2048);
	assert_memory_equal(r->disk.data + 20 * 512, zero, 512);
	assert_true(is_pattern(r->disk.data + 14 * 512, 14 * 512, 6 * 512));
	/* One range that is not on the disk: none is carried out. */
	range[0] = 30 | 1ull << 48;
	range[70] = DISK_LAST | 2ull << 48;
	trim(r, 1, 2);
	assert_int_equal(finish(r), OK | ERR);
	bm_stop(r);
	assert_true(is_pattern(r->disk.data + 30 * 512, 30 * 512, 512));
	/* No other feature, not too many, and none at all. */
	trim(r, 2, 1);
	assert_int_equal(finish(r), OK | ERR);
	trim(r, 1, 9);
	assert_int_equal(finish(r), OK | ERR);
	trim(r, 1, 0);
	assert_int_equal(finish(r), OK | ERR);
	r->disk.block.info.discard = false;
	trim(r, 1, 1);
	assert_int_equal(finish(r), OK | ERR);
	identify(r);
	assert_int_equal(words[169], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        IN_RIG(test_identify),
	        IN_RIG(test_capacity_of_two_terabytes),
	        IN_BOTH(test_read_sectors),
	        IN_BOTH(test_read_multiple),
	        IN_BOTH(test_chs),
	        IN_BOTH(test_write_sectors),
	        IN_BOTH(test_registers_are_wider_than_a_byte),
	        IN_BOTH(test_end_of_disk),
	        IN_BOTH(test_lba48_count_and_high_bytes),
	        IN_BOTH(test_read_error_at_a_sector),
	        IN_BOTH(test_write_error_at_a_sector),
	        IN_RIG(test_back_end_that_refuses),
	        IN_RIG(test_readonly),
	        IN_BOTH(test_flush),
	        IN_RIG(test_flush_is_not_early),
	        IN_RIG(test_set_features),
	        IN_RIG(test_power),
	        IN_RIG(test_everything_else_is_aborted),
	        IN_RIG(test_recalibrate_and_seek),
	        IN_RIG(test_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
