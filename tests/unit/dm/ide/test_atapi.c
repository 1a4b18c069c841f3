/* SPDX-License-Identifier: MIT */
#include "rig.h"

static uint8_t answer[70000];
static uint32_t n_blocks, sizes[256];

static int setup(void **state)
{
	struct rig *r;

	rig_setup(state);
	r = *state;
	r->base = 0x170;
	return 0;
}

static int setup_at_once(void **state)
{
	struct rig *r;

	rig_setup_at_once(state);
	r = *state;
	r->base = 0x170;
	return 0;
}

static void send(struct rig *r, const uint8_t packet[12], uint16_t limit, bool dma)
{
	set(r, 1, dma);
	set(r, 4, (uint8_t)limit);
	set(r, 5, (uint8_t)(limit >> 8));
	command(r, 0xa0);
	assert_false(irq(r));
	assert_int_equal(reg(r, 7), OK | DRQ);
	assert_int_equal(reg(r, 2) & 3, 1);
	assert_int_equal(outs(r, packet, 2, 6), 1);
	host_fake_run(r->f);
}

/* A packet with its data by PIO; the number of bytes, or -1 for CHECK CONDITION. */
static int packet(struct rig *r, const uint8_t *bytes, size_t n, uint16_t limit)
{
	uint8_t whole[12] = {0}, status;
	uint32_t total = 0;

	memcpy(whole, bytes, n);
	send(r, whole, limit, false);
	for (n_blocks = 0;; n_blocks++) {
		uint32_t size;

		status = finish(r);
		if (!(status & DRQ))
			break;
		assert_int_equal(reg(r, 2) & 3, 2);
		size = reg(r, 4) | (uint32_t)reg(r, 5) << 8;
		assert_in_range(size, 1, limit == 0xffff ? 0xfffe : limit);
		sizes[n_blocks % 256] = size;
		ins(r, answer + total, 2, (size + 1) / 2);
		total += size;
	}
	assert_int_equal(reg(r, 2) & 3, 3);
	assert_int_equal(status & DSC, DSC);
	return status & ERR ? -1 : (int)total;
}

#define PACKET(r, limit, ...)                                                                                \
	packet(r, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), limit)

/* key << 16 | code << 8 | qualifier */
static uint32_t sense(struct rig *r)
{
	assert_int_equal(PACKET(r, 64, 0x03, 0, 0, 0, 18), 18);
	assert_int_equal(answer[0], 0x70);
	return (uint32_t)answer[2] << 16 | (uint32_t)answer[12] << 8 | answer[13];
}

static void expect_sense(struct rig *r, uint32_t want)
{
	assert_int_equal(reg(r, 1) >> 4, want >> 16);
	assert_int_equal(sense(r), want);
}

static void ready(struct rig *r)
{
	assert_int_equal(PACKET(r, 0, 0x00), -1);
	expect_sense(r, 0x062900);
	assert_int_equal(PACKET(r, 0, 0x00), 0);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void test_signature(void **state)
{
	struct rig *r = *state;
	uint16_t w[256];

	assert_int_equal(reg(r, 4), 0x14);
	assert_int_equal(reg(r, 5), 0xeb);
	assert_int_equal(alt(r), 0);
	set(r, 4, 0);
	set(r, 5, 0);
	command(r, 0xec);
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(reg(r, 1), 4);
	assert_int_equal(reg(r, 4), 0x14);
	assert_int_equal(reg(r, 5), 0xeb);
	command(r, 0xa1);
	assert_int_equal(finish(r), OK | DRQ);
	ins(r, w, 2, 256);
	assert_int_equal(w[0], 0x85c0);
	assert_int_equal(w[49] & 0x300, 0x300);
	assert_int_equal(alt(r), OK);
	command(r, 0x25);
	assert_int_equal(finish(r), OK | ERR);
}

static void test_attention_after_power_on(void **state)
{
	struct rig *r = *state;

	/* INQUIRY comes before it. */
	assert_int_equal(PACKET(r, 36, 0x12, 0, 0, 0, 36), 36);
	assert_int_equal(answer[0], 5);
	assert_int_equal(answer[1], 0x80);
	assert_memory_equal(answer + 8, "Gamut   ", 8);
	ready(r);
	/* REQUEST SENSE is told of it by itself, too. */
	control(r, 4);
	control(r, 0);
	assert_int_equal(sense(r), 0x062900);
	assert_int_equal(sense(r), 0);
	assert_int_equal(PACKET(r, 0, 0x00), 0);
}

static void test_read(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(PACKET(r, 8, 0x25), 8);
	assert_int_equal(be32(answer), CD / 2048 - 1);
	assert_int_equal(be32(answer + 4), 2048);
	assert_int_equal(PACKET(r, 2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 3), 3 * 2048);
	assert_int_equal(n_blocks, 3);
	assert_true(is_pattern(answer, 5 + 16 * 2048, 3 * 2048));
	/* More than the buffer, in blocks of whole sectors. */
	assert_int_equal(PACKET(r, 0xffff, 0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 34), 34 * 2048);
	assert_int_equal(sizes[0], 31 * 2048);
	assert_true(is_pattern(answer, 5 + 2048, 34 * 2048));
	/* Nothing is no error. */
	assert_int_equal(PACKET(r, 2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 0), 0);
	/* READ CD: user data, or nothing, of any or mode 1 sectors. */
	assert_int_equal(PACKET(r, 4096, 0xbe, 0x08, 0, 0, 0, 7, 0, 0, 1, 0x10), 2048);
	assert_true(is_pattern(answer, 5 + 7 * 2048, 2048));
	assert_int_equal(PACKET(r, 4096, 0xbe, 0, 0, 0, 0, 7, 0, 0, 1, 0), 0);
	assert_int_equal(PACKET(r, 4096, 0xbe, 0x04, 0, 0, 0, 7, 0, 0, 1, 0x10), -1);
	expect_sense(r, 0x056400);
	assert_int_equal(PACKET(r, 4096, 0xbe, 0, 0, 0, 0, 7, 0, 0, 1, 0xf8), -1);
	expect_sense(r, 0x052400);
	assert_int_equal(PACKET(r, 4096, 0xb9, 0, 0, 0, 2, 7, 0, 2, 8, 0x10), 2048);
	assert_true(is_pattern(answer, 5 + 7 * 2048, 2048));
}

static void test_odd_byte_counts(void **state)
{
	struct rig *r = *state;

	ready(r);
	/* An odd limit is rounded down where it is not the end. */
	assert_int_equal(PACKET(r, 1001, 0x28, 0, 0, 0, 0, 3, 0, 0, 1), 2048);
	assert_int_equal(n_blocks, 3);
	assert_int_equal(sizes[0], 1000);
	assert_int_equal(sizes[2], 48);
	assert_true(is_pattern(answer, 5 + 3 * 2048, 2048));
	/* An odd answer: its last word is half of padding. */
	memset(answer, 0xee, sizeof(answer));
	assert_int_equal(PACKET(r, 7, 0x12, 0, 0, 0, 7), 7);
	assert_int_equal(n_blocks, 1);
	assert_int_equal(answer[7], 0);
	assert_int_equal(answer[8], 0xee);
	assert_int_equal(PACKET(r, 4, 0x12, 0, 0, 0, 7), 7);
	assert_int_equal(n_blocks, 2);
	assert_int_equal(sizes[1], 3);
	assert_int_equal(PACKET(r, 100, 0x12, 0, 0, 0, 0), 0);
}

static void test_no_byte_count(void **state)
{
	struct rig *r = *state;
	const uint8_t inquiry[12] = {0x12, 0, 0, 0, 36};

	send(r, inquiry, 0, false);
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(reg(r, 1), 4);
	/* No overlap. */
	set(r, 1, 2);
	command(r, 0xa0);
	assert_int_equal(finish(r), OK | ERR);
}

static void test_dma(void **state)
{
	struct rig *r = *state;
	const uint8_t read[12] = {0x28, 0, 0, 0, 0, 9, 0, 0, 4}, inquiry[12] = {0x12, 0, 0, 0, 36};

	ready(r);
	prd(r, 0, DATA, 3000);
	prd(r, 1, DATA + 0x10000, EOT | (8192 - 3000));
	bm_out(r, 4, 4, PRD);
	send(r, read, 0, true);
	assert_int_equal(alt(r), OK | DRQ);
	assert_int_equal(reg(r, 2) & 3, 2);
	bm_start(r, true);
	assert_int_equal(bm_stop(r), 4);
	assert_int_equal(finish(r), OK);
	assert_int_equal(reg(r, 2) & 3, 3);
	assert_true(is_pattern(r->f->ram + DATA, 5 + 9 * 2048, 3000));
	assert_true(is_pattern(r->f->ram + DATA + 0x10000, 5 + 9 * 2048 + 3000, 8192 - 3000));
	/* An answer is shorter than the memory for it. */
	prd(r, 0, DATA, EOT | 96);
	send(r, inquiry, 0, true);
	bm_start(r, true);
	assert_int_equal(bm_in(r, 2, 1), 5);
	assert_int_equal(finish(r), OK);
	assert_memory_equal(r->f->ram + DATA + 8, "Gamut   ", 8);
	bm_stop(r);
	/* And by two bytes. */
	for (uint32_t i = 0; i < 18; i++)
		prd(r, i, DATA + 4 * i, i == 17 ? EOT | 2 : 2);
	send(r, inquiry, 0, true);
	bm_start(r, true);
	assert_int_equal(bm_stop(r), 4);
	assert_int_equal(finish(r), OK);
	assert_int_equal(r->f->ram[DATA + 4 * 4], 'G');
}

static void test_out_of_range(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(PACKET(r, 2048, 0x28, 0, 0, 0, 1, 255, 0, 0, 1), 2048);
	assert_int_equal(PACKET(r, 2048, 0x28, 0, 0, 0, 1, 255, 0, 0, 2), -1);
	expect_sense(r, 0x052100);
	assert_int_equal(PACKET(r, 2048, 0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), -1);
	expect_sense(r, 0x052100);
	assert_int_equal(PACKET(r, 2048, 0x2b, 0, 0, 0, 2, 0), -1);
	expect_sense(r, 0x052100);
	assert_int_equal(PACKET(r, 2048, 0x2b, 0, 0, 0, 1, 0), 0);
}

static void test_read_error(void **state)
{
	struct rig *r = *state;
	const uint8_t read[12] = {0x28, 0, 0, 0, 0, 0, 0, 0, 8};

	ready(r);
	r->cd.bad_at = 3 * 2048 + 512;
	r->cd.bad_len = 512;
	assert_int_equal(PACKET(r, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 8), -1);
	assert_int_equal(n_blocks, 3);
	assert_true(is_pattern(answer, 5, 3 * 2048));
	expect_sense(r, 0x031100);
	prd(r, 0, DATA, EOT | 16384);
	send(r, read, 0, true);
	bm_start(r, true);
	assert_int_equal(finish(r), OK | ERR);
	assert_int_equal(bm_stop(r), 5);
	expect_sense(r, 0x031100);
}

static void test_toc(void **state)
{
	struct rig *r = *state;
	uint32_t lead_out = CD / 2048 + 150;

	ready(r);
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 0, 0, 0, 0, 0, 0, 0x10, 0), 20);
	assert_memory_equal(answer, "\0\x12\1\1\0\x14\1\0\0\0\0\0\0\x14\xaa\0", 16);
	assert_int_equal(be32(answer + 16), CD / 2048);
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 2, 0, 0, 0, 0, 0xaa, 0x10, 0), 12);
	assert_int_equal(answer[9], lead_out / 75 / 60);
	assert_int_equal(answer[10], lead_out / 75 % 60);
	assert_int_equal(answer[11], lead_out % 75);
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 0, 0, 0, 0, 0, 2, 0x10, 0), -1);
	expect_sense(r, 0x052400);
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 0, 1, 0, 0, 0, 0, 0, 12), 12);
	assert_int_equal(answer[6], 1);
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 0, 2, 0, 0, 0, 0, 0x10, 0), 48);
	assert_int_equal(answer[7], 0xa0);
	assert_int_equal(answer[12], 1);
	assert_int_equal(answer[29], 0xa2);
	assert_int_equal(answer[36], lead_out % 75);
	assert_int_equal(answer[46], 2); /* track 1 at 00:02:00 */
	/* The format as SFF-8020i has it, and one that is not there. */
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40), 12);
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 0, 5, 0, 0, 0, 0, 0, 12), -1);
	/* No more than asked for. */
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 0, 0, 0, 0, 0, 0, 0, 4), 4);
}

static void test_mode_sense(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(PACKET(r, 0xfffe, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128), 8 + 22);
	assert_int_equal(answer[1], 28);
	assert_int_equal(answer[2], 1);
	assert_int_equal(answer[8], 0x2a);
	assert_int_equal(answer[9], 20);
	assert_int_equal(answer[8 + 6], 0x29);
	assert_int_equal(PACKET(r, 0xfffe, 0x1a, 0, 0x3f, 0, 128), 4 + 12 + 22);
	assert_int_equal(answer[4], 1);
	assert_int_equal(answer[16], 0x2a);
	/* Nothing can be changed. */
	assert_int_equal(PACKET(r, 0xfffe, 0x1a, 0, 0x7f, 0, 128), 4 + 12 + 22);
	for (int i = 6; i < 16; i++)
		assert_int_equal(answer[i], 0);
	assert_int_equal(PACKET(r, 0xfffe, 0x1a, 0, 0xc1, 0, 128), -1);
	expect_sense(r, 0x053900);
	assert_int_equal(PACKET(r, 0xfffe, 0x1a, 0, 0x0e, 0, 128), -1);
	expect_sense(r, 0x052400);
}

static void test_configuration(void **state)
{
	struct rig *r = *state;
	int n;

	assert_int_equal(PACKET(r, 0xfffe, 0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8);
	assert_int_equal(answer[7], 8);
	n = PACKET(r, 0xfffe, 0x46, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_int_equal(be32(answer), n - 4);
	assert_int_equal(be32(answer + 8), 0x00000308);
	assert_int_equal(answer[14], 0);
	assert_int_equal(answer[18], 1);
	/* One feature; the current ones; from one on. */
	assert_int_equal(PACKET(r, 0xfffe, 0x46, 2, 0, 3, 0, 0, 0, 1, 0), 16);
	assert_int_equal(answer[12], 0x29);
	assert_int_equal(PACKET(r, 0xfffe, 0x46, 2, 0, 0x77, 0, 0, 0, 1, 0), 8);
	assert_int_equal(PACKET(r, 0xfffe, 0x46, 1, 0, 0, 0, 0, 0, 1, 0), n - 8);
	assert_int_equal(PACKET(r, 0xfffe, 0x46, 0, 1, 0, 0, 0, 0, 1, 0), 12);
	assert_int_equal(PACKET(r, 0xfffe, 0x46, 3, 0, 0, 0, 0, 0, 1, 0), -1);
	expect_sense(r, 0x052400);
}

static void test_a_dvd(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(PACKET(r, 0xfffe, 0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), -1);
	expect_sense(r, 0x053002);
	r->cd.block.info.capacity = 2048ull * 600000;
	ide_detach(r->ide, 2);
	attach(r, 2, &r->cd, true);
	ready(r);
	PACKET(r, 0xfffe, 0x46, 0, 0, 0, 0, 0, 0, 0, 8);
	assert_int_equal(answer[7], 0x10);
	assert_int_equal(PACKET(r, 0xfffe, 0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), 2052);
	assert_int_equal(be32(answer + 4 + 4), 0x30000);
	assert_int_equal(be32(answer + 4 + 8), 0x30000 + 599999);
	r->cd.block.info.capacity = CD;
}

static void test_tray(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(PACKET(r, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	assert_memory_equal(answer, "\0\6\4\x10\0\2\0\0", 8);
	PACKET(r, 8, 0x1e, 0, 0, 0, 1);
	assert_int_equal(PACKET(r, 8, 0x1b, 0, 0, 0, 2), -1);
	expect_sense(r, 0x055302);
	PACKET(r, 8, 0x1e, 0, 0, 0, 0);
	assert_int_equal(PACKET(r, 8, 0x1b, 0, 0, 0, 2), 0);
	assert_int_equal(PACKET(r, 8, 0x00), -1);
	expect_sense(r, 0x023a02);
	assert_int_equal(PACKET(r, 8, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), -1);
	assert_int_equal(PACKET(r, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	assert_memory_equal(answer + 4, "\3\1", 2);
	assert_int_equal(PACKET(r, 8, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8);
	assert_int_equal(answer[1], 0x10);
	assert_int_equal(PACKET(r, 8, 0x1b, 0, 0, 0, 3), 0);
	assert_int_equal(PACKET(r, 8, 0x00), -1);
	expect_sense(r, 0x062800);
	assert_int_equal(PACKET(r, 8, 0x00), 0);
	/* Asynchronous notification there is none. */
	assert_int_equal(PACKET(r, 8, 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), -1);
	expect_sense(r, 0x052400);
	assert_int_equal(PACKET(r, 8, 0x4a, 1, 0, 0, 0x40, 0, 0, 0, 8), 4);
	assert_int_equal(answer[2], 0x80);
}

static void test_empty_drive(void **state)
{
	struct rig *r = *state;

	ide_detach(r->ide, 2);
	attach(r, 2, NULL, true);
	assert_int_equal(PACKET(r, 0, 0x00), -1);
	expect_sense(r, 0x062900);
	assert_int_equal(PACKET(r, 0, 0x00), -1);
	expect_sense(r, 0x023a01);
	assert_int_equal(PACKET(r, 0xfffe, 0x43, 0, 0, 0, 0, 0, 0, 0, 4), -1);
	assert_int_equal(PACKET(r, 0xfffe, 0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8);
	assert_int_equal(answer[7], 0);
	ide_pause(r->ide, 2);
	ide_resume(r->ide, 2);
}

static void test_disc(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(PACKET(r, 0xfffe, 0x51, 0, 0, 0, 0, 0, 0, 0, 64), 34);
	assert_int_equal(answer[2], 0x0e);
	assert_int_equal(PACKET(r, 0xfffe, 0x42, 0, 0, 0, 0, 0, 0, 0, 64), 4);
	assert_int_equal(answer[1], 0x15);
	assert_int_equal(PACKET(r, 0xfffe, 0x42, 0, 0x40, 1, 0, 0, 0, 0, 64), 16);
	assert_int_equal(answer[3], 12);
	assert_int_equal(PACKET(r, 0xfffe, 0x42, 0, 0x40, 4, 0, 0, 0, 0, 64), -1);
	expect_sense(r, 0x052400);
}

static void test_unknown_packets(void **state)
{
	static const uint8_t known[] = {0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x42, 0x43,
	                                0x46, 0x4a, 0x51, 0x5a, 0xa8, 0xad, 0xb9, 0xbb, 0xbd, 0xbe};
	struct rig *r = *state;

	ready(r);
	for (uint32_t op = 0; op < 256; op++) {
		if (memchr(known, (int)op, sizeof(known)))
			continue;
		assert_int_equal(PACKET(r, 64, (uint8_t)op), -1);
		expect_sense(r, 0x052000);
	}
}

static void test_device_reset(void **state)
{
	struct rig *r = *state;
	const uint8_t read[12] = {0x28, 0, 0, 0, 0, 0, 0, 0, 8};

	ready(r);
	r->cd.hold = true;
	send(r, read, 2048, false);
	assert_int_equal(alt(r), BSY);
	set(r, 7, 0x08);
	assert_int_equal(alt(r), BSY);
	block_fake_complete(&r->cd);
	assert_int_equal(alt(r), 0);
	assert_false(irq(r));
	assert_int_equal(reg(r, 4), 0x14);
	r->cd.hold = false;
	assert_int_equal(PACKET(r, 2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 3), 3 * 2048);
	/* In the middle of its data. */
	send(r, read, 2048, false);
	assert_int_equal(finish(r), OK | DRQ);
	set(r, 7, 0x08);
	assert_int_equal(alt(r), 0);
	assert_int_equal(in(r, 0x170, 2), 0xffff);
}

#define IN_CD(t) cmocka_unit_test_setup_teardown(t, setup, rig_teardown)
#define IN_BOTH_CD(t)                                                                                        \
	IN_CD(t),                                                                                            \
	{                                                                                                    \
#t " (at once)", t, setup_at_once, rig_teardown, NULL                                        \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        IN_CD(test_signature),     IN_CD(test_attention_after_power_on),
	        IN_BOTH_CD(test_read),     IN_BOTH_CD(test_odd_byte_counts),
	        IN_CD(test_no_byte_count), IN_BOTH_CD(test_dma),
	        IN_CD(test_out_of_range),  IN_BOTH_CD(test_read_error),
	        IN_CD(test_toc),           IN_CD(test_mode_sense),
	        IN_CD(test_configuration), IN_CD(test_a_dvd),
	        IN_CD(test_tray),          IN_CD(test_empty_drive),
	        IN_CD(test_disc),          IN_CD(test_unknown_packets),
	        IN_CD(test_device_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
