/* SPDX-License-Identifier: MIT */
#include "dm/xen/xenstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/xs-path.h"
#include "dm/xen/xs-store.h"

/* Events handed to back ends in one go; their callbacks raise new ones. */
#define DELIVER_LIMIT 256

/* ---- work on [io] ---------------------------------------------------------------- */

static bool deliver(struct xenstore *xs)
{
	for (int i = 0; i < DELIVER_LIMIT; i++) {
		struct xs_event *event = xs_events_pop(&xs->watches, &xs->watches.back);

		if (!event)
			return false;
		/* The callback may end its own watch: nothing of it is used afterwards. */
		event->watch->fn(event->watch->opaque, event->path);
		free(event);
	}
	return true;
}

static void work(void *opaque)
{
	struct xenstore *xs = opaque;
	bool more = xs_conn_work(xs);

	more |= deliver(xs);
	/* What the callbacks wrote may have raised events for the guest. */
	more |= xs_conn_work(xs);
	if (more)
		xs->host->defer_run(xs->inst, xs->defer);
}

static void kick(struct xenstore *xs)
{
	xs->host->defer_run(xs->inst, xs->defer);
}

/* The guest has notified. [vcpu] [io] */
static void notified(void *opaque)
{
	kick(opaque);
}

/* ---- changes ----------------------------------------------------------------------- */

void xs_store_fire(void *store, const struct xs_tree *old, const struct xs_change *change)
{
	struct xenstore *xs = store;

	xs_watches_fire(&xs->watches, &xs->tree, change->kind == XS_CHANGE_RM ? old : NULL, change->path);
	kick(xs);
}

int xs_store_change(struct xenstore *xs, uint32_t by, const struct xs_change *change)
{
	bool keep = change->kind == XS_CHANGE_RM;
	struct xs_tree old = {0};
	int err;

	if (keep)
		old = xs_tree_snapshot(&xs->tree);
	err = xs_change_apply(&xs->tree, by, change);
	if (!err)
		xs_store_fire(xs, &old, change);
	if (keep)
		xs_tree_finish(&old);
	return err;
}

void xs_store_forget_guest(struct xenstore *xs)
{
	xs_watches_clear(&xs->watches, true);
	xs_tx_abort_all(&xs->transactions);
}

/* ---- life ---------------------------------------------------------------------------- */

struct xenstore *xenstore_create(const struct gamut_host *host, struct gamut_inst *inst, uint32_t domid)
{
	struct xenstore *xs = calloc(1, sizeof(*xs));

	if (!xs) {
		errno = ENOMEM;
		return NULL;
	}
	xs->host = host;
	xs->inst = inst;
	xs->domid = domid;
	xs->home_len = xs_path_home(domid, xs->home);
	xs_watches_init(&xs->watches);
	xs->n_requests = host->counter(inst, "xenstore-requests");
	xs->n_refused = host->counter(inst, "xenstore-refused");
	xs->n_broken = host->counter(inst, "xenstore-broken-rings");
	xs->defer = host->defer_create(inst, work, xs);
	if (!xs->defer || xs_tree_init(&xs->tree, domid, &xs->gen)) {
		xenstore_destroy(xs);
		errno = ENOMEM;
		return NULL;
	}
	return xs;
}

void xenstore_destroy(struct xenstore *xs)
{
	if (!xs)
		return;
	xenstore_detach(xs);
	xs_watches_clear(&xs->watches, false);
	xs_tree_finish(&xs->tree);
	if (xs->defer)
		xs->host->defer_destroy(xs->inst, xs->defer);
	free(xs);
}

int xenstore_attach(struct xenstore *xs, void *page, const struct gamut_evtchn_ops *evtchn, void *evtchn_self)
{
	int port = evtchn->alloc(evtchn_self, notified, xs);

	if (port < 0)
		return port;
	xs->conn.evtchn = evtchn;
	xs->conn.evtchn_self = evtchn_self;
	xs->conn.port = (uint32_t)port;
	xs->conn.ring.page = page;
	xs_conn_restart(xs);
	/* Nobody listens yet. */
	xs->conn.ring.notify = false;
	return port;
}

void xenstore_detach(struct xenstore *xs)
{
	xs_store_forget_guest(xs);
	if (!xs->conn.ring.page)
		return;
	xs->conn.evtchn->unbind(xs->conn.evtchn_self, xs->conn.port);
	xs->conn.ring.page = NULL;
}

int xenstore_reset(struct xenstore *xs)
{
	struct xs_tree fresh;
	int err = xs_tree_init(&fresh, xs->domid, &xs->gen);

	if (err)
		return err;
	xs_conn_restart(xs);
	xs->conn.ring.notify = false;
	xs_tree_finish(&xs->tree);
	xs->tree = fresh;
	xs_watches_refire_back(&xs->watches);
	kick(xs);
	return 0;
}

/* ---- domain 0 --------------------------------------------------------------------------- */

char *xenstore_read(struct xenstore *xs, const char *path, uint32_t *len)
{
	const struct xs_node *node = xs_path_valid(path) ? xs_tree_find(&xs->tree, path) : NULL;
	char *copy;

	if (!node) {
		errno = xs_path_valid(path) ? ENOENT : EINVAL;
		return NULL;
	}
	copy = malloc((size_t)node->len + 1);
	if (!copy) {
		errno = ENOMEM;
		return NULL;
	}
	if (node->len)
		memcpy(copy, node->value, node->len);
	copy[node->len] = '\0';
	if (len)
		*len = node->len;
	return copy;
}

static int change_as_dom0(struct xenstore *xs, const struct xs_change *change)
{
	return xs_path_valid(change->path) ? xs_store_change(xs, 0, change) : -EINVAL;
}

int xenstore_write(struct xenstore *xs, const char *path, const void *value, uint32_t len)
{
	if (len > XENSTORE_PAYLOAD_MAX)
		return -E2BIG;
	return change_as_dom0(xs, &(struct xs_change){XS_CHANGE_WRITE, path, value ? value : "", len});
}

int xenstore_rm(struct xenstore *xs, const char *path)
{
	return change_as_dom0(xs, &(struct xs_change){XS_CHANGE_RM, path, NULL, 0});
}

int xenstore_set_perms(struct xenstore *xs, const char *path, const struct xs_perm *perms, uint32_t n)
{
	return change_as_dom0(xs, &(struct xs_change){XS_CHANGE_PERMS, path, perms, n});
}

struct gamut_xs_watch *xenstore_watch(struct xenstore *xs, const char *path, gamut_xs_watch_fn fn,
                                      void *opaque)
{
	struct gamut_xs_watch *watch;

	if (!xs_path_valid(path)) {
		errno = EINVAL;
		return NULL;
	}
	watch = xs_watch_add_back(&xs->watches, path, fn, opaque);
	if (watch)
		kick(xs);
	return watch;
}

void xenstore_unwatch(struct xenstore *xs, struct gamut_xs_watch *watch)
{
	if (watch)
		xs_watch_remove(&xs->watches, watch);
}

bool xenstore_is_watched(struct xenstore *xs, const char *path)
{
	for (const struct gamut_xs_watch *w = xs->watches.first; w; w = w->next)
		if (w->token && xs_path_below(path, w->path))
			return true;
	return false;
}
