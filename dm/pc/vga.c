/* SPDX-License-Identifier: MIT */
/*
 * The VGA's registers (IBM Personal System/2 Hardware Interface Technical
 * Reference, "Video Subsystem").
 */
#include "dm/pc/vga-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Offsets from 0x3b0. */
enum {
	MONO_CRTC = 0x04, /* 0x3b4, 0x3b5; 0x3ba */
	MONO_STATUS = 0x0a,
	ATTR = 0x10,
	ATTR_READ = 0x11,
	MISC_WRITE = 0x12, /* read: input status 0 */
	ENABLE = 0x13,
	SEQ = 0x14,
	DAC_MASK = 0x16,
	DAC_READ_INDEX = 0x17, /* read: the state */
	DAC_WRITE_INDEX = 0x18,
	DAC_DATA = 0x19,
	FEATURE_READ = 0x1a,
	MISC_READ = 0x1c,
	GFX = 0x1e,
	COLOUR_CRTC = 0x24, /* 0x3d4, 0x3d5; 0x3da */
	COLOUR_STATUS = 0x2a,
};

/* The bits that are there. */
static const uint8_t seq_bits[VGA_SEQ_COUNT] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gfx_bits[VGA_GFX_COUNT] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const uint8_t attr_bits[VGA_ATTR_COUNT] = { 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
	                                           0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f };

/* ---- CRT controller ---- */

static uint8_t crtc_read(const struct vga *v)
{
	if (v->crtc_index < VGA_CRTC_COUNT)
		return v->crtc[v->crtc_index];
	if (v->crtc_index == 0x22) /* undocumented, and in every VGA: the latch, and the flip-flop */
		return v->latch[v->gfx[GFX_READ_MAP] & 3];
	if (v->crtc_index == 0x24)
		return (uint8_t)(v->attr_data << 7);
	return 0;
}

/* Bit 7 of the retrace's end protects 0 to 7, but for bit 8 of the split line. */
static void crtc_write(struct vga *v, uint8_t value)
{
	uint32_t i = v->crtc_index;

	if (i >= VGA_CRTC_COUNT)
		return;
	if (v->crtc[CRTC_RETRACE_END] & 0x80 && i <= CRTC_OVERFLOW) {
		if (i != CRTC_OVERFLOW)
			return;
		value = (v->crtc[i] & (uint8_t)~0x10) | (value & 0x10);
	}
	v->crtc[i] = value;
	v->changes++;
}

/* ---- retrace ---- */

struct beam {
	uint32_t line, character;
};

/* The CRT controller's clock is domain time. */
static struct beam find_beam(const struct vga *v)
{
	static const uint32_t khz[4] = { 25175, 28322, 25175, 25175 };
	uint32_t dots = v->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
	uint32_t characters = v->crtc[CRTC_H_TOTAL] + 5u;
	uint32_t total = v->crtc[CRTC_V_TOTAL] | (v->crtc[CRTC_OVERFLOW] & 1u) << 8 |
	                 (v->crtc[CRTC_OVERFLOW] >> 5 & 1u) << 9;
	uint64_t line_ns, in_frame;

	if (v->seq[SEQ_CLOCKING] & CLOCKING_HALF)
		dots *= 2;
	line_ns = (uint64_t)characters * dots * 1000000 / khz[(v->misc & MISC_CLOCK) >> 2];
	total += 2;
	in_frame = v->host->time_now(v->inst) % (line_ns * total);
	return (struct beam){
		.line = (uint32_t)(in_frame / line_ns),
		.character = (uint32_t)(in_frame % line_ns * characters / line_ns),
	};
}

/* Bit 0: neither in a line's nor in the frame's visible part. Bit 3: vertical retrace. */
static uint8_t input_status_1(struct vga *v)
{
	struct beam b = find_beam(v);
	uint32_t overflow = v->crtc[CRTC_OVERFLOW];
	uint32_t visible = v->crtc[CRTC_V_END] | (overflow >> 1 & 1) << 8 | (overflow >> 6 & 1) << 9;
	uint32_t start = v->crtc[CRTC_RETRACE_START] | (overflow >> 2 & 1) << 8 | (overflow >> 7 & 1) << 9;
	uint32_t lines = (v->crtc[CRTC_RETRACE_END] - start) & 15;
	bool retrace = b.line >= start && b.line - start < (lines ? lines : 16);

	v->attr_data = 0;
	return (b.line > visible || b.character > v->crtc[CRTC_H_END] ? 1 : 0) | (retrace ? 8 : 0);
}

/* ---- attribute controller ---- */

static void attr_write(struct vga *v, uint8_t value)
{
	uint32_t i = v->attr_index & 31;

	if (!v->attr_data)
		v->attr_index = value & 0x3f;
	else if (i < VGA_ATTR_COUNT)
		v->attr[i] = value & attr_bits[i];
	v->attr_data ^= 1;
	v->changes++;
}

static uint8_t attr_read(const struct vga *v)
{
	uint32_t i = v->attr_index & 31;

	return i < VGA_ATTR_COUNT ? v->attr[i] : 0;
}

/* ---- DAC ---- */

static void dac_start(struct vga *v, uint8_t index, uint8_t reading)
{
	v->dac_index = index;
	v->dac_step = 0;
	v->dac_reading = reading;
}

/* Three accesses are one entry; when written, the third makes it count. */
static uint8_t dac_read(struct vga *v)
{
	uint8_t value = v->dac[v->dac_index][v->dac_step];

	if (++v->dac_step == 3) {
		v->dac_step = 0;
		v->dac_index++;
	}
	return value;
}

static void dac_write(struct vga *v, uint8_t value)
{
	v->dac_latch[v->dac_step] = value & 0x3f;
	if (++v->dac_step < 3)
		return;
	memcpy(v->dac[v->dac_index++], v->dac_latch, 3);
	v->dac_step = 0;
	v->changes++;
}

/* ---- registers that decide about memory ---- */

static void seq_write(struct vga *v, uint8_t value)
{
	uint8_t i = v->seq_index;

	if (i >= VGA_SEQ_COUNT || v->seq[i] == (value & seq_bits[i]))
		return;
	v->seq[i] = value & seq_bits[i];
	v->changes++;
	vga_memory_changed(v);
}

static void gfx_write(struct vga *v, uint8_t value)
{
	uint8_t i = v->gfx_index;

	if (i >= VGA_GFX_COUNT || v->gfx[i] == (value & gfx_bits[i]))
		return;
	v->gfx[i] = value & gfx_bits[i];
	v->changes++;
	vga_memory_changed(v);
}

static void misc_write(struct vga *v, uint8_t value)
{
	v->misc = value;
	v->changes++;
	vga_memory_changed(v);
}

static void enable_write(struct vga *v, uint8_t value)
{
	v->enabled = value & 1;
	v->changes++;
	vga_memory_changed(v);
}

/* ---- ports ---- */

/* The CRT controller's ports are where bit 0 of the miscellaneous register says; elsewhere is nothing. */
static uint32_t crtc_port(const struct vga *v, uint32_t port)
{
	uint32_t base = v->misc & MISC_COLOUR ? COLOUR_CRTC : MONO_CRTC;

	return port < ATTR || port >= COLOUR_CRTC - 4 ? port - base : UINT32_MAX;
}

static uint8_t read_crtc_port(struct vga *v, uint32_t port)
{
	switch (crtc_port(v, port)) {
	case 0:
		return v->crtc_index;
	case 1:
		return crtc_read(v);
	case 6:
		return input_status_1(v);
	default:
		return 0xff;
	}
}

static void write_crtc_port(struct vga *v, uint32_t port, uint8_t value)
{
	switch (crtc_port(v, port)) {
	case 0:
		v->crtc_index = value;
		break;
	case 1:
		crtc_write(v, value);
		break;
	case 6:
		v->feature = value;
		break;
	default:
		break;
	}
}

static uint8_t read_port(struct vga *v, uint32_t port)
{
	switch (port) {
	case ATTR:
		return v->attr_index;
	case ATTR_READ:
		return attr_read(v);
	case MISC_WRITE: /* input status 0: a monitor is there; no interrupt */
		return 0x10;
	case ENABLE:
		return v->enabled;
	case SEQ:
		return v->seq_index;
	case SEQ + 1:
		return v->seq_index < VGA_SEQ_COUNT ? v->seq[v->seq_index] : 0;
	case DAC_MASK:
		return v->dac_mask;
	case DAC_READ_INDEX:
		return v->dac_reading;
	case DAC_WRITE_INDEX:
		return v->dac_index;
	case DAC_DATA:
		return dac_read(v);
	case FEATURE_READ:
		return v->feature;
	case MISC_READ:
		return v->misc;
	case GFX:
		return v->gfx_index;
	case GFX + 1:
		return v->gfx_index < VGA_GFX_COUNT ? v->gfx[v->gfx_index] : 0;
	default:
		return read_crtc_port(v, port);
	}
}

static void write_port(struct vga *v, uint32_t port, uint8_t value)
{
	switch (port) {
	case ATTR:
		attr_write(v, value);
		break;
	case MISC_WRITE:
		misc_write(v, value);
		break;
	case ENABLE:
		enable_write(v, value);
		break;
	case SEQ:
		v->seq_index = value;
		break;
	case SEQ + 1:
		seq_write(v, value);
		break;
	case DAC_MASK:
		v->dac_mask = value;
		v->changes++;
		break;
	case DAC_READ_INDEX:
		dac_start(v, value, 3);
		break;
	case DAC_WRITE_INDEX:
		dac_start(v, value, 0);
		break;
	case DAC_DATA:
		dac_write(v, value);
		break;
	case GFX:
		v->gfx_index = value;
		break;
	case GFX + 1:
		gfx_write(v, value);
		break;
	default:
		write_crtc_port(v, port, value);
		break;
	}
}

/* Off, a VGA answers at 0x3c3 alone. */
static bool answers(const struct vga *v, uint32_t port)
{
	return v->decode_io && (v->enabled || port == ENABLE);
}

static uint8_t port_read(void *opaque, uint32_t offset)
{
	struct vga *v = opaque;
	uint8_t value;

	pthread_mutex_lock(&v->lock);
	value = answers(v, offset) ? read_port(v, offset) : 0xff;
	pthread_mutex_unlock(&v->lock);
	return value;
}

static void port_write(void *opaque, uint32_t offset, uint8_t value)
{
	struct vga *v = opaque;

	pthread_mutex_lock(&v->lock);
	if (answers(v, offset))
		write_port(v, offset, value);
	pthread_mutex_unlock(&v->lock);
}

static uint64_t io_read(void *opaque, uint64_t offset, uint32_t width)
{
	return isa_read(port_read, opaque, offset, width);
}

static void io_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	isa_write(port_write, opaque, offset, width, value);
}

const struct gamut_io_ops vga_port_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = io_read,
	.write = io_write,
};

/* ---- life ---- */

int vga_init(struct vga *v, const struct gamut_host *host, struct gamut_inst *inst)
{
	void *text;

	memset(v, 0, sizeof(*v));
	v->host = host;
	v->inst = inst;
	pthread_mutex_init(&v->lock, NULL);
	v->plane[0] = malloc(4 * VGA_PLANE);
	v->seen = malloc(VGA_TEXT);
	v->pages = host->page_alloc(inst, VGA_TEXT / 4096, &text);
	if (!v->plane[0] || !v->seen || !v->pages) {
		vga_finish(v);
		return -ENOMEM;
	}
	v->text = text;
	for (uint32_t i = 1; i < 4; i++)
		v->plane[i] = v->plane[0] + i * VGA_PLANE;
	v->maps = host->counter(inst, "vga-text-maps");
	v->accesses = host->counter(inst, "vga-memory-exits");
	v->decode_io = v->decode_memory = 1;
	vga_reset(v);
	return 0;
}

int vga_register(struct vga *v)
{
	int rc = v->host->pio_register(v->inst, VGA_PORT, VGA_PORTS, &vga_port_ops, v);

	return rc ? rc : v->host->mmio_register(v->inst, VGA_WINDOW, VGA_WINDOW_SIZE, &vga_memory_ops, v);
}

void vga_decode(struct vga *v, uint32_t io, uint32_t memory)
{
	pthread_mutex_lock(&v->lock);
	v->decode_io = io;
	v->decode_memory = memory;
	vga_memory_changed(v);
	pthread_mutex_unlock(&v->lock);
}

/* Everything is zero until a video BIOS comes: no display, and no memory. */
void vga_reset(struct vga *v)
{
	pthread_mutex_lock(&v->lock);
	vga_memory_unmap(v);
	memset(v->plane[0], 0, 4 * VGA_PLANE);
	memset(&v->misc, 0, offsetof(struct vga, plane) - offsetof(struct vga, misc));
	v->enabled = 1;
	v->dac_mask = 0xff;
	v->decode_io = v->decode_memory = 1;
	v->plain_accesses = 0;
	v->changes++;
	pthread_mutex_unlock(&v->lock);
}

void vga_finish(struct vga *v)
{
	if (!v->host)
		return;
	if (v->pages)
		v->host->page_free(v->inst, v->pages);
	free(v->plane[0]);
	free(v->seen);
	pthread_mutex_destroy(&v->lock);
	v->host = NULL;
}
