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
 * Reads the RAM map; reserved (may be NULL) is shown as reserved between. 0 or
 * -ENOMEM for more ranges than XEN_E820_MAX. [control]
 */
int xen_memory_init(struct xen_memory *m, const struct xen_env *env, struct grant_table *grants,
                    const struct gamut_mem_range *reserved);
void xen_memory_finish(struct xen_memory *m);
void xen_memory_reset(struct xen_memory *m);

/* XENMEM_*: a gamut_hypercall_fn, opaque is the struct xen_memory. [vcpu] */
int64_t xen_memory_op(void *opaque, struct gamut_hypercall *call);

#endif
