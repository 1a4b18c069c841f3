/* SPDX-License-Identifier: MIT */
/*
 * The VGA's memory as the processor sees it: address maps, odd/even and chain-4
 * addressing, the four write modes and two read modes (IBM Personal System/2
 * Hardware Interface Technical Reference, "Video Subsystem").
 *
 * The text window. A console scrolls by moving 4000 bytes, and as exits those
 * are 2000 reads and 2000 writes. In a plain text mode - even addresses are plane
 * 0, odd ones plane 1, and a byte is stored as it comes - the 32 KiB at 0xb8000
 * (0xb0000) are memory and nothing else: so they are pages of the host, mapped
 * there, and the guest needs no exit. What it changed is found by comparing,
 * when somebody looks (vga-text.c). As soon as a register makes an access mean
 * something else, the pages are unmapped and their bytes put where they belong,
 * in the even bytes of planes 0 and 1.
 *
 * Mapping has its price too, so it is done after MAP_AFTER accesses in a plain
 * mode without a change of mode: a font that is loaded between two lines of text
 * does not make pages come and go.
 *
 * One thing differs from the chip: what the guest reads without an exit does not
 * load the latches. Only a program that reads in text mode and then, in another
 * mode, writes what that read latched would see it.
 */
#include "dm/pc/vga-internal.h"

#include <string.h>

#define PAGE 4096u
#define MAP_AFTER 64u

/* ---- the text window ---- */

/* Where it is; 0 when the mode is not plain. */
static uint32_t plain_window(const struct vga *v)
{
	const uint8_t *g = v->gfx;
	uint8_t map = g[GFX_MISC] & GMISC_MAP;

	if (!v->decode_memory || !v->enabled || !(v->misc & MISC_RAM) || map < 8)
		return 0;
	if (v->seq[SEQ_MEMORY] & (MEMORY_PLANAR | MEMORY_CHAIN_4) || (v->seq[SEQ_MAP_MASK] & 15) != 3)
		return 0;
	if (!(g[GFX_MISC] & GMISC_ODD_EVEN) ||
	    (g[GFX_MODE] & (MODE_WRITE | MODE_READ_COMPARE | MODE_ODD_EVEN)) != MODE_ODD_EVEN)
		return 0;
	if (g[GFX_ENABLE_SET_RESET] & 3 || g[GFX_ROTATE] || g[GFX_READ_MAP] & 2 || g[GFX_BIT_MASK] != 0xff)
		return 0;
	return map == 8 ? 0xb0000 : 0xb8000;
}

static void map(struct vga *v, uint32_t at)
{
	uint32_t n = 0;

	v->plain_accesses = 0;
	for (uint32_t i = 0; i < VGA_TEXT; i++)
		v->text[i] = v->plane[i & 1][i & ~1u];
	while (n < VGA_TEXT / PAGE && !v->host->page_map(v->inst, v->pages, n, at + n * PAGE))
		n++;
	if (n == VGA_TEXT / PAGE) {
		v->text_at = at;
		memcpy(v->seen, v->text, VGA_TEXT);
		isa_count(v->maps, 1);
		return;
	}
	/* It works without, only slower. */
	while (n--)
		v->host->page_unmap(v->inst, v->pages, n);
}

void vga_memory_unmap(struct vga *v)
{
	if (!v->text_at)
		return;
	for (uint32_t i = 0; i < VGA_TEXT / PAGE; i++)
		v->host->page_unmap(v->inst, v->pages, i);
	v->text_at = 0;
	v->changes++;
	for (uint32_t i = 0; i < VGA_TEXT; i++)
		v->plane[i & 1][i & ~1u] = v->text[i];
}

void vga_memory_changed(struct vga *v)
{
	if (v->text_at != plain_window(v))
		vga_memory_unmap(v);
	v->plain_accesses = 0;
}

uint8_t vga_memory_byte(const struct vga *v, uint32_t plane, uint32_t offset)
{
	if (v->text_at && plane < 2 && offset < VGA_TEXT && !(offset & 1))
		return v->text[offset | plane];
	return v->plane[plane][offset % VGA_PLANE];
}

/* An access to the window that was under way while it was mapped. */
static uint8_t *mapped_byte(struct vga *v, uint32_t at)
{
	uint32_t gpa = VGA_WINDOW + at;

	return v->text_at && gpa - v->text_at < VGA_TEXT ? &v->text[gpa - v->text_at] : NULL;
}

/* ---- addresses ---- */

/* An access: its address in the map, and in a plane. */
struct spot {
	uint32_t at, offset;
};

/* at is from 0xa0000. Whether the chip answers there. */
static bool find(const struct vga *v, uint32_t at, struct spot *s)
{
	static const struct {
		uint32_t first, size;
	} maps[4] = { { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 } };
	uint32_t i = (v->gfx[GFX_MISC] & GMISC_MAP) >> 2;

	if (!v->decode_memory || !v->enabled || !(v->misc & MISC_RAM) || at - maps[i].first >= maps[i].size)
		return false;
	s->at = at - maps[i].first;
	s->offset = s->at % VGA_PLANE;
	if (v->seq[SEQ_MEMORY] & MEMORY_CHAIN_4)
		s->offset &= ~3u;
	else if (v->gfx[GFX_MISC] & GMISC_ODD_EVEN)
		s->offset = (s->offset & ~1u) | s->at >> 16;
	return true;
}

/* ---- reading ---- */

static uint32_t read_plane(const struct vga *v, const struct spot *s)
{
	if (v->seq[SEQ_MEMORY] & MEMORY_CHAIN_4)
		return s->at & 3;
	if (v->gfx[GFX_MODE] & MODE_ODD_EVEN)
		return (v->gfx[GFX_READ_MAP] & 2u) | (s->at & 1);
	return v->gfx[GFX_READ_MAP] & 3;
}

/* Bits of the pixels whose colour is the one asked for, in the planes that count. */
static uint8_t compare(const struct vga *v)
{
	uint8_t differ = 0;

	for (uint32_t i = 0; i < 4; i++) {
		uint8_t wanted = v->gfx[GFX_COMPARE] & 1u << i ? 0xff : 0;

		if (v->gfx[GFX_DONT_CARE] & 1u << i)
			differ |= v->latch[i] ^ wanted;
	}
	return (uint8_t)~differ;
}

static uint8_t read_byte(struct vga *v, uint32_t at)
{
	const uint8_t *mapped = mapped_byte(v, at);
	struct spot s;

	if (mapped)
		return *mapped;
	if (!find(v, at, &s))
		return 0xff;
	for (uint32_t i = 0; i < 4; i++)
		v->latch[i] = v->plane[i][s.offset];
	if (v->gfx[GFX_MODE] & MODE_READ_COMPARE)
		return compare(v);
	return v->latch[read_plane(v, &s)];
}

/* ---- writing ---- */

static uint32_t write_planes(const struct vga *v, const struct spot *s)
{
	uint32_t planes = v->seq[SEQ_MAP_MASK] & 15;

	if (v->seq[SEQ_MEMORY] & MEMORY_CHAIN_4)
		return planes & 1u << (s->at & 3);
	return v->seq[SEQ_MEMORY] & MEMORY_PLANAR ? planes : planes & (s->at & 1 ? 0xau : 5u);
}

static uint8_t spread(uint32_t bits, uint32_t i)
{
	return bits >> i & 1 ? 0xff : 0;
}

/* What the data is for one plane before it meets the latch. */
static uint8_t expand(const struct vga *v, uint32_t mode, uint8_t data, uint32_t plane)
{
	const uint8_t *g = v->gfx;

	if (mode == 2)
		return spread(data, plane);
	if (mode == 3 || g[GFX_ENABLE_SET_RESET] >> plane & 1)
		return spread(g[GFX_SET_RESET], plane);
	return data;
}

static uint8_t combine(uint8_t function, uint8_t value, uint8_t latch)
{
	switch (function & 3) {
	case 1:
		return value & latch;
	case 2:
		return value | latch;
	case 3:
		return value ^ latch;
	default:
		return value;
	}
}

static void write_byte(struct vga *v, uint32_t at, uint8_t data)
{
	uint32_t mode = v->gfx[GFX_MODE] & MODE_WRITE, turn = v->gfx[GFX_ROTATE] & 7;
	uint8_t turned = (uint8_t)(data >> turn | data << (8 - turn));
	uint8_t mask = mode == 3 ? turned & v->gfx[GFX_BIT_MASK] : v->gfx[GFX_BIT_MASK];
	uint8_t *mapped = mapped_byte(v, at);
	struct spot s;

	if (mapped) {
		*mapped = data;
		return;
	}
	if (!find(v, at, &s))
		return;
	v->changes++;
	for (uint32_t i = 0, planes = write_planes(v, &s); i < 4; i++) {
		uint8_t value = expand(v, mode, mode == 2 ? data : turned, i);

		if (!(planes >> i & 1))
			continue;
		value = combine(v->gfx[GFX_ROTATE] >> 3, value, v->latch[i]);
		v->plane[i][s.offset] = mode == 1 ? v->latch[i] : (value & mask) | (v->latch[i] & (uint8_t)~mask);
	}
}

/* ---- the window ---- */

/* Where an access leads that the mapping would have saved, the mapping comes. */
static void consider(struct vga *v, uint32_t at)
{
	uint32_t window = plain_window(v);

	if (v->text_at || !window || VGA_WINDOW + at - window >= VGA_TEXT)
		return;
	if (++v->plain_accesses >= MAP_AFTER)
		map(v, window);
}

static uint64_t memory_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct vga *v = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&v->lock);
	for (uint32_t i = 0; i < width; i++)
		value |= (uint64_t)read_byte(v, (uint32_t)offset + i) << (8 * i);
	consider(v, (uint32_t)offset);
	pthread_mutex_unlock(&v->lock);
	isa_count(v->accesses, 1);
	return value;
}

static void memory_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct vga *v = opaque;

	pthread_mutex_lock(&v->lock);
	for (uint32_t i = 0; i < width; i++)
		write_byte(v, (uint32_t)offset + i, (uint8_t)(value >> (8 * i)));
	consider(v, (uint32_t)offset);
	pthread_mutex_unlock(&v->lock);
	isa_count(v->accesses, 1);
}

const struct gamut_io_ops vga_memory_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = memory_read,
	.write = memory_write,
};
