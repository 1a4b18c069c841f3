/* SPDX-License-Identifier: MIT */
/*
 * Mode 3 as a VGA BIOS leaves it, for a guest that is started without one: 80
 * columns and 25 rows of colour text at 0xb8000, cleared. The values are those
 * of the IBM VGA BIOS's parameter table for that mode. Plane 2 has no font: what
 * shows the screen has its own.
 */
#include "dm/pc/vga.h"

#define TEXT_AT (0xb8000u - VGA_WINDOW)
#define CELLS (80u * 25)
#define BLANK 0x0720u /* a space, grey on black */

enum { ATTR = 0x3c0, MISC = 0x3c2, SEQ = 0x3c4, DAC_MASK = 0x3c6, DAC_INDEX = 0x3c8, DAC_DATA, GFX = 0x3ce, CRTC = 0x3d4,
       STATUS = 0x3da };

static const uint8_t seq[] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
static const uint8_t crtc[VGA_CRTC_COUNT] = {
	0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
	0x00, 0x00, 0x00, 0x9c, 0x0e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
};
static const uint8_t gfx[VGA_GFX_COUNT] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff };
static const uint8_t attr[VGA_ATTR_COUNT] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
	0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00,
};

static void out(struct vga *v, uint16_t port, uint8_t value)
{
	vga_port_ops.write(v, port - VGA_PORT, 1, value);
}

static void table(struct vga *v, uint16_t port, const uint8_t *values, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		out(v, port, (uint8_t)i);
		out(v, (uint16_t)(port + 1), values[i]);
	}
}

/* Of a colour's six bits the lower three are two thirds of full, the upper one third. */
static uint8_t level(uint32_t colour, uint32_t strong)
{
	return (uint8_t)((colour & strong ? 0x2a : 0) + (colour & strong << 3 ? 0x15 : 0));
}

static void palette(struct vga *v)
{
	out(v, DAC_MASK, 0xff);
	out(v, DAC_INDEX, 0);
	for (uint32_t i = 0; i < 64; i++)
		for (uint32_t strong = 4; strong; strong >>= 1)
			out(v, DAC_DATA, level(i, strong));
}

void vga_text_mode(struct vga *v)
{
	out(v, MISC, 0x67);
	table(v, SEQ, seq, sizeof(seq));
	out(v, CRTC, 0x11); /* whose bit 7 protects the first eight */
	out(v, CRTC + 1, 0);
	table(v, CRTC, crtc, sizeof(crtc));
	table(v, GFX, gfx, sizeof(gfx));
	vga_port_ops.read(v, STATUS - VGA_PORT, 1); /* an index is next */
	for (uint32_t i = 0; i < sizeof(attr); i++) {
		out(v, ATTR, (uint8_t)i);
		out(v, ATTR, attr[i]);
	}
	out(v, ATTR, 0x20); /* the palette is the screen's again */
	palette(v);
	for (uint32_t i = 0; i < CELLS; i++)
		vga_memory_ops.write(v, TEXT_AT + 2 * i, 2, BLANK);
}
