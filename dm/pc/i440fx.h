/* SPDX-License-Identifier: MIT */
/*
 * Intel 82441FX (440FX) host bridge, function 00:00.0: where the memory
 * between 0xc0000 and 0xfffff leads to.
 *
 * Each of thirteen segments has two bits in a PAM register (3.2.18 of the
 * data sheet): reads from DRAM or from the BIOS ROM, writes to DRAM or
 * nowhere. Reads are the page tables' business and never exit; a write that
 * goes elsewhere than reads is an access to this chip's range.
 *
 * The guest's RAM at these addresses and in the VGA's window is taken away;
 * the DRAM of the segments is pages of ours.
 *
 * SMRAM's register is there, the memory behind it is not: there is no SMM.
 */
#ifndef DM_PC_I440FX_H
#define DM_PC_I440FX_H

#include "gamut/pci.h"

#define I440FX_LOW 0xc0000ull
#define I440FX_END 0x100000ull
#define I440FX_VGA 0xa0000ull
#define I440FX_PAGES 64u
#define I440FX_ROM_PAGES 32u /* the BIOS's last 128 KiB show at 0xe0000 */
/* RAM ends here or before; the rest below 4 GiB is PCI's, the APICs' and the BIOS's. */
#define I440FX_HOLE 0xc0000000ull

struct i440fx {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_pci_bus_ops *bus;
	void *bus_self;
	struct gamut_pci_function *function;
	struct gamut_page *dram_pages, *rom_pages;
	uint8_t *dram, *rom;           /* the same as we see them */
	uint32_t has_rom;
	uint8_t shown[I440FX_PAGES];   /* what is mapped at each page */
	uint8_t pam[I440FX_PAGES];     /* read and write bits of each page; atomic bytes */
	uint8_t smram_locked;
	uint64_t *changes;             /* counter: pages mapped otherwise */
};

int i440fx_init(struct i440fx *x, const struct gamut_host *host, struct gamut_inst *inst);
/* Adds the function and claims the range; bus is the platform's own. 0 or -errno. [control] */
int i440fx_register(struct i440fx *x, const struct gamut_pci_bus_ops *bus, void *bus_self);
/* The end of a BIOS image as it shows below 1 MiB: `bytes` up to 128 KiB. Before the reset. [control] */
void i440fx_set_rom(struct i440fx *x, const void *end_of_image, uint64_t bytes);
/*
 * Power-on: RAM taken away, DRAM zeroed, ROM read. After the core has made
 * all RAM anew, with nothing of the VGA's mapped. 0 or -errno. [control]
 */
int i440fx_reset(struct i440fx *x);
/* As firmware leaves it behind: all of it DRAM, read and written. 0 or -errno. [control] */
int i440fx_open(struct i440fx *x);
/* Copies into the DRAM of the segments; gpa and len within them. [control] */
int i440fx_write(struct i440fx *x, uint64_t gpa, const void *buf, uint64_t len);
void i440fx_finish(struct i440fx *x);

extern const struct gamut_io_ops i440fx_segment_ops; /* 0xc0000-0xfffff; opaque is the chip */

#endif
