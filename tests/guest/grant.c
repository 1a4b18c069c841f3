/* SPDX-License-Identifier: MIT */
/* A grant table of one frame, version 1. */
#include "pv.h"

#include <xen/errno.h>

#define FIRST_REF 8 /* lower ones are reserved for tool stacks */

static struct grant_entry_v1 table[PAGE_BYTES / sizeof(struct grant_entry_v1)] PAGE_ALIGNED;

bool grant_init(void)
{
	if (probe.pv) {
		pv_map_grants(table);
		return probe.grants != NULL;
	}
	if (physmap_add(XENMAPSPACE_grant_table, 0, table) != 0)
		return false;
	probe.grants = table;
	return true;
}

uint32_t grant_page(const void *page, bool readonly)
{
	for (uint32_t ref = FIRST_REF; probe.grants && ref < ARRAY_LEN(table); ref++) {
		struct grant_entry_v1 *g = &probe.grants[ref];

		if (g->flags & GTF_type_mask)
			continue;
		g->domid = 0;
		g->frame = (uint32_t)frame_of(page);
		__atomic_store_n(&g->flags, GTF_permit_access | (readonly ? GTF_readonly : 0), __ATOMIC_RELEASE);
		return ref;
	}
	return 0;
}

void grant_end(uint32_t ref)
{
	if (ref)
		__atomic_store_n(&probe.grants[ref].flags, 0, __ATOMIC_SEQ_CST);
}

void check_grants(void)
{
	struct gnttab_query_size size = { .dom = DOMID_SELF };
	struct gnttab_query_size other = { .dom = 77 };

	check(HYPERCALL3(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, &size, 1) == 0 && size.status == GNTST_okay &&
	              size.max_nr_frames > 0,
	      "grants: size of the table");
	check(HYPERCALL3(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, &other, 1) == 0 &&
	              other.status != GNTST_okay,
	      "grants: no size of another domain's");
	check(HYPERCALL3(__HYPERVISOR_grant_table_op, 9999, &size, 1) == (probe.shim ? -XEN_EOPNOTSUPP : -XEN_ENOSYS),
	      "grants: an operation that is not there");
	check(probe.grants != NULL, "grants: frame 0 mapped");
}
