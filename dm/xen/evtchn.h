/* SPDX-License-Identifier: MIT */
/*
 * Event channels: one-bit notifications to and from a guest, the 2-level ABI.
 *
 * A port is one end of a channel. The guest makes ports by hypercall (for an
 * inter-domain channel, a virtual interrupt, or an IPI); back ends, which are
 * "domain 0" here, attach a callback to the other end.
 *
 * Locks. Sending is the hot path and must not meet other vCPUs: it looks the
 * port up without a lock and marks it pending with atomic bit operations on
 * the shared page. Only a send to a back end holds the port's own lock, so
 * that unbind can promise that the callback runs no more. Everything that
 * makes, closes or binds ports is rare and takes the table's lock, then the
 * port's.
 *
 * A notification that races with closing its port may set the pending bit of
 * a port that is already free. The bit is cleared when a port is closed and
 * again when it is handed out; what remains is a spurious event, which every
 * guest must expect.
 *
 * The FIFO ABI is not offered: EVTCHNOP_init_control, expand_array and
 * set_priority give -ENOSYS, as a Xen without it, and guests use 2-level.
 */
#ifndef DM_XEN_EVTCHN_H
#define DM_XEN_EVTCHN_H

#include "dm/xen/upcall.h"
#include "gamut/xen.h"

#define EVTCHN_BUCKET 64u /* ports made at a time */
#define EVTCHN_PORTS 4096u

enum evtchn_state {
	EVTCHN_FREE = 0,
	EVTCHN_UNBOUND,     /* waits for remote_domid to bind */
	EVTCHN_INTERDOMAIN, /* fn: a back end; otherwise peer is a port of this guest */
	EVTCHN_VIRQ,
	EVTCHN_IPI,
};

struct evtchn_port {
	pthread_mutex_t lock; /* fn, opaque, peer */
	uint32_t state;       /* enum evtchn_state; atomic */
	uint32_t vcpu;        /* who is notified; atomic */
	uint32_t remote_domid;
	uint32_t peer;
	uint32_t virq;
	gamut_evtchn_fn fn;
	void *opaque;
};

/* A port made by the domain's set-up rather than the guest; outlives a reset. */
struct evtchn_made {
	uint32_t port;
	gamut_evtchn_fn fn;
	void *opaque;
};

struct evtchn_vcpu {
	uint32_t virq[NR_VIRQS]; /* port or 0; atomic */
	int32_t poll;            /* port that is polled, -1 for several, 0 for none; atomic */
};

struct evtchn {
	const struct xen_env *env;
	struct shinfo *shinfo;
	struct upcall *upcall;
	pthread_mutex_t lock;
	struct evtchn_port *bucket[EVTCHN_PORTS / EVTCHN_BUCKET]; /* atomic; never freed before the end */
	struct evtchn_vcpu *vcpu;
	uint32_t pollers; /* vCPUs in SCHEDOP_poll; atomic */
	struct evtchn_made *made;
	uint32_t n_made;
	uint64_t *sent, *notified; /* counters: guest to back end, and to the guest */
};

/* 0 or -ENOMEM. shinfo and upcall outlive it. [control] */
int evtchn_init(struct evtchn *ec, const struct xen_env *env, struct shinfo *shinfo, struct upcall *upcall);
void evtchn_finish(struct evtchn *ec);
/* Guest reset: the guest's ports are gone, those of alloc are back. After shinfo_reset. [control] */
void evtchn_reset(struct evtchn *ec);
/* After shinfo_resume: what was notified while paused is delivered. [control] */
void evtchn_resume(struct evtchn *ec);

/* EVTCHNOP_*: a gamut_hypercall_fn, opaque is the struct evtchn. [vcpu] */
int64_t evtchn_op(void *opaque, struct gamut_hypercall *call);

/* The back ends' side; self is the struct evtchn. */
extern const struct gamut_evtchn_ops evtchn_ops;

/* Raises a virtual interrupt of a vCPU, if the guest has bound it. [any] */
void evtchn_virq(struct evtchn *ec, uint32_t vcpu, uint32_t virq);

/* ---- for SCHEDOP_poll ---- */

/* True when the guest has such a port now. */
bool evtchn_valid(struct evtchn *ec, uint32_t port);
bool evtchn_is_pending(struct evtchn *ec, uint32_t port);
/* From here on vcpu_wake is called when port (or any port: -1) becomes pending. [vcpu] */
void evtchn_poll_begin(struct evtchn *ec, uint32_t vcpu, int32_t port);
/* Ends it; true when it had not ended before. [any] */
bool evtchn_poll_end(struct evtchn *ec, uint32_t vcpu);

/* ---- between evtchn.c and evtchn-op.c ---- */

/* NULL for a port that no bucket holds. */
struct evtchn_port *evtchn_find(struct evtchn *ec, uint32_t port);
static inline uint32_t evtchn_state(const struct evtchn_port *p)
{
	return __atomic_load_n(&p->state, __ATOMIC_ACQUIRE);
}
/* A free port, not yet given a state; -ENOSPC or -ENOMEM. Under ec->lock. */
int evtchn_get_free(struct evtchn *ec, struct evtchn_port **p);
/* Publishes a new state. Under ec->lock. */
void evtchn_set_state(struct evtchn_port *p, enum evtchn_state state);
/* Closes a port of the guest and unbinds its other end. Under ec->lock. */
void evtchn_close_port(struct evtchn *ec, uint32_t port, struct evtchn_port *p);
/* Marks pending and delivers. [any] */
void evtchn_set_pending(struct evtchn *ec, uint32_t port, const struct evtchn_port *p);
int evtchn_unmask_port(struct evtchn *ec, uint32_t port);

#endif
