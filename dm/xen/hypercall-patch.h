/* SPDX-License-Identifier: MIT */
/*
 * Linux has made its hypercalls by vmcall or vmmcall in its own code since
 * XSA-466, and no longer through the hypercall page. On an engine where those
 * are no hypercalls, they are replaced as the image is loaded.
 *
 * Where they are: two functions, xen_hypercall_amd and xen_hypercall_intel,
 * begin with the instruction and lie next to each other, aligned to 16 bytes.
 * Elsewhere in an image the same bytes belong to guests of other hypervisors,
 * to KVM's for one, and stay. An image without exactly one such pair is left
 * as it is: it has a hypercall page, or is not known here.
 */
#ifndef DM_XEN_HYPERCALL_PATCH_H
#define DM_XEN_HYPERCALL_PATCH_H

#include "gamut/host.h"

/* After the segments are in memory. 0, also when there is nothing to be done, or -errno. [control] */
int xen_hypercall_patch(const struct gamut_host *host, struct gamut_inst *inst, const struct gamut_boot *boot);

#endif
