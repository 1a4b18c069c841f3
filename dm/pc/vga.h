/* SPDX-License-Identifier: MIT */
/*
 * The IBM VGA: sequencer, CRT controller, graphics controller, attribute
 * controller, DAC and 256 KiB of memory in four planes.
 *
 * Memory. While the mode is a plain text mode - even addresses are plane 0,
 * odd ones plane 1, and a byte goes there as it is - the 32 KiB at 0xb8000 (or
 * 0xb0000) are pages of the host that the guest reads and writes without any
 * exit. What changed is found by comparing when somebody looks. As soon as a
 * register makes accesses something else, the pages go away and their bytes
 * into the planes; from then on every access is an exit. See vga-memory.c.
 */
#ifndef DM_PC_VGA_H
#define DM_PC_VGA_H

#include <pthread.h>
#include <stdbool.h>

#include "dm/pc/isa.h"
#include "gamut/pc.h"

#define VGA_PORT 0x3b0u
#define VGA_PORTS 0x30u
#define VGA_WINDOW 0xa0000u
#define VGA_WINDOW_SIZE 0x20000u
#define VGA_PLANE 0x10000u
#define VGA_TEXT 0x8000u   /* bytes of the text window */
#define VGA_CELLS_MAX (VGA_TEXT / 2)

#define VGA_SEQ_COUNT 8u
#define VGA_CRTC_COUNT 0x19u
#define VGA_GFX_COUNT 9u
#define VGA_ATTR_COUNT 0x15u

struct vga {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	pthread_mutex_t lock; /* over all below */

	uint8_t misc, feature;
	uint8_t seq_index, seq[VGA_SEQ_COUNT];
	uint8_t crtc_index, crtc[VGA_CRTC_COUNT];
	uint8_t gfx_index, gfx[VGA_GFX_COUNT];
	uint8_t attr_index, attr[VGA_ATTR_COUNT]; /* index with bit 5, the palette address source */
	uint8_t attr_data;                        /* the flip-flop: 1, data is next */
	uint8_t dac[256][3], dac_mask, dac_state; /* 6 bits each; state as port 0x3c7 reads */
	uint8_t dac_read, dac_write, dac_step;    /* indices, and which of the three is next */
	uint8_t dac_latch[3];
	uint8_t latch[4];

	uint8_t *plane[4];          /* VGA_PLANE bytes each */
	uint8_t *text;              /* VGA_TEXT bytes: the host pages */
	struct gamut_page *pages;
	uint32_t text_at;           /* where they are mapped, guest physical; 0: not */
	uint32_t decode_io, decode_memory;
	uint64_t changes;           /* generation */
	uint8_t *seen;              /* VGA_TEXT bytes: the text pages at the last look */
	uint64_t retrace_base;
	uint64_t *maps, *accesses;  /* counters: times the pages were mapped, accesses by exits */
};

/* Ports 0x3b0-0x3df; the window 0xa0000-0xbffff. */
extern const struct gamut_io_ops vga_port_ops, vga_memory_ops;
/* What interface() returns for GAMUT_TEXT_SCREEN; self is the struct vga. */
extern const struct gamut_text_screen_ops vga_text_screen_ops;

int vga_init(struct vga *v, const struct gamut_host *host, struct gamut_inst *inst);
/* Claims ports and window. */
int vga_register(struct vga *v);
/*
 * Whether the chip answers to its ports and to its memory, as a PCI command
 * register says; both do after init and reset. [control] [vcpu]
 */
void vga_decode(struct vga *v, uint32_t io, uint32_t memory);
void vga_reset(struct vga *v);
void vga_finish(struct vga *v);

#endif
