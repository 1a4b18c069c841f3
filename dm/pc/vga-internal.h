/* SPDX-License-Identifier: MIT */
/* The VGA's registers by name, and what its files give each other. All functions want the lock. */
#ifndef DM_PC_VGA_INTERNAL_H
#define DM_PC_VGA_INTERNAL_H

#include "dm/pc/vga.h"

enum { MISC_COLOUR = 1, MISC_RAM = 2, MISC_CLOCK = 0x0c };

enum { SEQ_RESET = 0, SEQ_CLOCKING = 1, SEQ_MAP_MASK = 2, SEQ_FONT = 3, SEQ_MEMORY = 4 };
enum { CLOCKING_8_DOTS = 1, CLOCKING_HALF = 8, CLOCKING_OFF = 0x20 };
enum { MEMORY_PLANAR = 4, MEMORY_CHAIN_4 = 8 };

enum {
	GFX_SET_RESET = 0,
	GFX_ENABLE_SET_RESET = 1,
	GFX_COMPARE = 2,
	GFX_ROTATE = 3,
	GFX_READ_MAP = 4,
	GFX_MODE = 5,
	GFX_MISC = 6,
	GFX_DONT_CARE = 7,
	GFX_BIT_MASK = 8,
};
enum { MODE_WRITE = 3, MODE_READ_COMPARE = 8, MODE_ODD_EVEN = 16 };
enum { GMISC_GRAPHICS = 1, GMISC_ODD_EVEN = 2, GMISC_MAP = 12 };

enum {
	CRTC_H_TOTAL = 0,
	CRTC_H_END = 1,
	CRTC_V_TOTAL = 6,
	CRTC_OVERFLOW = 7,
	CRTC_PAN = 8,
	CRTC_HEIGHT = 9,
	CRTC_CURSOR_START = 10,
	CRTC_CURSOR_END = 11,
	CRTC_START = 12,
	CRTC_CURSOR = 14,
	CRTC_RETRACE_START = 16,
	CRTC_RETRACE_END = 17,
	CRTC_V_END = 18,
	CRTC_OFFSET = 19,
	CRTC_UNDERLINE = 20,
	CRTC_MODE = 23,
	CRTC_COMPARE = 24,
};

enum { ATTR_MODE = 16, ATTR_PLANES = 18, ATTR_SELECT = 20 };
enum { ATTR_DISPLAY = 0x20 }; /* of the index */

/* A register changed: maps or unmaps the text window as the mode now is. */
void vga_memory_changed(struct vga *v);
/* Takes the text window away, its bytes into the planes. */
void vga_memory_unmap(struct vga *v);
/* A byte of plane 0 or 1, wherever it is now. */
uint8_t vga_memory_byte(const struct vga *v, uint32_t plane, uint32_t offset);

#endif
