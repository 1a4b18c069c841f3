/* SPDX-License-Identifier: MIT */
/*
 * What a kernel says of itself as a PV guest, after Xen's libelf: ELF notes,
 * or the string of a "__xen_guest" section in kernels from before the notes.
 */
#ifndef DM_XEN_PV_NOTES_H
#define DM_XEN_PV_NOTES_H

#include <stdbool.h>

#include "dm/xen/public.h"
#include "gamut/host.h"

#define PV_UNSET UINT64_MAX /* of a virtual address */

struct pv_notes {
	uint64_t virt_base;      /* where pseudo-physical address 0 is mapped; 0 by default */
	uint64_t paddr_offset;   /* p_paddr of what goes there */
	uint64_t entry;          /* the ELF header's by default */
	uint64_t hypercall_page; /* PV_UNSET: none */
	uint64_t init_p2m;       /* PV_UNSET: the list follows the kernel */
	bool mod_start_pfn;      /* the ramdisk need not be mapped */
};

/* The XENFEAT_* that PV guests have, as XENVER_get_features tells. */
#define PV_FEATURES                                                                                                    \
	(1u << XENFEAT_mmu_pt_update_preserve_ad | 1u << XENFEAT_highmem_assist |                                      \
	 1u << XENFEAT_gnttab_map_avail_bits | 1u << XENFEAT_direct_mapped)

/*
 * Reads them and refuses a kernel that is no 64-bit PV guest of Xen's interface
 * 3.0 or that requires what there is not. Addresses are unchecked. 0, or what
 * host->fail gave. [control]
 */
int pv_notes_read(struct pv_notes *notes, const struct gamut_host *host, struct gamut_inst *inst,
                  const struct gamut_boot *boot);

#endif
