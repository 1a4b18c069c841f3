/* SPDX-License-Identifier: MIT */
/*
 * memory_op for a PV guest, which deals in machine frames and has no map to
 * change: what it gives back is a set of frames, and what it gets comes out of
 * that set. The host has no other memory for it, so an exchange for adjacent
 * frames succeeds only when the guest itself has given up such, now or before;
 * otherwise it is answered as by a Xen whose memory is full of holes.
 */
#ifndef DM_XEN_PV_MEMORY_OP_H
#define DM_XEN_PV_MEMORY_OP_H

#include "dm/xen/memory.h"

/* After xen_memory_init. 0 or -ENOMEM. [control] */
int pv_memory_init(struct xen_memory *m);
void pv_memory_finish(struct xen_memory *m);
void pv_memory_reset(struct xen_memory *m);

/* XENMEM_*: a gamut_hypercall_fn, opaque is the struct xen_memory. [vcpu] */
int64_t pv_memory_op(void *opaque, struct gamut_hypercall *call);

#endif
