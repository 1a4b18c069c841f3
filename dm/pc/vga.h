/* SPDX-License-Identifier: MIT */
/*
 * The IBM VGA: sequencer, CRT controller, graphics controller, attribute
 * controller, DAC and 256 KiB of memory in four planes.
 *
 * What an access to its memory does hangs on a dozen registers, so each is an
 * exit - but not in a plain text mode, see vga-memory.c.
 *
 * Absent: the light pen, the vertical retrace interrupt (its wire was left off
 * by most boards) and the feature connector.
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

#define VGA_SEQ_COUNT 8u
#define VGA_CRTC_COUNT 0x19u
#define VGA_GFX_COUNT 9u
#define VGA_ATTR_COUNT 0x15u

struct vga {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	pthread_mutex_t lock; /* over all below */

	uint8_t misc, feature, enabled; /* enabled: port 0x3c3 */
	uint8_t seq_index, seq[VGA_SEQ_COUNT];
	uint8_t crtc_index, crtc[VGA_CRTC_COUNT];
	uint8_t gfx_index, gfx[VGA_GFX_COUNT];
	uint8_t attr_index; /* with bit 5: the palette is the display's */
	uint8_t attr_data;  /* the flip-flop: 1, data is next */
	uint8_t attr[VGA_ATTR_COUNT];
	uint8_t dac[256][3], dac_latch[3], dac_mask; /* 6 bits a colour */
	uint8_t dac_reading;                         /* 3 after a write to 0x3c7, 0 after one to 0x3c8 */
	uint8_t dac_index, dac_step;                 /* the next entry, and which of its three */
	uint8_t latch[4];

	uint8_t *plane[4];         /* VGA_PLANE bytes each */
	struct gamut_page *pages;  /* the text window, VGA_TEXT bytes */
	uint8_t *text;             /* the same, ours to read */
	uint8_t *seen;             /* what was in it at the last look at the generation */
	uint32_t text_at;          /* where it is mapped, guest physical; 0: not mapped */
	uint32_t plain_accesses;   /* exits in a row that a mapping would have saved */
	uint32_t decode_io, decode_memory;
	uint64_t changes;          /* the generation */
	uint64_t *maps, *accesses; /* counters: times that the window was mapped; exits to memory */
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
/* After a reset: what a VGA BIOS does for a guest that has none. Colour text, 80 by 25 (vga-mode3.c). [control] */
void vga_text_mode(struct vga *v);
void vga_finish(struct vga *v);

#endif
