/* SPDX-License-Identifier: MIT */
/*
 * The hypercalls of a Xen platform that are neither events nor time, composed
 * for a platform plugin: memory_op, grant_table_op, xen_version, hvm_op,
 * console_io, physdev_op and multicall.
 *
 * Which numbers exist is what Xen has for guests of the mode; all others are
 * not registered here, and the core answers -ENOSYS unless another plugin has
 * them (a PV guest's monitor).
 */
#ifndef DM_XEN_PLATFORM_H
#define DM_XEN_PLATFORM_H

#include "dm/xen/memory.h"

#define CONSOLE_LINE 128u

/* What the guest's mode changes of it. */
struct xen_flavour {
	bool pv;                                /* the guest deals in machine frames */
	const struct xen_hypercall *hypercalls; /* what the platform itself serves; opaque is the struct xen_platform */
	uint32_t n_hypercalls;
	const char *capabilities;       /* XENVER_capabilities */
	uint32_t features;              /* XENFEAT_* mask, */
	uint32_t vector_features;       /* and these too when there are upcalls by vectors, */
	uint32_t time_features;         /* or PV time */
	uint64_t virt_start;            /* XENVER_platform_parameters */
	uint32_t last_leaf;             /* of CPUID, from XEN_CPUID_BASE */
};

extern const struct xen_flavour xen_flavour_hvm, xen_flavour_pv;

struct xen_platform {
	const struct xen_flavour *flavour;
	struct xen_env env;
	struct grant_table grants;
	struct xen_memory memory;
	const struct gamut_xen_intr_ops *intr; /* NULL: emulated interrupts only */
	void *intr_self;
	uint32_t can;      /* enum gamut_xen_intr_can */
	uint64_t *started; /* sign: the guest asks what every Xen guest asks first; NULL: other platforms' guests may, too */
	const struct gamut_xenbus_ops *params; /* hvm_param_get and _set are used */
	void *params_self;
	uint8_t insn[3]; /* the guest's hypercall instruction */

	/* console_io: text for the domain's log, a line at a time */
	pthread_mutex_t line_lock;
	char line[CONSOLE_LINE];
	uint32_t line_len;
	uint64_t line_second; /* of the last line, and how many were logged in it */
	uint32_t line_count;
	uint64_t *lines_dropped; /* counter */
};

/* extra: see xen_memory_map. 0 or -errno. [control] */
int xen_platform_init(struct xen_platform *p, const struct xen_flavour *flavour, const struct gamut_host *host,
                      struct gamut_inst *inst, const struct xen_e820 *extra, uint32_t n_extra);
void xen_platform_finish(struct xen_platform *p);
/* The peers; intr may be NULL. Before the guest runs. [control] */
void xen_platform_connect(struct xen_platform *p, const struct gamut_xen_intr_ops *intr, void *intr_self,
                          const struct gamut_xenbus_ops *params, void *params_self);
/* Registers the hypercalls and, but for PV, the hypercall-page MSR. 0 or -errno. [control] */
int xen_platform_register(struct xen_platform *p);
/* Takes all host pages out of the guest's map, so that an image can be loaded. [control] */
void xen_platform_reset(struct xen_platform *p);

/* ---- one file each; opaque is the struct xen_platform. [vcpu] ---- */

int64_t xen_version_op(void *opaque, struct gamut_hypercall *call);    /* version.c */
int64_t xen_hvm_op(void *opaque, struct gamut_hypercall *call);        /* hvm-op.c */
int64_t xen_console_io(void *opaque, struct gamut_hypercall *call);    /* console-io.c */
int64_t xen_multicall(void *opaque, struct gamut_hypercall *call);     /* multicall.c */

/* Text for the domain's log, from the emergency consoles: console-io.c. [vcpu] */
void xen_console_put(struct xen_platform *p, const char *text, uint32_t n);
/* The debug console's port, for guests in HVM containers: console-io.c. 0 or -errno. [control] */
int xen_console_port_register(struct xen_platform *p);

/* Runs a hypercall by number, for multicall. */
int64_t xen_platform_call(struct xen_platform *p, struct gamut_hypercall *call);

/* ---- CPUID leaves and the hypercall page: cpuid.c ---- */

#define XEN_CPUID_BASE 0x40000000u
#define XEN_MSR_HYPERCALL 0x40000000u

/* Sets the leaves from 0x40000000 on for all vCPUs. 0 or -errno. [control] */
int xen_cpuid_set(const struct xen_platform *p);
/* Offers the processor's MTRRs, as Xen does in HVM containers. 0 or -errno. [control] */
int xen_cpuid_set_mtrr(const struct xen_platform *p);
/* Registers 0x40000000. 0 or -errno. [control] */
int xen_msr_register(struct xen_platform *p);
/* The stubs: `mov $nr, %eax; the instruction; ret`, 32 bytes apart. Pure. */
void xen_hypercall_page(uint8_t page[4096], const uint8_t insn[3]);
/* For a kernel in ring 3: `syscall`, with rcx and r11, which it takes, saved around. Pure. */
void xen_hypercall_page_pv(uint8_t page[4096]);

#endif
