/* SPDX-License-Identifier: MIT */
/*
 * The domain builder for PV guests: what Xen's tool stack does before a 64-bit
 * PV domain runs. It puts kernel, ramdisk, list of frames, start_info and page
 * tables where layout.h says, and fills in the hypercall page of a kernel that
 * has one. vCPU 0's registers are the monitor's to set (struct gamut_pv_boot).
 *
 * Frames. Page i of the guest is the i-th page of RAM in ascending order. All
 * that is built lies in the first range of RAM, which ends at 3 GiB at the
 * earliest, so its frames follow one by one; the list goes over all ranges.
 *
 * The rings. The console's page and port are given out after the image was
 * built: see pv_build_console.
 */
#ifndef DM_XEN_PV_BUILD_H
#define DM_XEN_PV_BUILD_H

#include "dm/xen/pv/layout.h"
#include "gamut/xen.h"

struct pv_build {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint64_t shared_info; /* machine address of that page */

	/* ---- by pv_build_check ---- */
	struct pv_layout layout;
	struct gamut_pv_boot boot;
	uint64_t first_frame; /* of page 0 */
};

/*
 * Checks the image against the guest's memory without touching it. 0, or what
 * host->fail gave. [control]
 */
int pv_build_check(struct pv_build *build);

/*
 * Loads everything, after a check; also for a reset. store_port is the store's
 * event channel. 0, or what host->fail gave. [control]
 */
int pv_build_load(const struct pv_build *build, uint32_t store_port);

/*
 * Puts the console's frame and event channel into start_info, which the guest
 * reads when it starts. After pv_build_load. 0 or -EFAULT. [control]
 */
int pv_build_console(const struct pv_build *build, uint64_t frame, uint32_t port);

/* The frame of a page of the layout. */
static inline uint64_t pv_build_frame(const struct pv_build *build, uint64_t pfn)
{
	return build->first_frame + pfn;
}

#endif
