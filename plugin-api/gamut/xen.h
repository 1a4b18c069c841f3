/* SPDX-License-Identifier: MIT */
/*
 * Interfaces among the plugins that make up a Xen-like domain. Each struct is
 * fetched with host->lookup(inst, ID, REVISION, 0, &self).
 *
 * Who gives what in a PVH domain: intr-xen gives "event-channels";
 * platform-pvh gives "grants" and "xenbus". disk-xen, net-xen and console-xen
 * need all three. In a PV domain platform-pv gives the latter two, and mmu-pv
 * gives "pv-monitor". On a PC, platform-pc gives them and "xen-unplug", and the
 * event channels are intr-xen's or intr-apic's.
 */
#ifndef GAMUT_XEN_H
#define GAMUT_XEN_H

#include "gamut/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GAMUT_EVENT_CHANNELS "event-channels"
#define GAMUT_GRANTS "grants"
#define GAMUT_XENBUS "xenbus"
#define GAMUT_XEN_INTERRUPTS "xen-interrupts"
#define GAMUT_PV_MONITOR "pv-monitor"
#define GAMUT_XEN_REVISION 1u

struct gamut_hypercall;

/*
 * Runs on the thread that notified: [vcpu] or [io]. Must be brief, and not wait
 * for another thread; of the ops below it may call notify, and map and unmap of
 * grants.
 */
typedef void (*gamut_evtchn_fn)(void *opaque);

struct gamut_evtchn_ops {
	uint32_t size;
	/*
	 * A new unbound port of the guest whose remote end is the back end
	 * (domain 0), as a tool stack makes for console and xenstore, with the
	 * back end already attached: the guest may bind or send at once. Returns
	 * the port, or -errno. The port belongs to the domain's set-up: after a
	 * guest reset it is there again with its back end attached, whatever the
	 * guest did to it, until unbind. [control]
	 */
	int (*alloc)(void *self, gamut_evtchn_fn fn, void *opaque);
	/*
	 * Attaches a back end to a port that the guest allocated as unbound for
	 * domain 0 and published. 0; -EINVAL when the port is no such port;
	 * -EBUSY when another back end has it. [io] [vcpu]
	 */
	int (*bind)(void *self, uint32_t port, gamut_evtchn_fn fn, void *opaque);
	/*
	 * The back end lets go; the guest's port is unbound again. Waits until fn
	 * runs no more, so it may not be called from fn. [io] [control]
	 */
	void (*unbind)(void *self, uint32_t port);
	/* Marks the guest's port pending and delivers the upcall unless masked. [any] */
	void (*notify)(void *self, uint32_t port);
};

/*
 * What a platform needs of the interrupts plugin beside event channels: the
 * parts of Xen's ABI where memory, HVM params and events meet. Given by
 * intr-xen as "xen-interrupts", and by intr-apic, when somebody needs event
 * channels, for a PC with PV drivers.
 */
#define GAMUT_GPA_NONE UINT64_MAX

/* Without a vector, upcalls come by an interrupt line: HVM_PARAM_CALLBACK_IRQ of the types GSI and PCI INTx. */
enum gamut_xen_intr_can {
	GAMUT_XEN_INTR_VECTOR = 1, /* upcalls by vectors, the domain's and each vCPU's */
	GAMUT_XEN_INTR_TIME = 2,   /* PV timers and clocks */
};

struct gamut_xen_intr_ops {
	uint32_t size;
	/*
	 * Runs a hypercall of those that the interrupts plugin has registered
	 * (event_channel_op, vcpu_op, sched_op, ...), as part of a multicall.
	 * -ENOSYS for any other number. [vcpu]
	 */
	int64_t (*hypercall)(void *self, struct gamut_hypercall *call);
	/*
	 * Puts the shared_info page at a page of the guest physical space, from
	 * wherever it was; GAMUT_GPA_NONE takes it away. 0 or -errno. [vcpu] [control]
	 */
	int (*shared_info_place)(void *self, uint64_t gpa);
	/* Where it is; GAMUT_GPA_NONE at first. [vcpu] [control] */
	uint64_t (*shared_info_where)(void *self);
	/*
	 * The guest's word size is now as given: the layout of shared_info
	 * follows. As Xen, on HVM_PARAM_CALLBACK_IRQ and the hypercall page. [vcpu]
	 */
	void (*latch_mode)(void *self, uint32_t long_mode);
	/* HVM_PARAM_CALLBACK_IRQ was set by the guest. 0 or -errno. [vcpu] */
	int (*callback_set)(void *self, uint64_t via);
	/* HVMOP_set_evtchn_upcall_vector: -ENOENT no such vCPU, -EINVAL no such vector. [vcpu] */
	int (*upcall_vector_set)(void *self, uint32_t vcpu, uint32_t vector);
	/*
	 * Upcalls are the PV monitor's to deliver: an event makes the vCPU's
	 * evtchn_upcall_pending 1 and raises the vCPU (host->irq_raise), whatever
	 * the mask; no vector is ever given. vcpu_infos begin with the mask set, and
	 * vcpu_op and vm_assist are the monitor's to register, which passes on what
	 * is not its own. Before start, for good. [control]
	 */
	void (*upcall_by_monitor)(void *self);
	/*
	 * The vCPU's vcpu_info (struct vcpu_info, 64-bit layout: pending is byte 0,
	 * mask byte 1), or NULL while there is none. Valid until the guest
	 * registers another or the domain pauses. [vcpu] of that vCPU, [control]
	 */
	uint8_t *(*vcpu_info)(void *self, uint32_t vcpu);
	/*
	 * What the guest may be offered by feature bits and CPUID: a mask of enum
	 * gamut_xen_intr_can, constant. Without this function: all of it. [any]
	 */
	uint32_t (*can)(void *self);
};

/*
 * The monitor of a PV guest, given by mmu-pv as "pv-monitor". Frame numbers of
 * RAM: pseudo-physical frame i is the i-th page of RAM in ascending order of
 * guest physical address, whose number is its machine frame.
 */
struct gamut_pv_boot {
	uint32_t size;
	uint32_t reserved;
	uint64_t root;  /* machine frame of the top-level table; it and all below it count as pinned */
	uint64_t entry, stack, start_info; /* virtual addresses: rip, rsp, rsi */
};

struct gamut_pv_monitor_ops {
	uint32_t size;
	/*
	 * The image is in memory, with its page tables: takes them over, puts the
	 * monitor's entries into the top-level table and gives vCPU 0 its
	 * registers. In start and reset. 0 or -errno, with host->fail of the
	 * platform's instance left to the caller. [control]
	 */
	int (*boot)(void *self, const struct gamut_pv_boot *boot);
	/* What XENMEM_machphys_mapping tells. [any] */
	void (*machphys)(void *self, uint64_t *v_start, uint64_t *v_end, uint64_t *max_mfn);
	/*
	 * Whether the page is the guest's to hand over (balloon, exchange): RAM that
	 * is no page table, descriptor table or vcpu_info of it. gone and here tell
	 * of pages that were released and populated. [vcpu]
	 */
	int (*page_free)(void *self, uint64_t mfn);
	void (*page_gone)(void *self, uint64_t mfn);
	void (*page_here)(void *self, uint64_t mfn, uint64_t pfn);
};

/*
 * Grants of guest memory to domain 0. Every reference is checked on each call:
 * range, type, read-only, in-use marking (GTF_reading, GTF_writing) as Xen
 * does it.
 */
struct gamut_grant_ops {
	uint32_t size;
	/*
	 * Maps one page granted to domain 0; write nonzero when it will be
	 * written. Returns a host pointer to 4096 bytes or NULL, with the frame's
	 * guest physical address in *gpa when gpa is not NULL. [io] [vcpu]
	 */
	void *(*map)(void *self, uint32_t ref, int write, uint64_t *gpa);
	/* dirty nonzero: the page was written. [io] [vcpu] */
	void (*unmap)(void *self, uint32_t ref, void *page, int dirty);
};

struct gamut_xs_watch;

/* path and token are valid during the call only. [io] */
typedef void (*gamut_xs_watch_fn)(void *opaque, const char *path);

/*
 * The store as domain 0 (the back ends) sees it: full rights everywhere.
 * Paths are absolute. All of it runs on [io] or [control]; the store is not
 * shared between threads.
 */
struct gamut_xenbus_ops {
	uint32_t size;
	/* A copy of the value, NUL-terminated, to be freed with free(); NULL with errno set. *len may be NULL. */
	char *(*read)(void *self, const char *path, uint32_t *len);
	int (*write)(void *self, const char *path, const void *value, uint32_t len);
	int (*rm)(void *self, const char *path);
	/*
	 * Calls fn after every change at or below path, and once at first. The
	 * handle ends it. NULL with errno set on failure.
	 */
	struct gamut_xs_watch *(*watch)(void *self, const char *path, gamut_xs_watch_fn fn, void *opaque);
	void (*unwatch)(void *self, struct gamut_xs_watch *watch);
	/*
	 * Makes the pair of directories of a device of class `type` ("vbd",
	 * "vif") with their cross links, states XenbusStateInitialising and the
	 * permissions of a tool stack. paths are written to the two buffers.
	 */
	int (*device_add)(void *self, const char *type, uint32_t devid, char *frontend, uint32_t frontend_len,
	                  char *backend, uint32_t backend_len);
	int (*device_remove)(void *self, const char *type, uint32_t devid);
	/*
	 * HVM_PARAM_* values, which a tool stack or console sets for the guest to
	 * read. A PV guest reads what there is of them in start_info, so they are
	 * set in start and reset.
	 */
	int (*hvm_param_set)(void *self, uint32_t index, uint64_t value);
	int (*hvm_param_get)(void *self, uint32_t index, uint64_t *value);
	/*
	 * Guest frame number reserved for a host page that the guest reaches
	 * through an HVM param (console ring): the platform keeps it out of the
	 * RAM map, or of what a PV guest takes for free RAM, and hands out each
	 * once. 0 when none is left.
	 */
	uint64_t (*special_gfn)(void *self);
};

/*
 * The unplug protocol of a PC with Xen on it (Xen's docs/misc/hvm-emulated-
 * unplug.pandoc): a guest that has PV drivers writes to port 0x10 which kinds
 * of emulated devices shall go, before it looks for devices. Given by
 * platform-pc as "xen-unplug" when the domain has Xen's parts.
 *
 * What goes are the emulated twins that PV disks and cards have, so that
 * firmware can boot from them. An emulated device that stands by itself stays:
 * nothing would take its place.
 */
#define GAMUT_XEN_UNPLUG "xen-unplug"

enum gamut_xen_unplug {
	GAMUT_XEN_UNPLUG_DISKS = 1,     /* IDE disks, not CD-ROM drives */
	GAMUT_XEN_UNPLUG_NICS = 2,
	GAMUT_XEN_UNPLUG_AUX_DISKS = 4, /* all IDE disks but the first */
};

/* `kinds` is the mask that the guest wrote. When it returns, the guest does not find the device any more. [vcpu] */
typedef void (*gamut_xen_unplug_fn)(void *opaque, uint32_t kinds);

struct gamut_xen_unplug_ops {
	uint32_t size;
	/*
	 * fn is called when the guest unplugs any of `kinds`. A reset plugs in
	 * again: that is for the owner of the device to do, in its own reset. In
	 * start. 0 or -errno. [control]
	 */
	int (*add)(void *self, uint32_t kinds, gamut_xen_unplug_fn fn, void *opaque);
};

#ifdef __cplusplus
}
#endif
#endif
