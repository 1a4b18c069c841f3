/* SPDX-License-Identifier: MIT */
/*
 * The tool stack's part of a Xen domain: it owns the domain's xenstore, fills
 * it with what libxl would, makes device directories, and keeps the HVM
 * params and the special frames.
 *
 * A platform plugin makes one and gives it to the others as
 * GAMUT_XENBUS = xenbus_ops with the struct xenbus as self:
 *
 *     create:   bus = xenbus_create(&config)
 *     start:    xenbus_start(bus, evtchn, evtchn_self)
 *     reset:    xenbus_reset(bus)
 *     stop:     xenbus_stop(bus)
 *     destroy:  xenbus_destroy(bus)
 */
#ifndef DM_XEN_XENBUS_H
#define DM_XEN_XENBUS_H

#include <stdint.h>

#include "gamut/host.h"
#include "gamut/xen.h"

struct xenbus;
struct xenstore;

struct xenbus_config {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	/*
	 * Guest frames kept out of the RAM map for host pages, as libxl has them
	 * at 0xfeff8 .. 0xfeffe; the first goes to xenstore itself. At least two
	 * for a domain with a console. May lie above 4 GiB.
	 */
	uint64_t special_gfn;
	uint32_t special_count;
	/*
	 * Told of every HVM param that a plugin sets through xenbus_ops; NULL:
	 * nobody. What it returns is that call's result.
	 */
	int (*param_set)(void *opaque, uint32_t index, uint64_t value);
	void *opaque;
};

/* Makes the store and its tree. NULL with errno set. [control] */
struct xenbus *xenbus_create(const struct xenbus_config *config);
/* NULL is allowed. [control] */
void xenbus_destroy(struct xenbus *bus);

/*
 * Maps the xenstore page at the first special frame, allocates the guest's
 * store event channel, sets HVM_PARAM_STORE_PFN and _EVTCHN and fills the
 * tree. The memory size is read from host->mem_ranges. 0 or -errno (the caller
 * says it to the user). [control]
 */
int xenbus_start(struct xenbus *bus, const struct gamut_evtchn_ops *evtchn, void *evtchn_self);

/*
 * Guest reset: the tree and the params as after start, same frames and port.
 * Special frames that were given out stay given out. Device directories are
 * gone: each back end adds its own again in its reset. [control]
 */
int xenbus_reset(struct xenbus *bus);

/* Disconnects the guest and unmaps the page. xenbus_start may follow. [control] */
void xenbus_stop(struct xenbus *bus);

struct xenstore *xenbus_store(struct xenbus *bus);
/* The guest's own directory, "/local/domain/N". */
const char *xenbus_home(const struct xenbus *bus);

/*
 * HVM params as the guest's HVMOP_get_param/set_param keep them too; which
 * ones a guest may set is for the caller to decide. -EINVAL for an index from
 * HVM_NR_PARAMS on. [any]
 */
int xenbus_hvm_param_set(struct xenbus *bus, uint32_t index, uint64_t value);
int xenbus_hvm_param_get(struct xenbus *bus, uint32_t index, uint64_t *value);

/* self is the struct xenbus. */
extern const struct gamut_xenbus_ops xenbus_ops;

#endif
