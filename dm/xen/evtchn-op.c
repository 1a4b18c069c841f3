/* SPDX-License-Identifier: MIT */
/*
 * EVTCHNOP_*: event channels as the guest asks for them. The structures are
 * the same for 32-bit and 64-bit callers.
 */
#include "dm/xen/evtchn.h"

#include <errno.h>

/* Delivered to one vCPU each; the others are global and belong to vCPU 0. */
static bool per_vcpu(uint32_t virq)
{
	switch (virq) {
	case VIRQ_TIMER:
	case VIRQ_DEBUG:
	case VIRQ_XENOPROF:
	case VIRQ_XENPMU:
		return true;
	default:
		return virq >= VIRQ_ARCH_0;
	}
}

#define GET(s) xen_get_raw(ec->env, call, arg, &(s), sizeof(s))
#define PUT(s) xen_put_raw(ec->env, call, arg, &(s), sizeof(s))

/*
 * Ends a sub-operation that made a port: the guest learns its number, or the
 * port goes again when the guest's structure cannot be written.
 */
static int64_t hand_out(struct evtchn *ec, struct gamut_hypercall *call, uint64_t arg, const void *s, uint64_t len,
                        uint32_t port)
{
	struct evtchn_port *p;

	if (!xen_put_raw(ec->env, call, arg, s, len))
		return 0;
	pthread_mutex_lock(&ec->lock);
	p = evtchn_find(ec, port);
	if (p && evtchn_state(p) != EVTCHN_FREE)
		evtchn_close_port(ec, port, p);
	pthread_mutex_unlock(&ec->lock);
	return -EFAULT;
}

static int64_t op_alloc_unbound(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_alloc_unbound alloc;
	struct evtchn_port *p;
	int port;

	if (GET(alloc))
		return -EFAULT;
	if (!xen_env_self(ec->env, alloc.dom))
		return alloc.dom < DOMID_FIRST_RESERVED ? -EPERM : -ESRCH;
	pthread_mutex_lock(&ec->lock);
	port = evtchn_get_free(ec, &p);
	if (port > 0) {
		p->remote_domid = alloc.remote_dom == DOMID_SELF ? ec->env->domid : alloc.remote_dom;
		evtchn_set_state(p, EVTCHN_UNBOUND);
	}
	pthread_mutex_unlock(&ec->lock);
	if (port < 0)
		return port;
	alloc.port = (uint32_t)port;
	return hand_out(ec, call, arg, &alloc, sizeof(alloc), alloc.port);
}

/* Both ends in this guest. Under ec->lock. */
static int join(struct evtchn *ec, uint32_t remote_port)
{
	struct evtchn_port *remote = evtchn_find(ec, remote_port), *local;
	int port;

	if (!remote || evtchn_state(remote) != EVTCHN_UNBOUND || remote->remote_domid != ec->env->domid)
		return -EINVAL;
	port = evtchn_get_free(ec, &local);
	if (port < 0)
		return port;
	local->remote_domid = ec->env->domid;
	local->peer = remote_port;
	evtchn_set_state(local, EVTCHN_INTERDOMAIN);
	pthread_mutex_lock(&remote->lock);
	remote->peer = (uint32_t)port;
	evtchn_set_state(remote, EVTCHN_INTERDOMAIN);
	pthread_mutex_unlock(&remote->lock);
	/* As Xen: nothing that was sent before is lost. */
	evtchn_set_pending(ec, (uint32_t)port, local);
	return port;
}

static int64_t op_bind_interdomain(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_bind_interdomain bind;
	int port;

	if (GET(bind))
		return -EFAULT;
	/* Domain 0 exists but offers no port of its own to guests. */
	if (!xen_env_self(ec->env, bind.remote_dom))
		return bind.remote_dom == 0 ? -EINVAL : -ESRCH;
	pthread_mutex_lock(&ec->lock);
	port = join(ec, bind.remote_port);
	pthread_mutex_unlock(&ec->lock);
	if (port < 0)
		return port;
	bind.local_port = (uint32_t)port;
	return hand_out(ec, call, arg, &bind, sizeof(bind), bind.local_port);
}

/* Under ec->lock. */
static int bind_virq(struct evtchn *ec, uint32_t vcpu, uint32_t virq)
{
	struct evtchn_port *p;
	int port;

	if (ec->vcpu[vcpu].virq[virq])
		return -EEXIST;
	port = evtchn_get_free(ec, &p);
	if (port < 0)
		return port;
	p->virq = virq;
	__atomic_store_n(&p->vcpu, vcpu, __ATOMIC_RELAXED);
	evtchn_set_state(p, EVTCHN_VIRQ);
	__atomic_store_n(&ec->vcpu[vcpu].virq[virq], (uint32_t)port, __ATOMIC_RELEASE);
	return port;
}

static int64_t op_bind_virq(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_bind_virq bind;
	int port;

	if (GET(bind))
		return -EFAULT;
	if (bind.virq >= NR_VIRQS || (!per_vcpu(bind.virq) && bind.vcpu != 0))
		return -EINVAL;
	if (bind.vcpu >= ec->env->n_vcpus)
		return -ENOENT;
	pthread_mutex_lock(&ec->lock);
	port = bind_virq(ec, bind.vcpu, bind.virq);
	pthread_mutex_unlock(&ec->lock);
	if (port < 0)
		return port;
	bind.port = (uint32_t)port;
	return hand_out(ec, call, arg, &bind, sizeof(bind), bind.port);
}

static int64_t op_bind_ipi(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_bind_ipi bind;
	struct evtchn_port *p;
	int port;

	if (GET(bind))
		return -EFAULT;
	if (bind.vcpu >= ec->env->n_vcpus)
		return -ENOENT;
	pthread_mutex_lock(&ec->lock);
	port = evtchn_get_free(ec, &p);
	if (port > 0) {
		__atomic_store_n(&p->vcpu, bind.vcpu, __ATOMIC_RELAXED);
		evtchn_set_state(p, EVTCHN_IPI);
	}
	pthread_mutex_unlock(&ec->lock);
	if (port < 0)
		return port;
	bind.port = (uint32_t)port;
	return hand_out(ec, call, arg, &bind, sizeof(bind), bind.port);
}

/* The domain has no physical interrupts. */
static int64_t op_bind_pirq(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_bind_pirq bind;

	return GET(bind) ? -EFAULT : -EINVAL;
}

static int64_t op_close(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_close close;
	struct evtchn_port *p;
	int64_t rc = -EINVAL;

	if (GET(close))
		return -EFAULT;
	pthread_mutex_lock(&ec->lock);
	p = evtchn_find(ec, close.port);
	if (p && evtchn_state(p) != EVTCHN_FREE) {
		evtchn_close_port(ec, close.port, p);
		rc = 0;
	}
	pthread_mutex_unlock(&ec->lock);
	return rc;
}

static int64_t send_interdomain(struct evtchn *ec, struct evtchn_port *p)
{
	uint32_t peer;

	pthread_mutex_lock(&p->lock);
	if (p->fn)
		p->fn(p->opaque);
	peer = p->fn ? 0 : p->peer;
	pthread_mutex_unlock(&p->lock);
	p = peer ? evtchn_find(ec, peer) : NULL;
	if (p)
		evtchn_set_pending(ec, peer, p);
	return 0;
}

static int64_t op_send(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_send send;
	struct evtchn_port *p;

	if (GET(send))
		return -EFAULT;
	p = evtchn_find(ec, send.port);
	if (!p)
		return -EINVAL;
	xen_count(ec->sent);
	switch (evtchn_state(p)) {
	case EVTCHN_INTERDOMAIN:
		return send_interdomain(ec, p);
	case EVTCHN_IPI:
		evtchn_set_pending(ec, send.port, p);
		return 0;
	case EVTCHN_UNBOUND: /* nobody there yet: silently dropped */
		return 0;
	default:
		return -EINVAL;
	}
}

static void fill_status(const struct evtchn_port *p, struct evtchn_status *st)
{
	static const uint8_t status[] = {
		[EVTCHN_FREE] = EVTCHNSTAT_closed, [EVTCHN_UNBOUND] = EVTCHNSTAT_unbound,
		[EVTCHN_INTERDOMAIN] = EVTCHNSTAT_interdomain, [EVTCHN_VIRQ] = EVTCHNSTAT_virq,
		[EVTCHN_IPI] = EVTCHNSTAT_ipi,
	};
	uint32_t state = evtchn_state(p);

	st->status = status[state];
	st->vcpu = p->vcpu;
	if (state == EVTCHN_UNBOUND) {
		st->u.unbound.dom = (domid_t)p->remote_domid;
	} else if (state == EVTCHN_INTERDOMAIN) {
		st->u.interdomain.dom = (domid_t)p->remote_domid;
		st->u.interdomain.port = p->peer;
	} else if (state == EVTCHN_VIRQ) {
		st->u.virq = p->virq;
	}
}

static int64_t op_status(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_status st;
	struct evtchn_port *p;

	if (GET(st))
		return -EFAULT;
	if (!xen_env_self(ec->env, st.dom))
		return st.dom == 0 ? -EPERM : -ESRCH;
	if (st.port >= shinfo_layout(ec->shinfo)->n_ports)
		return -EINVAL;
	pthread_mutex_lock(&ec->lock);
	p = evtchn_find(ec, st.port);
	st.status = EVTCHNSTAT_closed;
	st.vcpu = 0;
	if (p)
		fill_status(p, &st);
	pthread_mutex_unlock(&ec->lock);
	return PUT(st);
}

static int64_t op_bind_vcpu(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_bind_vcpu bind;
	struct evtchn_port *p;
	int64_t rc = -EINVAL;
	uint32_t state;

	if (GET(bind))
		return -EFAULT;
	if (bind.vcpu >= ec->env->n_vcpus)
		return -ENOENT;
	pthread_mutex_lock(&ec->lock);
	p = evtchn_find(ec, bind.port);
	state = p ? evtchn_state(p) : EVTCHN_FREE;
	if (state == EVTCHN_UNBOUND || state == EVTCHN_INTERDOMAIN ||
	    (state == EVTCHN_VIRQ && !per_vcpu(p->virq))) {
		__atomic_store_n(&p->vcpu, bind.vcpu, __ATOMIC_RELAXED);
		rc = 0;
	}
	pthread_mutex_unlock(&ec->lock);
	return rc;
}

static int64_t op_unmask(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_unmask unmask;

	if (GET(unmask))
		return -EFAULT;
	return evtchn_unmask_port(ec, unmask.port);
}

/* Closes everything, the ports of console and store included, as Xen does. */
static int64_t op_reset(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct evtchn *ec = self;
	struct evtchn_reset reset;

	if (GET(reset))
		return -EFAULT;
	if (!xen_env_self(ec->env, reset.dom))
		return reset.dom == 0 ? -EPERM : -ESRCH;
	pthread_mutex_lock(&ec->lock);
	for (uint32_t port = 1; port < EVTCHN_PORTS; port++) {
		struct evtchn_port *p = evtchn_find(ec, port);

		if (p && evtchn_state(p) != EVTCHN_FREE)
			evtchn_close_port(ec, port, p);
	}
	pthread_mutex_unlock(&ec->lock);
	return 0;
}

static const xen_subop_fn ops[] = {
	[EVTCHNOP_bind_interdomain] = op_bind_interdomain,
	[EVTCHNOP_bind_virq] = op_bind_virq,
	[EVTCHNOP_bind_pirq] = op_bind_pirq,
	[EVTCHNOP_close] = op_close,
	[EVTCHNOP_send] = op_send,
	[EVTCHNOP_status] = op_status,
	[EVTCHNOP_alloc_unbound] = op_alloc_unbound,
	[EVTCHNOP_bind_ipi] = op_bind_ipi,
	[EVTCHNOP_bind_vcpu] = op_bind_vcpu,
	[EVTCHNOP_unmask] = op_unmask,
	[EVTCHNOP_reset] = op_reset,
	/* init_control, expand_array, set_priority: the FIFO ABI, not offered */
};

int64_t evtchn_op(void *opaque, struct gamut_hypercall *call)
{
	struct evtchn *ec = opaque;

	return xen_dispatch(ec->env, ops, sizeof(ops) / sizeof(ops[0]), ec, call, (uint32_t)call->args[0],
	                    call->args[1]);
}
