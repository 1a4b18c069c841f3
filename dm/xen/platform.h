/* SPDX-License-Identifier: MIT */
/*
 * The hypercalls of a Xen platform that are neither events nor time, composed
 * for a platform plugin: memory_op, grant_table_op, xen_version, hvm_op,
 * console_io, physdev_op and multicall.
 *
 * Which numbers exist is what Xen has for HVM guests; all others are not
 * registered, and the core answers -ENOSYS.
 */
#ifndef DM_XEN_PLATFORM_H
#define DM_XEN_PLATFORM_H

#include "dm/xen/memory.h"

#define CONSOLE_LINE 128u

struct xen_platform {
	struct xen_env env;
	struct grant_table grants;
	struct xen_memory memory;
	const struct gamut_xen_intr_ops *intr; /* NULL: emulated interrupts only */
	void *intr_self;
	const struct gamut_xenbus_ops *params; /* hvm_param_get and _set are used */
	void *params_self;

	/* console_io: text for the domain's log, a line at a time */
	pthread_mutex_t line_lock;
	char line[CONSOLE_LINE];
	uint32_t line_len;
	uint64_t line_second; /* of the last line, and how many were logged in it */
	uint32_t line_count;
	uint64_t *lines_dropped; /* counter */
};

/* extra: see xen_memory_map. 0 or -errno. [control] */
int xen_platform_init(struct xen_platform *p, const struct gamut_host *host, struct gamut_inst *inst,
                      const struct xen_e820 *extra, uint32_t n_extra);
void xen_platform_finish(struct xen_platform *p);
/* The peers; intr may be NULL. Before the guest runs. [control] */
void xen_platform_connect(struct xen_platform *p, const struct gamut_xen_intr_ops *intr, void *intr_self,
                          const struct gamut_xenbus_ops *params, void *params_self);
/* Registers the hypercalls and the hypercall-page MSR. 0 or -errno. [control] */
int xen_platform_register(struct xen_platform *p);
/* Takes all host pages out of the guest's map, so that an image can be loaded. [control] */
void xen_platform_reset(struct xen_platform *p);

/* ---- one file each; opaque is the struct xen_platform. [vcpu] ---- */

int64_t xen_version_op(void *opaque, struct gamut_hypercall *call);    /* version.c */
int64_t xen_hvm_op(void *opaque, struct gamut_hypercall *call);        /* hvm-op.c */
int64_t xen_console_io(void *opaque, struct gamut_hypercall *call);    /* console-io.c */
int64_t xen_multicall(void *opaque, struct gamut_hypercall *call);     /* multicall.c */

/* The debug console's port, for guests in HVM containers: console-io.c. 0 or -errno. [control] */
int xen_console_port_register(struct xen_platform *p);

/* Runs a hypercall by number, for multicall. */
int64_t xen_platform_call(struct xen_platform *p, struct gamut_hypercall *call);

/* ---- CPUID leaves and the hypercall page: cpuid.c ---- */

#define XEN_CPUID_BASE 0x40000000u
#define XEN_MSR_HYPERCALL 0x40000000u

/* Sets 0x40000000 .. +4 for all vCPUs. 0 or -errno. [control] */
int xen_cpuid_set(const struct xen_platform *p);
/* Offers the processor's MTRRs, as Xen does in HVM containers. 0 or -errno. [control] */
int xen_cpuid_set_mtrr(const struct xen_platform *p);
/* Registers 0x40000000. 0 or -errno. [control] */
int xen_msr_register(struct xen_platform *p);
/* The stubs: `mov $nr, %eax; vmcall or vmmcall; ret`, 32 bytes apart. Pure. */
void xen_hypercall_page(uint8_t page[4096], bool amd);

#endif
