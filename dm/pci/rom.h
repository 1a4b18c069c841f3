/* SPDX-License-Identifier: MIT */
/* Expansion ROMs of functions, as files on the host. */
#ifndef DM_PCI_ROM_H
#define DM_PCI_ROM_H

#include "gamut/host.h"

/* Help text of the option; fallback is a string literal. */
#define PCI_ROM_HELP(fallback)                                                                               \
	"Expansion ROM, for network boot; \"\": none. If not given " fallback ", where that exists"

/*
 * The file that the option "rom" names ("": none); without the option
 * `fallback`, if that is there. *rom is NULL when there is none, else the
 * caller's to free. 0, or -errno after host->fail. [control]
 */
int pci_rom_read(const struct gamut_host *host, struct gamut_inst *inst, const char *fallback, void **rom,
                 uint32_t *size);

#endif
