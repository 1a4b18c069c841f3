/* SPDX-License-Identifier: MIT */
/* The expansion ROM from which an e1000 boots by network: the option "rom" of the plugins that have such a card. */
#ifndef NET_E1000_ROM_H
#define NET_E1000_ROM_H

#include "gamut/host.h"

#define E1000_ROM_DEFAULT "/usr/lib/ipxe/qemu/pxe-e1000.rom"
#define E1000_ROM_HELP                                                                                       \
	"Expansion ROM, for network boot; \"\": none. If not given " E1000_ROM_DEFAULT ", where that exists"

/*
 * Reads it. 0, with *rom NULL for none, else to be freed; or what host->fail
 * gave. [control]
 */
int e1000_rom_read(const struct gamut_host *host, struct gamut_inst *inst, void **rom, uint32_t *size);

#endif
