/* SPDX-License-Identifier: MIT */
/*
 * memory_op: the guest physical memory map as the guest may change it.
 *
 * A guest frame is RAM, a hole, or a page of the host's (shared_info, grant
 * frames) that the guest has put there. There is no other translation, so a
 * frame cannot be moved (XENMAPSPACE_gmfn); that is answered -ENOSYS.
 */
#ifndef DM_XEN_MEMORY_H
#define DM_XEN_MEMORY_H

#include "dm/xen/grant.h"

/* An entry of XENMEM_memory_map: the e820 layout, 20 bytes. */
struct xen_e820 {
	uint64_t addr, size;
	uint32_t type;
} __attribute__((packed));

#define XEN_E820_MAX 16u
#define XEN_MEMORY_ORDER 9u   /* of an extent: Xen's limit for unprivileged guests */
#define XEN_MEMORY_BATCH 512u /* pages between two looks at the vCPU's attention */
enum { XEN_E820_RAM = 1, XEN_E820_RESERVED = 2, XEN_E820_ACPI = 3 };

/* What a PV guest's memory has beside; see pv/memory-op.h. */
struct pv_memory {
	const struct gamut_pv_monitor_ops *monitor;
	void *monitor_self;
	uint64_t rings, n_rings; /* frames of RAM that host pages lie over, and that stay */
	uint64_t *spare;         /* bit array by frame: given back by the guest */
	uint64_t lowest;         /* no frame below is spare */
};

struct xen_memory {
	const struct xen_env *env;
	struct grant_table *grants;
	const struct gamut_xen_intr_ops *intr; /* NULL: no shared_info */
	void *intr_self;
	pthread_mutex_t lock;  /* one change of the map at a time */
	struct xen_e820 map[XEN_E820_MAX];
	uint32_t n_map;
	uint64_t total, max_gfn; /* pages as configured; highest frame of RAM */
	uint64_t released;       /* pages given back; atomic */
	struct pv_memory pv;
};

/*
 * The map to be shown: the domain's RAM, and between it the n_extra ranges
 * that are something else, in ascending order. How many entries of map, which
 * has XEN_E820_MAX, were written, or -ENOMEM for more. [control]
 */
int xen_memory_map(const struct gamut_host *host, struct gamut_inst *inst, const struct xen_e820 *extra,
                   uint32_t n_extra, struct xen_e820 *map);

/* extra: see xen_memory_map. 0 or -ENOMEM. [control] */
int xen_memory_init(struct xen_memory *m, const struct xen_env *env, struct grant_table *grants,
                    const struct xen_e820 *extra, uint32_t n_extra);
void xen_memory_finish(struct xen_memory *m);
void xen_memory_reset(struct xen_memory *m);

/* ---- memory-common.c: for the tables of sub-operations; self is the struct xen_memory. [vcpu] ---- */

/* What is done with each extent of a reservation: frames are taken from its list, or put there, or both. */
struct xen_extents {
	bool in, out;
	/* n frames from *frame on; false ends the loop. Under m->lock. */
	bool (*one)(struct xen_memory *m, uint64_t *frame, uint64_t n);
};

/*
 * For every extent of a reservation from the one noted in the command on. The
 * result is how many were done, so a failure ends the loop and is not told
 * otherwise.
 */
int64_t xen_memory_extents(struct xen_memory *m, struct gamut_hypercall *call, uint64_t arg,
                           const struct xen_extents *how);
uint32_t xen_memory_command(const struct gamut_hypercall *call);
/* 0 when the domain is the guest itself; -EPERM, -ESRCH. The second reads it from arg: -EFAULT too. */
int64_t xen_memory_domain(const struct xen_memory *m, uint32_t domid);
int64_t xen_memory_get_domain(struct xen_memory *m, struct gamut_hypercall *call, uint64_t arg);

int64_t xen_memory_ask_maximum_ram_page(void *self, struct gamut_hypercall *call, uint64_t arg);
int64_t xen_memory_ask_current_reservation(void *self, struct gamut_hypercall *call, uint64_t arg);
int64_t xen_memory_ask_maximum_reservation(void *self, struct gamut_hypercall *call, uint64_t arg);
int64_t xen_memory_ask_memory_map(void *self, struct gamut_hypercall *call, uint64_t arg);
int64_t xen_memory_denied(void *self, struct gamut_hypercall *call, uint64_t arg);  /* -EPERM */
int64_t xen_memory_no_vnuma(void *self, struct gamut_hypercall *call, uint64_t arg); /* -EOPNOTSUPP */

/* XENMEM_*: a gamut_hypercall_fn, opaque is the struct xen_memory. [vcpu] */
int64_t xen_memory_op(void *opaque, struct gamut_hypercall *call);

#endif
