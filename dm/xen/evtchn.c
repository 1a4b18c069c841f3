/* SPDX-License-Identifier: MIT */
#include "dm/xen/evtchn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- ports ---------------------------------------------------------------- */

struct evtchn_port *evtchn_find(struct evtchn *ec, uint32_t port)
{
	struct evtchn_port *bucket;

	if (port >= shinfo_layout(ec->shinfo)->n_ports)
		return NULL;
	bucket = __atomic_load_n(&ec->bucket[port / EVTCHN_BUCKET], __ATOMIC_ACQUIRE);
	return bucket ? &bucket[port % EVTCHN_BUCKET] : NULL;
}

static struct evtchn_port *make_bucket(struct evtchn *ec, uint32_t port)
{
	struct evtchn_port *bucket = calloc(EVTCHN_BUCKET, sizeof(*bucket));

	if (!bucket)
		return NULL;
	for (uint32_t i = 0; i < EVTCHN_BUCKET; i++)
		pthread_mutex_init(&bucket[i].lock, NULL);
	__atomic_store_n(&ec->bucket[port / EVTCHN_BUCKET], bucket, __ATOMIC_RELEASE);
	return &bucket[port % EVTCHN_BUCKET];
}

int evtchn_get_free(struct evtchn *ec, struct evtchn_port **found)
{
	uint32_t n = shinfo_layout(ec->shinfo)->n_ports;

	/* Port 0 is never given out: it means "none" in the ABI. */
	for (uint32_t port = 1; port < n; port++) {
		struct evtchn_port *p = evtchn_find(ec, port);

		if (!p)
			p = make_bucket(ec, port);
		if (!p)
			return -ENOMEM;
		if (evtchn_state(p) != EVTCHN_FREE)
			continue;
		shinfo_bit_clear(ec->shinfo->shared + shinfo_layout(ec->shinfo)->pending, port);
		__atomic_store_n(&p->vcpu, 0, __ATOMIC_RELAXED);
		*found = p;
		return (int)port;
	}
	return -ENOSPC;
}

void evtchn_set_state(struct evtchn_port *p, enum evtchn_state state)
{
	__atomic_store_n(&p->state, state, __ATOMIC_RELEASE);
}

static void attach(struct evtchn_port *p, gamut_evtchn_fn fn, void *opaque)
{
	pthread_mutex_lock(&p->lock);
	p->remote_domid = 0;
	p->peer = 0;
	p->fn = fn;
	p->opaque = opaque;
	evtchn_set_state(p, EVTCHN_INTERDOMAIN);
	pthread_mutex_unlock(&p->lock);
}

/* Leaves a port with its other end open, or free. Returns when its callback runs no more. */
static void detach(struct evtchn_port *p, enum evtchn_state state)
{
	pthread_mutex_lock(&p->lock);
	evtchn_set_state(p, state);
	p->fn = NULL;
	p->opaque = NULL;
	p->peer = 0;
	pthread_mutex_unlock(&p->lock);
}

void evtchn_close_port(struct evtchn *ec, uint32_t port, struct evtchn_port *p)
{
	uint32_t peer = p->peer;
	struct evtchn_port *other = NULL;

	if (evtchn_state(p) == EVTCHN_VIRQ)
		__atomic_store_n(&ec->vcpu[p->vcpu].virq[p->virq], 0, __ATOMIC_RELEASE);
	else if (evtchn_state(p) == EVTCHN_INTERDOMAIN && !p->fn)
		other = evtchn_find(ec, peer);
	detach(p, EVTCHN_FREE);
	if (other && other != p) {
		other->remote_domid = ec->env->domid;
		detach(other, EVTCHN_UNBOUND);
	}
	shinfo_bit_clear(ec->shinfo->shared + shinfo_layout(ec->shinfo)->pending, port);
}

/* ---- marking pending: no lock ----------------------------------------------- */

static void wake_pollers(struct evtchn *ec, uint32_t port)
{
	for (uint32_t i = 0; i < ec->env->n_vcpus; i++) {
		int32_t poll = __atomic_load_n(&ec->vcpu[i].poll, __ATOMIC_SEQ_CST);

		if ((poll == -1 || poll == (int32_t)port) && evtchn_poll_end(ec, i))
			ec->env->host->vcpu_wake(ec->env->inst, i);
	}
}

/* The port is pending: if it is not masked, carry that to the selector and the vCPU. */
static void mark_selector(struct evtchn *ec, const struct shinfo_layout *layout, uint32_t port, uint32_t vcpu)
{
	uint8_t *info = shinfo_vcpu_info(ec->shinfo, vcpu);

	if (!info || shinfo_bit_test(ec->shinfo->shared + layout->mask, port))
		return;
	if (!shinfo_bit_set(info + layout->sel, port / layout->word_bits))
		upcall_pending(ec->upcall, vcpu);
}

void evtchn_set_pending(struct evtchn *ec, uint32_t port, const struct evtchn_port *p)
{
	const struct shinfo_layout *layout = shinfo_layout(ec->shinfo);

	if (port >= layout->n_ports || shinfo_bit_set(ec->shinfo->shared + layout->pending, port))
		return;
	xen_count(ec->notified);
	mark_selector(ec, layout, port, __atomic_load_n(&p->vcpu, __ATOMIC_RELAXED));
	if (__atomic_load_n(&ec->pollers, __ATOMIC_SEQ_CST))
		wake_pollers(ec, port);
}

int evtchn_unmask_port(struct evtchn *ec, uint32_t port)
{
	const struct shinfo_layout *layout = shinfo_layout(ec->shinfo);
	struct evtchn_port *p = evtchn_find(ec, port);

	if (!p || evtchn_state(p) == EVTCHN_FREE)
		return -EINVAL;
	if (shinfo_bit_clear(ec->shinfo->shared + layout->mask, port) &&
	    shinfo_bit_test(ec->shinfo->shared + layout->pending, port))
		mark_selector(ec, layout, port, __atomic_load_n(&p->vcpu, __ATOMIC_RELAXED));
	return 0;
}

void evtchn_virq(struct evtchn *ec, uint32_t vcpu, uint32_t virq)
{
	uint32_t port = __atomic_load_n(&ec->vcpu[vcpu].virq[virq], __ATOMIC_ACQUIRE);
	struct evtchn_port *p = port ? evtchn_find(ec, port) : NULL;

	if (p && evtchn_state(p) == EVTCHN_VIRQ)
		evtchn_set_pending(ec, port, p);
}

/* ---- polling ------------------------------------------------------------------ */

bool evtchn_valid(struct evtchn *ec, uint32_t port)
{
	return evtchn_find(ec, port) != NULL;
}

bool evtchn_is_pending(struct evtchn *ec, uint32_t port)
{
	const struct shinfo_layout *layout = shinfo_layout(ec->shinfo);

	return port < layout->n_ports && shinfo_bit_test(ec->shinfo->shared + layout->pending, port);
}

void evtchn_poll_begin(struct evtchn *ec, uint32_t vcpu, int32_t port)
{
	if (!__atomic_exchange_n(&ec->vcpu[vcpu].poll, port, __ATOMIC_SEQ_CST))
		__atomic_fetch_add(&ec->pollers, 1, __ATOMIC_SEQ_CST);
}

bool evtchn_poll_end(struct evtchn *ec, uint32_t vcpu)
{
	if (!__atomic_exchange_n(&ec->vcpu[vcpu].poll, 0, __ATOMIC_SEQ_CST))
		return false;
	__atomic_fetch_sub(&ec->pollers, 1, __ATOMIC_SEQ_CST);
	return true;
}

/* ---- the back ends' side --------------------------------------------------------- */

static struct evtchn_made *find_made(struct evtchn *ec, uint32_t port)
{
	for (uint32_t i = 0; i < ec->n_made; i++)
		if (ec->made[i].port == port)
			return &ec->made[i];
	return NULL;
}

static int remember_made(struct evtchn *ec, uint32_t port, gamut_evtchn_fn fn, void *opaque)
{
	struct evtchn_made *made = realloc(ec->made, (ec->n_made + 1) * sizeof(*made));

	if (!made)
		return -ENOMEM;
	ec->made = made;
	made[ec->n_made++] = (struct evtchn_made){ .port = port, .fn = fn, .opaque = opaque };
	return 0;
}

static int back_alloc(void *self, gamut_evtchn_fn fn, void *opaque)
{
	struct evtchn *ec = self;
	struct evtchn_port *p;
	int port, rc;

	if (!fn)
		return -EINVAL;
	pthread_mutex_lock(&ec->lock);
	port = evtchn_get_free(ec, &p);
	if (port > 0) {
		rc = remember_made(ec, (uint32_t)port, fn, opaque);
		if (rc)
			port = rc;
		else
			attach(p, fn, opaque);
	}
	pthread_mutex_unlock(&ec->lock);
	return port;
}

static int back_bind(void *self, uint32_t port, gamut_evtchn_fn fn, void *opaque)
{
	struct evtchn *ec = self;
	struct evtchn_port *p;
	int rc = -EINVAL;

	if (!fn)
		return -EINVAL;
	pthread_mutex_lock(&ec->lock);
	p = evtchn_find(ec, port);
	if (p && evtchn_state(p) == EVTCHN_INTERDOMAIN && p->fn) {
		rc = -EBUSY;
	} else if (p && evtchn_state(p) == EVTCHN_UNBOUND && p->remote_domid == 0) {
		attach(p, fn, opaque);
		/* As Xen: what was sent before now may have been lost, so both ends look once. */
		evtchn_set_pending(ec, port, p);
		rc = 0;
	}
	pthread_mutex_unlock(&ec->lock);
	return rc;
}

static void back_unbind(void *self, uint32_t port)
{
	struct evtchn *ec = self;
	struct evtchn_made *made;
	struct evtchn_port *p;

	pthread_mutex_lock(&ec->lock);
	made = find_made(ec, port);
	if (made)
		*made = ec->made[--ec->n_made];
	p = evtchn_find(ec, port);
	if (p && evtchn_state(p) == EVTCHN_INTERDOMAIN && p->fn)
		detach(p, EVTCHN_UNBOUND);
	pthread_mutex_unlock(&ec->lock);
}

static void back_notify(void *self, uint32_t port)
{
	struct evtchn *ec = self;
	struct evtchn_port *p = evtchn_find(ec, port);

	if (p && evtchn_state(p) == EVTCHN_INTERDOMAIN)
		evtchn_set_pending(ec, port, p);
}

const struct gamut_evtchn_ops evtchn_ops = {
	.size = sizeof(struct gamut_evtchn_ops),
	.alloc = back_alloc,
	.bind = back_bind,
	.unbind = back_unbind,
	.notify = back_notify,
};

/* ---- life cycle -------------------------------------------------------------------- */

int evtchn_init(struct evtchn *ec, const struct xen_env *env, struct shinfo *shinfo, struct upcall *upcall)
{
	*ec = (struct evtchn){ .env = env, .shinfo = shinfo, .upcall = upcall };
	ec->vcpu = calloc(env->n_vcpus, sizeof(*ec->vcpu));
	if (!ec->vcpu)
		return -ENOMEM;
	pthread_mutex_init(&ec->lock, NULL);
	ec->sent = env->host->counter(env->inst, "events-sent");
	ec->notified = env->host->counter(env->inst, "events-received");
	return 0;
}

void evtchn_finish(struct evtchn *ec)
{
	for (uint32_t b = 0; b < EVTCHN_PORTS / EVTCHN_BUCKET; b++) {
		for (uint32_t i = 0; ec->bucket[b] && i < EVTCHN_BUCKET; i++)
			pthread_mutex_destroy(&ec->bucket[b][i].lock);
		free(ec->bucket[b]);
	}
	pthread_mutex_destroy(&ec->lock);
	free(ec->vcpu);
	free(ec->made);
}

void evtchn_reset(struct evtchn *ec)
{
	pthread_mutex_lock(&ec->lock);
	for (uint32_t port = 1; port < EVTCHN_PORTS; port++) {
		struct evtchn_port *p = evtchn_find(ec, port);

		if (p && evtchn_state(p) != EVTCHN_FREE)
			evtchn_close_port(ec, port, p);
	}
	memset(ec->vcpu, 0, ec->env->n_vcpus * sizeof(*ec->vcpu));
	ec->pollers = 0;
	for (uint32_t i = 0; i < ec->n_made; i++) {
		struct evtchn_port *p = evtchn_find(ec, ec->made[i].port);

		p->vcpu = 0;
		attach(p, ec->made[i].fn, ec->made[i].opaque);
	}
	pthread_mutex_unlock(&ec->lock);
}

void evtchn_resume(struct evtchn *ec)
{
	/* A vcpu_info in RAM was out of reach: let its vCPU look at everything. */
	for (uint32_t i = 0; i < ec->env->n_vcpus; i++)
		if (ec->shinfo->vcpu[i].registered != GAMUT_GPA_NONE)
			upcall_spurious(ec->upcall, i);
}
