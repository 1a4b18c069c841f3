/* SPDX-License-Identifier: MIT */
/* The parts of a store, shared by xenstore.c, xs-conn.c and xs-ops.c alone. */
#ifndef DM_XEN_XS_STORE_H
#define DM_XEN_XS_STORE_H

#include "dm/xen/xenstore.h"
#include "dm/xen/xs-ring.h"
#include "dm/xen/xs-transaction.h"
#include "dm/xen/xs-tree.h"
#include "dm/xen/xs-watch.h"

/*
 * The guest's connection. One request is assembled in, one message waits in
 * out; no request is taken while a message waits, so that a guest that does
 * not read its answers stops being served instead of filling our memory.
 */
struct xs_conn {
	struct xs_ring ring;
	bool ignored; /* broke the protocol; until it reconnects */
	struct xsd_sockmsg head;
	uint32_t head_have, body_have;
	char body[XENSTORE_PAYLOAD_MAX + 1];
	char out[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
	uint32_t out_len, out_sent;

	const struct gamut_evtchn_ops *evtchn;
	void *evtchn_self;
	uint32_t port;
};

struct xenstore {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint32_t domid;
	char home[XS_HOME_SIZE];
	uint32_t home_len;
	uint64_t gen;
	struct xs_tree tree;
	struct xs_watches watches;
	struct xs_tx_list transactions;
	struct gamut_defer *defer;
	struct xs_conn conn;
	uint64_t *n_requests, *n_refused, *n_broken;
};

/* A request being answered. */
struct xs_req {
	struct xenstore *xs;
	uint32_t type, tx_id;
	struct xs_tx *tx;
	const char *body; /* len bytes and a NUL */
	uint32_t len;
	char *reply; /* room for XENSTORE_PAYLOAD_MAX bytes */
	uint32_t reply_len;
	char path[XS_PATH_SIZE];
};

/* Makes a change for domain `by` and raises the events. 0 or -errno. */
int xs_store_change(struct xenstore *xs, uint32_t by, const struct xs_change *change);
/* As an xs_tx_fn with the store as opaque: raises the events of a change. */
void xs_store_fire(void *store, const struct xs_tree *old, const struct xs_change *change);

/* Ends the guest's watches and transactions. */
void xs_store_forget_guest(struct xenstore *xs);

/* Answers req: 0 with the reply filled, or -errno. */
int xs_ops_handle(struct xs_req *req);

/* Moves what can be moved between ring, requests and events; true when it stopped for fairness alone. */
bool xs_conn_work(struct xenstore *xs);
/* An empty connection on the same page. */
void xs_conn_restart(struct xenstore *xs);

#endif
