/* SPDX-License-Identifier: MIT */
/*
 * What an emulated PC offers beside its buses, given by the platform
 * (platform-pc): its serial ports, screen and keyboard, for consoles, and the
 * firmware's configuration, for whoever has something to tell to it.
 * Fetched with host->lookup(inst, ID, GAMUT_PC_REVISION, 0, &self).
 */
#ifndef GAMUT_PC_H
#define GAMUT_PC_H

#include "gamut/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GAMUT_PC_REVISION 1u

/* ---- serial ports ---- */

#define GAMUT_SERIAL_PORTS "serial-ports"

/* The other end of a line. */
struct gamut_serial_peer {
	uint32_t size;
	/* Bytes that the guest sends; returns how many are taken. The rest is offered again after `kick`. [vcpu] [io] */
	uint32_t (*receive)(void *opaque, const void *buf, uint32_t len);
	/* The port has room again after `send` took less than it was given. [vcpu] [io] Must only flag and defer. */
	void (*room)(void *opaque);
};

struct gamut_serial_ops {
	uint32_t size;
	uint32_t count; /* ports: 0 is COM1 */
	/* 0; -ENOENT no such port; -EBUSY it has a peer. NULL detaches. In start. [control] */
	int (*attach)(void *self, uint32_t port, const struct gamut_serial_peer *peer, void *opaque);
	/* Bytes to the guest; returns how many its receiver had room for. [io] */
	uint32_t (*send)(void *self, uint32_t port, const void *buf, uint32_t len);
	/* The peer can take more. [io] */
	void (*kick)(void *self, uint32_t port);
};

/* ---- screen and keyboard ---- */

#define GAMUT_TEXT_SCREEN "text-screen"

struct gamut_text_cell {
	uint8_t code; /* as in the character generator: code page 437 by habit */
	uint8_t attribute; /* 0-3 foreground, 4-6 background, 7 blink or bright background */
};

struct gamut_text_screen {
	uint32_t size;
	uint32_t graphics;          /* 1: a graphics mode; columns and rows are its pixels, and there are no cells */
	uint32_t blank;             /* 1: the display is off */
	uint32_t columns, rows;
	uint32_t cursor_on, cursor_column, cursor_row;
	uint32_t blink;             /* attribute bit 7 blinks; 0: it is a bright background */
	uint8_t palette[16][3];     /* red, green, blue, 0-255, by attribute colour */
};

struct gamut_text_screen_ops {
	uint32_t size;
	/*
	 * What is on the screen now: fills *screen and up to n cells, row by row.
	 * Returns how many cells there are, which may be more than n. [io] [any]
	 */
	uint32_t (*look)(void *self, struct gamut_text_screen *screen, struct gamut_text_cell *cells, uint32_t n);
	/* A count that grows when something may have changed. [any] */
	uint64_t (*generation)(void *self);
};

#define GAMUT_KEYBOARD "keyboard"

struct gamut_keyboard_ops {
	uint32_t size;
	/*
	 * A key goes down or up. code is the USB HID usage (page 7), as the one
	 * numbering that depends on no keyboard; the keyboard turns it into the
	 * scan code set that the guest has chosen. 0; -EAGAIN: its queue is full,
	 * try again later; -EINVAL: no such key. [io]
	 */
	int (*key)(void *self, uint32_t code, uint32_t down);
};

/* ---- firmware configuration ---- */

#define GAMUT_FIRMWARE_CONFIG "firmware-config"

struct gamut_firmware_config_ops {
	uint32_t size;
	/*
	 * A named file that firmware can read ("genroms/x.rom", "bootorder" is the
	 * platform's own). data is copied. 0 or -errno: -EEXIST, -EINVAL (a name
	 * of 56 bytes or more). In start. [control]
	 */
	int (*file)(void *self, const char *name, const void *data, uint32_t len);
};

#ifdef __cplusplus
}
#endif
#endif
