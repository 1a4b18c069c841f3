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
enum { XEN_E820_RAM = 1, XEN_E820_RESERVED = 2, XEN_E820_ACPI = 3 };

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

/* XENMEM_*: a gamut_hypercall_fn, opaque is the struct xen_memory. [vcpu] */
int64_t xen_memory_op(void *opaque, struct gamut_hypercall *call);

#endif
