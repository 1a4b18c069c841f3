/* SPDX-License-Identifier: MIT */
/*
 * Direct boot of a kernel as a PVH guest, after Xen's docs/misc/pvh.pandoc:
 * the ELF segments at their physical addresses, then the ramdisk, then one
 * block with hvm_start_info (version 1), module list, memory map and command
 * line; vCPU 0 in 32-bit flat protected mode at XEN_ELFNOTE_PHYS32_ENTRY with
 * ebx pointing at the block.
 *
 * Ramdisk and block follow the kernel's last byte, as Xen's own builder has
 * it, so nothing overlaps by construction.
 */
#ifndef DM_XEN_PVH_H
#define DM_XEN_PVH_H

#include "dm/xen/memory.h"

struct pvh_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct xen_e820 *extra; /* see xen_memory_map */
	uint32_t n_extra;
	bool xen;      /* the guest is to find Xen: its hypercall instruction is put into the image */
	uint64_t rsdp; /* where the ACPI tables start, 0: a guest boots as with acpi=off */
};

/*
 * Checks the image without touching the guest: the entry note, and segments
 * that lie in RAM and do not overlap. 0, or what host->fail gave. [control]
 */
int pvh_check(const struct pvh_config *config);

/*
 * Loads everything and sets vCPU 0's state. Also for a reset. 0, or what
 * host->fail gave. [control]
 */
int pvh_load(const struct pvh_config *config);

#endif
