/* SPDX-License-Identifier: MIT */
/*
 * A domain's xenstore, in the process of its monitor: one tree, one guest
 * connection over the shared ring page, and the back ends as domain 0.
 *
 * The store is single-threaded: everything here runs on [io], or on [control]
 * while the I/O thread is parked, but for the event-channel callback, which
 * only defers.
 */
#ifndef DM_XEN_XENSTORE_H
#define DM_XEN_XENSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "gamut/host.h"
#include "gamut/xen.h"

struct xenstore;

/*
 * An empty store with the root directories of a host. domid is the guest's.
 * Returns NULL with errno set. [control]
 */
struct xenstore *xenstore_create(const struct gamut_host *host, struct gamut_inst *inst, uint32_t domid);
/* Ends watches, transactions and the connection. NULL is allowed. [control] */
void xenstore_destroy(struct xenstore *xs);

/*
 * Connects the guest: page is the shared ring page (4096 bytes, owned by the
 * caller, valid until xenstore_detach), port is found with evtchn->alloc and
 * returned. -errno on failure. [control]
 */
int xenstore_attach(struct xenstore *xs, void *page, const struct gamut_evtchn_ops *evtchn,
                    void *evtchn_self);
/* The guest's connection ends; its watches and transactions go. The tree stays. [control] */
void xenstore_detach(struct xenstore *xs);

/*
 * Guest reset: an empty tree, no guest watches or transactions, and an empty
 * ring on a connection that stays as it is. Back-end watches stay, and fire
 * once. 0 or -errno. [control]
 */
int xenstore_reset(struct xenstore *xs);

/* ---- the store as domain 0 sees it: full rights, absolute paths ---------- */

/* As struct gamut_xenbus_ops.read: to be freed with free(); NULL with errno set. */
char *xenstore_read(struct xenstore *xs, const char *path, uint32_t *len);
/* Creates missing parents with the permissions of the nearest existing one. 0 or -errno. */
int xenstore_write(struct xenstore *xs, const char *path, const void *value, uint32_t len);
/* 0, or -ENOENT when there is no such node. */
int xenstore_rm(struct xenstore *xs, const char *path);

/* Permissions as in the wire protocol: 'n' none, 'r' read, 'w' write, 'b' both. */
struct xs_perm {
	uint32_t domid;
	char access;
};

/* perms[0] names the owner and the access of everybody not listed. 0 or -errno. */
int xenstore_set_perms(struct xenstore *xs, const char *path, const struct xs_perm *perms, uint32_t n);

/* As struct gamut_xenbus_ops.watch. Callbacks run on [io], never from inside another call of this file. */
struct gamut_xs_watch *xenstore_watch(struct xenstore *xs, const char *path, gamut_xs_watch_fn fn,
                                      void *opaque);
void xenstore_unwatch(struct xenstore *xs, struct gamut_xs_watch *watch);
/* Whether the guest has a watch that fires when this node changes. */
bool xenstore_is_watched(struct xenstore *xs, const char *path);

#endif
