/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dm/pc/vga.h"
#include "fake/isa-rig.h"

#define SEQ 0x3c4u
#define GFX 0x3ceu
#define CRTC 0x3d4u

struct rig {
	struct host_fake *f;
	struct vga v;
	struct gamut_text_screen screen;
	struct gamut_text_cell cells[132 * 60];
	uint32_t n;
};

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, 1);
	/* As in a PC: no RAM below the VGA's window. */
	assert_int_equal(r->f->host->mem_release(r->f->inst, VGA_WINDOW, VGA_WINDOW_SIZE), 0);
	assert_int_equal(vga_init(&r->v, r->f->host, r->f->inst), 0);
	assert_int_equal(vga_register(&r->v), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vga_finish(&r->v);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
	return 0;
}

/* ---- as the guest ---- */

static void out_index(struct rig *r, uint32_t port, uint8_t index, uint8_t value)
{
	isa_rig_out(r->f, (uint16_t)port, 2, (uint64_t)value << 8 | index);
}

static uint8_t in_index(struct rig *r, uint32_t port, uint8_t index)
{
	outb(r->f, (uint16_t)port, index);
	return inb(r->f, (uint16_t)(port + 1));
}

static void out_attr(struct rig *r, uint8_t index, uint8_t value)
{
	inb(r->f, 0x3da);
	outb(r->f, 0x3c0, index);
	outb(r->f, 0x3c0, value);
}

/* Memory as the guest has it: a mapped page, or an exit. */
static bool is_mapped(struct rig *r, uint64_t gpa)
{
	uint8_t byte;

	return !r->f->host->mem_read(r->f->inst, gpa, &byte, 1);
}

static uint64_t mem_read(struct rig *r, uint64_t gpa, uint32_t width)
{
	uint64_t value = 0;

	if (!r->f->host->mem_read(r->f->inst, gpa, &value, width))
		return value;
	return vga_memory_ops.read(&r->v, gpa - VGA_WINDOW, width);
}

static void mem_write(struct rig *r, uint64_t gpa, uint32_t width, uint64_t value)
{
	if (r->f->host->mem_write(r->f->inst, gpa, &value, width))
		vga_memory_ops.write(&r->v, gpa - VGA_WINDOW, width, value);
}

/* Mode 3 as the IBM's BIOS sets it: 80 x 25 of 9 x 16 dots. */
static void text_mode(struct rig *r)
{
	static const uint8_t crtc[25] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
		                          0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
	static const uint8_t seq[5] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
	static const uint8_t gfx[9] = { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x00, 0xff };
	static const uint8_t attr[21] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
		                          0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00 };

	outb(r->f, 0x3c2, 0x67);
	for (uint8_t i = 0; i < 5; i++)
		out_index(r, SEQ, i, seq[i]);
	out_index(r, CRTC, 0x11, 0);
	for (uint8_t i = 0; i < 25; i++)
		out_index(r, CRTC, i, crtc[i]);
	for (uint8_t i = 0; i < 9; i++)
		out_index(r, GFX, i, gfx[i]);
	for (uint8_t i = 0; i < 21; i++)
		out_attr(r, i, attr[i]);
	outb(r->f, 0x3c0, 0x20);
	outb(r->f, 0x3c6, 0xff);
	outb(r->f, 0x3c8, 0);
	for (int i = 0; i < 64; i++) {
		/* The EGA's colours: two bits of each, the lower ones in bits 5-3. */
		outb(r->f, 0x3c9, (uint8_t)((i >> 2 & 1) * 42 + (i >> 5 & 1) * 21));
		outb(r->f, 0x3c9, (uint8_t)((i >> 1 & 1) * 42 + (i >> 4 & 1) * 21));
		outb(r->f, 0x3c9, (uint8_t)((i & 1) * 42 + (i >> 3 & 1) * 21));
	}
}

static void planar_mode(struct rig *r)
{
	text_mode(r);
	out_index(r, SEQ, 2, 0x0f);
	out_index(r, SEQ, 4, 0x06);
	out_index(r, GFX, 5, 0x00);
	out_index(r, GFX, 6, 0x05);
	out_index(r, GFX, 7, 0x0f);
}

static void look(struct rig *r)
{
	r->screen.size = sizeof(r->screen);
	r->n = vga_text_screen_ops.look(&r->v, &r->screen, r->cells, sizeof(r->cells) / sizeof(r->cells[0]));
}

static const struct gamut_text_cell *cell(struct rig *r, uint32_t row, uint32_t column)
{
	return &r->cells[row * r->screen.columns + column];
}

/* Enough accesses for the pages to be mapped. */
static void warm_up(struct rig *r)
{
	for (int i = 0; i < 100; i++)
		mem_read(r, 0xb8000, 2);
	assert_true(is_mapped(r, 0xb8000));
}

/* ---- registers ---- */

static void before_any_bios(void **state)
{
	struct rig *r = *state;

	assert_int_equal(inb(r->f, 0x3cc), 0);
	assert_int_equal(inb(r->f, 0x3d4), 0xff); /* the CRT controller is at 0x3b4 */
	assert_int_equal(inb(r->f, 0x3b4), 0);
	assert_int_equal(mem_read(r, 0xb8000, 4), 0xffffffff);
	look(r);
	assert_int_equal(r->screen.blank, 1);
}

static void registers_keep_their_bits(void **state)
{
	static const uint8_t seq[5] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
	static const uint8_t gfx[9] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
	struct rig *r = *state;

	text_mode(r);
	for (uint8_t i = 0; i < 5; i++) {
		out_index(r, SEQ, i, 0xff);
		assert_int_equal(in_index(r, SEQ, i), seq[i]);
	}
	for (uint8_t i = 0; i < 9; i++) {
		out_index(r, GFX, i, 0xff);
		assert_int_equal(in_index(r, GFX, i), gfx[i]);
	}
	assert_int_equal(in_index(r, GFX, 9), 0);
	assert_int_equal(inb(r->f, GFX), 9);
	assert_int_equal(inb(r->f, 0x3cc), 0x67);
	assert_int_equal(inb(r->f, 0x3c3), 1);
	assert_int_equal(in_index(r, CRTC, 0x40), 0);
}

static void the_crtc_is_where_misc_says(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	out_index(r, CRTC, 0x0e, 0x12);
	assert_int_equal(inb(r->f, 0x3b5), 0xff);
	outb(r->f, 0x3c2, 0x66);
	assert_int_equal(inb(r->f, 0x3d5), 0xff);
	assert_int_equal(in_index(r, 0x3b4, 0x0e), 0x12);
	assert_int_equal(inb(r->f, 0x3ba) & 0xf6, 0);
}

static void write_protection(void **state)
{
	struct rig *r = *state;

	text_mode(r); /* register 11 ends with bit 7 set */
	out_index(r, CRTC, 0, 0x11);
	assert_int_equal(in_index(r, CRTC, 0), 0x5f);
	out_index(r, CRTC, 7, 0x00);
	assert_int_equal(in_index(r, CRTC, 7), 0x0f);
	out_index(r, CRTC, 0x11, 0x0e);
	out_index(r, CRTC, 0, 0x11);
	assert_int_equal(in_index(r, CRTC, 0), 0x11);
}

static void attribute_flip_flop(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	inb(r->f, 0x3da);
	assert_int_equal(in_index(r, CRTC, 0x24), 0);
	outb(r->f, 0x3c0, 0x33);
	assert_int_equal(in_index(r, CRTC, 0x24), 0x80);
	outb(r->f, 0x3c0, 0x0a);
	assert_int_equal(inb(r->f, 0x3c1), 0x0a);
	assert_int_equal(inb(r->f, 0x3c0), 0x33);
	outb(r->f, 0x3c0, 0x34);
	inb(r->f, 0x3da);
	outb(r->f, 0x3c0, 0x33);
	assert_int_equal(inb(r->f, 0x3c1), 0x0a);
	outb(r->f, 0x3c0, 0x05);
	assert_int_equal(inb(r->f, 0x3c1), 0x05);
}

static void dac(void **state)
{
	struct rig *r = *state;

	outb(r->f, 0x3c8, 254);
	for (int i = 0; i < 9; i++)
		outb(r->f, 0x3c9, (uint8_t)(i * 30));
	assert_int_equal(inb(r->f, 0x3c7), 0);
	assert_int_equal(inb(r->f, 0x3c8), 1);
	outb(r->f, 0x3c7, 254);
	assert_int_equal(inb(r->f, 0x3c7), 3);
	for (int i = 0; i < 9; i++)
		assert_int_equal(inb(r->f, 0x3c9), i * 30 & 0x3f);
	/* An entry that is not complete does not count. */
	outb(r->f, 0x3c8, 7);
	outb(r->f, 0x3c9, 63);
	outb(r->f, 0x3c7, 7);
	assert_int_equal(inb(r->f, 0x3c9), 0);
	outb(r->f, 0x3c6, 0x0f);
	assert_int_equal(inb(r->f, 0x3c6), 0x0f);
}

static void retrace_moves_with_domain_time(void **state)
{
	struct rig *r = *state;
	uint32_t frames = 0, hidden = 0, n = 0;
	uint8_t before = 0;

	text_mode(r);
	assert_int_equal(inb(r->f, 0x3da), inb(r->f, 0x3da));
	for (uint64_t t = 0; t < 1000000000; t += 10000, n++) {
		uint8_t now = inb(r->f, 0x3da);

		frames += now & 8 && !(before & 8);
		hidden += now & 1;
		assert_int_equal(now & 9 & ~(now & 8 ? 9 : 1), 0);
		if (now & 8)
			assert_int_equal(now & 1, 1);
		before = now;
		host_fake_advance(r->f, 10000);
	}
	assert_in_range(frames, 69, 71);
	/* 400 of 449 lines, 80 of 100 characters are seen. */
	assert_in_range(hidden * 1000 / n, 250, 320);
}

static void switched_off(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	outb(r->f, 0x3c3, 0);
	assert_int_equal(inb(r->f, 0x3cc), 0xff);
	assert_int_equal(mem_read(r, 0xb8000, 1), 0xff);
	outb(r->f, 0x3c3, 1);
	assert_int_equal(inb(r->f, 0x3cc), 0x67);
	vga_decode(&r->v, 0, 1);
	assert_int_equal(inb(r->f, 0x3cc), 0xff);
	vga_decode(&r->v, 1, 0);
	assert_int_equal(inb(r->f, 0x3cc), 0x67);
	assert_int_equal(mem_read(r, 0xb8000, 1), 0xff);
}

/* ---- memory ---- */

static void address_maps(void **state)
{
	static const struct {
		uint8_t misc;
		uint32_t first, last;
	} maps[4] = { { 0x01, 0xa0000, 0xbffff }, { 0x05, 0xa0000, 0xaffff }, { 0x09, 0xb0000, 0xb7fff },
		      { 0x0d, 0xb8000, 0xbffff } };
	struct rig *r = *state;

	planar_mode(r);
	for (int i = 0; i < 4; i++) {
		out_index(r, GFX, 6, maps[i].misc);
		mem_write(r, maps[i].first, 1, 0x11);
		mem_write(r, maps[i].last, 1, 0x22);
		assert_int_equal(mem_read(r, maps[i].last, 1), 0x22);
		if (i) /* the first map has 128 KiB of 64 */
			assert_int_equal(mem_read(r, maps[i].first, 1), 0x11);
		if (maps[i].first > VGA_WINDOW)
			assert_int_equal(mem_read(r, maps[i].first - 1, 1), 0xff);
		if (maps[i].last < 0xbffff)
			assert_int_equal(mem_read(r, maps[i].last + 1, 1), 0xff);
	}
	/* The RAM's enable. */
	outb(r->f, 0x3c2, 0x65);
	assert_int_equal(mem_read(r, 0xb8000, 1), 0xff);
}

static void planes_and_read_map(void **state)
{
	struct rig *r = *state;

	planar_mode(r);
	for (uint8_t i = 0; i < 4; i++) {
		out_index(r, SEQ, 2, (uint8_t)(1u << i));
		mem_write(r, 0xa1234, 4, 0x01010101u * (0x10u + i));
	}
	for (uint8_t i = 0; i < 4; i++) {
		out_index(r, GFX, 4, i);
		assert_int_equal(mem_read(r, 0xa1234, 4), 0x01010101u * (0x10u + i));
	}
}

static void write_mode_0(void **state)
{
	struct rig *r = *state;

	planar_mode(r);
	/* Rotation and set/reset. */
	out_index(r, GFX, 0, 0x02);
	out_index(r, GFX, 1, 0x03);
	out_index(r, GFX, 3, 0x03);
	mem_write(r, 0xa0000, 1, 0x81);
	assert_int_equal(r->v.plane[0][0], 0x00);
	assert_int_equal(r->v.plane[1][0], 0xff);
	assert_int_equal(r->v.plane[2][0], 0x30);
	assert_int_equal(r->v.plane[3][0], 0x30);
	/* The functions, with what the latches hold. */
	out_index(r, GFX, 1, 0x00);
	for (uint8_t function = 1; function < 4; function++) {
		static const uint8_t want[4] = { 0, 0x0c & 0x3a, 0x0c | 0x3a, 0x0c ^ 0x3a };

		r->v.plane[0][1] = 0x3a;
		mem_read(r, 0xa0001, 1);
		out_index(r, GFX, 3, (uint8_t)(function << 3));
		mem_write(r, 0xa0001, 1, 0x0c);
		assert_int_equal(r->v.plane[0][1], want[function]);
	}
	/* The mask's other bits come from the latches, of another address too. */
	out_index(r, GFX, 3, 0);
	out_index(r, GFX, 8, 0x0f);
	r->v.plane[2][2] = 0xa5;
	mem_read(r, 0xa0002, 1);
	mem_write(r, 0xa0003, 1, 0xff);
	assert_int_equal(r->v.plane[2][3], 0xaf);
}

static void write_modes_1_to_3(void **state)
{
	struct rig *r = *state;

	planar_mode(r);
	for (int i = 0; i < 4; i++)
		r->v.plane[i][0] = (uint8_t)(0x11 * (i + 1));
	mem_read(r, 0xa0000, 1);
	out_index(r, GFX, 5, 1);
	out_index(r, SEQ, 2, 0x0d);
	mem_write(r, 0xa0100, 1, 0xee);
	assert_int_equal(r->v.plane[0][0x100], 0x11);
	assert_int_equal(r->v.plane[1][0x100], 0x00);
	assert_int_equal(r->v.plane[3][0x100], 0x44);

	out_index(r, SEQ, 2, 0x0f);
	out_index(r, GFX, 5, 2);
	out_index(r, GFX, 8, 0xf0);
	mem_write(r, 0xa0200, 1, 0x05);
	assert_int_equal(r->v.plane[0][0x200], 0xf1);
	assert_int_equal(r->v.plane[1][0x200], 0x02);
	assert_int_equal(r->v.plane[2][0x200], 0xf3);
	assert_int_equal(r->v.plane[3][0x200], 0x04);

	out_index(r, GFX, 5, 3);
	out_index(r, GFX, 0, 0x09);
	out_index(r, GFX, 3, 4);
	mem_write(r, 0xa0300, 1, 0x3c); /* turned: c3, with the mask: c0 */
	assert_int_equal(r->v.plane[0][0x300], 0xc0 | (0x11 & 0x3f));
	assert_int_equal(r->v.plane[1][0x300], 0x22 & 0x3f);
	assert_int_equal(r->v.plane[3][0x300], 0xc0 | (0x44 & 0x3f));
}

static void read_mode_1(void **state)
{
	struct rig *r = *state;

	planar_mode(r);
	r->v.plane[0][5] = 0xf0;
	r->v.plane[1][5] = 0xcc;
	r->v.plane[2][5] = 0x00;
	r->v.plane[3][5] = 0xff;
	out_index(r, GFX, 5, 8);
	out_index(r, GFX, 2, 0x09);
	assert_int_equal(mem_read(r, 0xa0005, 1), 0x30);
	out_index(r, GFX, 7, 0x02);
	assert_int_equal(mem_read(r, 0xa0005, 1), 0x33);
	out_index(r, GFX, 7, 0x00);
	assert_int_equal(mem_read(r, 0xa0005, 1), 0xff);
}

static void chain_4(void **state)
{
	struct rig *r = *state;

	planar_mode(r);
	out_index(r, SEQ, 4, 0x0e);
	mem_write(r, 0xa0010, 8, 0x8877665544332211);
	assert_int_equal(mem_read(r, 0xa0010, 8), 0x8877665544332211);
	assert_int_equal(r->v.plane[0][0x10], 0x11);
	assert_int_equal(r->v.plane[3][0x10], 0x44);
	assert_int_equal(r->v.plane[2][0x14], 0x77);
}

/* ---- the text window ---- */

static void text_goes_to_planes_0_and_1(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	mem_write(r, 0xb8000, 4, 0x1f421f41);
	assert_int_equal(r->v.plane[0][0], 'A');
	assert_int_equal(r->v.plane[1][0], 0x1f);
	assert_int_equal(r->v.plane[0][2], 'B');
	assert_int_equal(mem_read(r, 0xb8000, 4), 0x1f421f41);
	assert_int_equal(mem_read(r, 0xa0000, 1), 0xff);
}

static void the_window_is_mapped_when_used(void **state)
{
	struct rig *r = *state;
	uint64_t exits;

	text_mode(r);
	mem_write(r, 0xb8000, 2, 0x0741);
	assert_false(is_mapped(r, 0xb8000));
	warm_up(r);
	assert_true(is_mapped(r, 0xbfffe));
	assert_false(is_mapped(r, 0xb7fff));
	assert_int_equal(mem_read(r, 0xb8000, 2), 0x0741);
	exits = host_fake_counter(r->f, "vga-memory-exits");
	for (uint32_t i = 0; i < 4000; i += 8)
		mem_write(r, 0xb8000 + i, 8, 0x0758075807580758);
	assert_int_equal(host_fake_counter(r->f, "vga-memory-exits"), exits);
	look(r);
	assert_int_equal(cell(r, 24, 79)->code, 'X');
	/* An access that was under way sees the same. */
	assert_int_equal(vga_memory_ops.read(&r->v, 0x18000, 2), 0x0758);
	vga_memory_ops.write(&r->v, 0x18000, 2, 0x0759);
	assert_int_equal(mem_read(r, 0xb8000, 2), 0x0759);
}

/* As Linux loads a font into plane 2 while there is text. */
static void a_font_leaves_the_text_alone(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	warm_up(r);
	for (uint32_t i = 0; i < 0x8000; i += 2)
		mem_write(r, 0xb8000 + i, 2, 0x0700 | (i >> 1 & 0xff));
	out_index(r, SEQ, 2, 0x04);
	assert_false(is_mapped(r, 0xb8000));
	out_index(r, SEQ, 4, 0x07);
	out_index(r, GFX, 4, 0x02);
	out_index(r, GFX, 5, 0x00);
	out_index(r, GFX, 6, 0x00);
	for (uint32_t i = 0; i < 8192; i++)
		mem_write(r, 0xa0000 + i, 1, i * 3 & 0xff);
	for (uint32_t i = 0; i < 8192; i++)
		assert_int_equal(mem_read(r, 0xa0000 + i, 1), i * 3 & 0xff);
	out_index(r, SEQ, 2, 0x03);
	out_index(r, SEQ, 4, 0x03);
	out_index(r, GFX, 4, 0x00);
	out_index(r, GFX, 5, 0x10);
	out_index(r, GFX, 6, 0x0e);
	for (uint32_t i = 0; i < 0x8000; i += 2)
		assert_int_equal(mem_read(r, 0xb8000 + i, 2), 0x0700 | (i >> 1 & 0xff));
	assert_true(is_mapped(r, 0xb8000));
	assert_int_equal(r->v.plane[2][1], 3);
	assert_int_equal(host_fake_counter(r->f, "vga-text-maps"), 2);
}

static int no_page_map(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa)
{
	(void)inst;
	(void)pages;
	(void)index;
	(void)gpa;
	return -ENOSPC;
}

static void without_a_mapping_it_works_too(void **state)
{
	struct rig *r = *state;

	r->f->table.page_map = no_page_map;
	text_mode(r);
	for (uint32_t i = 0; i < 4000; i += 2)
		mem_write(r, 0xb8000 + i, 2, 0x1e00 | (i & 0xff));
	for (uint32_t i = 0; i < 4000; i += 2)
		assert_int_equal(mem_read(r, 0xb8000 + i, 2), 0x1e00 | (i & 0xff));
	assert_false(is_mapped(r, 0xb8000));
}

static void monochrome_window(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	warm_up(r);
	mem_write(r, 0xb8000, 2, 0x0741);
	out_index(r, GFX, 6, 0x0a);
	assert_false(is_mapped(r, 0xb8000));
	for (int i = 0; i < 100; i++)
		assert_int_equal(mem_read(r, 0xb0000, 2), 0x0741);
	assert_true(is_mapped(r, 0xb0000));
	vga_decode(&r->v, 1, 0);
	assert_false(is_mapped(r, 0xb0000));
}

/* ---- the screen ---- */

static void screen_as_text(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	mem_write(r, 0xb8000 + 2 * (80 * 3 + 10), 2, 0x1e48);
	out_index(r, CRTC, 0x0e, 0x01);
	out_index(r, CRTC, 0x0f, 0x05);
	look(r);
	assert_int_equal(r->screen.graphics, 0);
	assert_int_equal(r->screen.blank, 0);
	assert_int_equal(r->screen.columns, 80);
	assert_int_equal(r->screen.rows, 25);
	assert_int_equal(r->n, 2000);
	assert_int_equal(r->screen.blink, 1);
	assert_int_equal(cell(r, 3, 10)->code, 'H');
	assert_int_equal(cell(r, 3, 10)->attribute, 0x1e);
	assert_int_equal(r->screen.cursor_on, 1);
	assert_int_equal(r->screen.cursor_row, 261 / 80);
	assert_int_equal(r->screen.cursor_column, 261 % 80);
	assert_int_equal(r->screen.palette[1][2], 170);
	assert_int_equal(r->screen.palette[6][0], 170);
	assert_int_equal(r->screen.palette[6][1], 85);
	assert_int_equal(r->screen.palette[15][0], 255);
	/* A caller that has room for less gets less. */
	assert_int_equal(vga_text_screen_ops.look(&r->v, &r->screen, r->cells, 10), 2000);
}

static void cursor_and_blanking(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	out_index(r, CRTC, 0x0a, 0x2d);
	look(r);
	assert_int_equal(r->screen.cursor_on, 0);
	out_index(r, CRTC, 0x0a, 0x0d);
	out_index(r, CRTC, 0x0e, 0x40);
	look(r);
	assert_int_equal(r->screen.cursor_on, 0);
	out_index(r, SEQ, 1, 0x20);
	look(r);
	assert_int_equal(r->screen.blank, 1);
	out_index(r, SEQ, 1, 0x00);
	inb(r->f, 0x3da);
	outb(r->f, 0x3c0, 0x00);
	look(r);
	assert_int_equal(r->screen.blank, 1);
	inb(r->f, 0x3da);
	outb(r->f, 0x3c0, 0x20);
	out_attr(r, 0x30, 0x04);
	look(r);
	assert_int_equal(r->screen.blank, 0);
	assert_int_equal(r->screen.blink, 0);
}

static void scrolled_and_split(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	for (uint32_t row = 0; row < 60; row++)
		mem_write(r, 0xb8000 + row * 160, 2, 0x0700 | row);
	/* Linux' consoles scroll by moving the start. */
	out_index(r, CRTC, 0x0c, 80 * 30 >> 8);
	out_index(r, CRTC, 0x0d, 80 * 30 & 0xff);
	look(r);
	assert_int_equal(cell(r, 0, 0)->code, 30);
	assert_int_equal(cell(r, 24, 0)->code, 54);
	/* From line 320 on the memory's beginning shows. */
	out_index(r, CRTC, 0x18, 319 & 0xff);
	out_index(r, CRTC, 0x09, 0x0f);
	out_index(r, CRTC, 0x07, 0x1f);
	look(r);
	assert_int_equal(cell(r, 19, 0)->code, 49);
	assert_int_equal(cell(r, 20, 0)->code, 0);
	assert_int_equal(cell(r, 24, 0)->code, 4);
}

static void generation_moves(void **state)
{
	struct rig *r = *state;
	uint64_t g, h;

	text_mode(r);
	g = vga_text_screen_ops.generation(&r->v);
	assert_int_equal(vga_text_screen_ops.generation(&r->v), g);
	mem_write(r, 0xb8000, 1, 'x');
	h = vga_text_screen_ops.generation(&r->v);
	assert_true(h > g);
	warm_up(r);
	g = vga_text_screen_ops.generation(&r->v);
	assert_int_equal(vga_text_screen_ops.generation(&r->v), g);
	mem_write(r, 0xb8100, 1, 'y');
	h = vga_text_screen_ops.generation(&r->v);
	assert_true(h > g);
	assert_int_equal(vga_text_screen_ops.generation(&r->v), h);
	out_index(r, CRTC, 0x0f, 7);
	assert_true(vga_text_screen_ops.generation(&r->v) > h);
}

static void graphics(void **state)
{
	struct rig *r = *state;

	planar_mode(r);
	out_index(r, CRTC, 0x11, 0x0e);
	out_index(r, CRTC, 0x12, 0xdf);
	out_index(r, CRTC, 0x07, 0x3e);
	out_index(r, CRTC, 0x09, 0x40);
	look(r);
	assert_int_equal(r->screen.graphics, 1);
	assert_int_equal(r->screen.columns, 640);
	assert_int_equal(r->screen.rows, 480);
	assert_int_equal(r->n, 0);
}

static void reset_is_power_on(void **state)
{
	struct rig *r = *state;

	text_mode(r);
	warm_up(r);
	mem_write(r, 0xb8000, 2, 0x0741);
	vga_reset(&r->v);
	assert_false(is_mapped(r, 0xb8000));
	before_any_bios(state);
	text_mode(r);
	assert_int_equal(mem_read(r, 0xb8000, 2), 0);
}

/* Registers and memory in any order, with looks in between: nothing is out of bounds, whatever they say. */
static void any_access_in_any_order(void **state)
{
	struct rig *r = *state;
	uint32_t x = 1;

	for (int i = 0; i < 400; i++) {
		isa_rig_hammer(r->f, 0x3b0, 0x30, 100);
		for (uint8_t j = 0; j < 25; j++, x = x * 1664525u + 1013904223u) {
			out_index(r, CRTC, j, (uint8_t)(x >> 24));
			out_index(r, GFX, j % 9, (uint8_t)(x >> 16));
			out_index(r, SEQ, j % 8, (uint8_t)(x >> 8));
			outb(r->f, 0x3c2, (uint8_t)(x >> 20) | 3);
			mem_write(r, 0xa0000 + (x >> 8) % 0x1fff8, 1u << (x & 3), x);
			mem_read(r, 0xa0000 + (x >> 7) % 0x1fff8, 1u << (x & 3));
			inb(r->f, 0x3da);
		}
		if (i % 3 == 0) {
			outb(r->f, 0x3c3, 1);
			text_mode(r);
			warm_up(r);
		}
		look(r);
		vga_text_screen_ops.generation(&r->v);
		host_fake_advance(r->f, 12345678);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(before_any_bios, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_keep_their_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(the_crtc_is_where_misc_says, setup, teardown),
		cmocka_unit_test_setup_teardown(write_protection, setup, teardown),
		cmocka_unit_test_setup_teardown(attribute_flip_flop, setup, teardown),
		cmocka_unit_test_setup_teardown(dac, setup, teardown),
		cmocka_unit_test_setup_teardown(retrace_moves_with_domain_time, setup, teardown),
		cmocka_unit_test_setup_teardown(switched_off, setup, teardown),
		cmocka_unit_test_setup_teardown(address_maps, setup, teardown),
		cmocka_unit_test_setup_teardown(planes_and_read_map, setup, teardown),
		cmocka_unit_test_setup_teardown(write_mode_0, setup, teardown),
		cmocka_unit_test_setup_teardown(write_modes_1_to_3, setup, teardown),
		cmocka_unit_test_setup_teardown(read_mode_1, setup, teardown),
		cmocka_unit_test_setup_teardown(chain_4, setup, teardown),
		cmocka_unit_test_setup_teardown(text_goes_to_planes_0_and_1, setup, teardown),
		cmocka_unit_test_setup_teardown(the_window_is_mapped_when_used, setup, teardown),
		cmocka_unit_test_setup_teardown(a_font_leaves_the_text_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_mapping_it_works_too, setup, teardown),
		cmocka_unit_test_setup_teardown(monochrome_window, setup, teardown),
		cmocka_unit_test_setup_teardown(screen_as_text, setup, teardown),
		cmocka_unit_test_setup_teardown(cursor_and_blanking, setup, teardown),
		cmocka_unit_test_setup_teardown(scrolled_and_split, setup, teardown),
		cmocka_unit_test_setup_teardown(generation_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(graphics, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_is_power_on, setup, teardown),
		cmocka_unit_test_setup_teardown(any_access_in_any_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
