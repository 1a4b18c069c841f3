/* SPDX-License-Identifier: MIT */
#include "dm/xen/xs-watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void xs_watches_init(struct xs_watches *watches)
{
	*watches = (struct xs_watches){0};
	watches->guest.last = &watches->guest.first;
	watches->back.last = &watches->back.first;
}

/* ---- queues ----------------------------------------------------------------- */

static bool event_waits(const struct xs_events *queue, const struct gamut_xs_watch *watch, const char *path)
{
	for (const struct xs_event *e = queue->first; e; e = e->next)
		if (e->watch == watch && !strcmp(e->path, path))
			return true;
	return false;
}

static void event_push(struct gamut_xs_watch *watch, const char *path)
{
	struct xs_events *queue = watch->queue;
	size_t size = strlen(path) + 1;
	struct xs_event *event;

	if (watch->folded || event_waits(queue, watch, path))
		return;
	event = queue->count < XS_QUOTA_EVENTS ? malloc(sizeof(*event) + size) : NULL;
	if (!event) {
		watch->folded = true;
		return;
	}
	event->next = NULL;
	event->watch = watch;
	memcpy(event->path, path, size);
	*queue->last = event;
	queue->last = &event->next;
	queue->count++;
}

static void events_drop(struct xs_events *queue, const struct gamut_xs_watch *watch)
{
	struct xs_event **slot = &queue->first;

	while (*slot) {
		struct xs_event *event = *slot;

		if (event->watch != watch) {
			slot = &event->next;
			continue;
		}
		*slot = event->next;
		queue->count--;
		free(event);
	}
	queue->last = slot;
}

/* The queue is empty: the folded watches get their turn. */
static void events_unfold(struct xs_watches *watches, struct xs_events *queue)
{
	for (struct gamut_xs_watch *w = watches->first; w; w = w->next) {
		if (w->queue != queue || !w->folded)
			continue;
		w->folded = false;
		event_push(w, w->path);
	}
}

struct xs_event *xs_events_pop(struct xs_watches *watches, struct xs_events *queue)
{
	struct xs_event *event;

	if (!queue->first)
		events_unfold(watches, queue);
	event = queue->first;
	if (!event)
		return NULL;
	queue->first = event->next;
	if (!queue->first)
		queue->last = &queue->first;
	queue->count--;
	return event;
}

/* ---- watches ----------------------------------------------------------------- */

static struct gamut_xs_watch *watch_new(struct xs_watches *watches, struct xs_events *queue, const char *path)
{
	struct gamut_xs_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->path = strdup(path);
	if (!watch->path) {
		free(watch);
		return NULL;
	}
	watch->queue = queue;
	watch->next = watches->first;
	watches->first = watch;
	return watch;
}

struct gamut_xs_watch *xs_watch_find_guest(const struct xs_watches *watches, const char *path,
                                           const char *token)
{
	for (struct gamut_xs_watch *w = watches->first; w; w = w->next)
		if (w->token && !strcmp(w->path, path) && !strcmp(w->token, token))
			return w;
	return NULL;
}

struct gamut_xs_watch *xs_watch_add_guest(struct xs_watches *watches, const char *path, const char *token,
                                          uint32_t skip)
{
	struct gamut_xs_watch *watch;
	char *copy;

	if (xs_watch_find_guest(watches, path, token)) {
		errno = EEXIST;
		return NULL;
	}
	if (watches->guest_count >= XS_QUOTA_WATCHES || strlen(token) > XS_TOKEN_MAX) {
		errno = E2BIG;
		return NULL;
	}
	copy = strdup(token);
	watch = copy ? watch_new(watches, &watches->guest, path) : NULL;
	if (!watch) {
		free(copy);
		errno = ENOMEM;
		return NULL;
	}
	watch->token = copy;
	watch->skip = skip;
	watches->guest_count++;
	event_push(watch, path);
	return watch;
}

struct gamut_xs_watch *xs_watch_add_back(struct xs_watches *watches, const char *path, gamut_xs_watch_fn fn,
                                         void *opaque)
{
	struct gamut_xs_watch *watch = watch_new(watches, &watches->back, path);

	if (!watch) {
		errno = ENOMEM;
		return NULL;
	}
	watch->fn = fn;
	watch->opaque = opaque;
	event_push(watch, path);
	return watch;
}

void xs_watch_remove(struct xs_watches *watches, struct gamut_xs_watch *watch)
{
	struct gamut_xs_watch **slot = &watches->first;

	while (*slot && *slot != watch)
		slot = &(*slot)->next;
	if (!*slot)
		return;
	*slot = watch->next;
	events_drop(watch->queue, watch);
	watches->guest_count -= watch->token != NULL;
	free(watch->token);
	free(watch->path);
	free(watch);
}

void xs_watches_clear(struct xs_watches *watches, bool guest_only)
{
	struct gamut_xs_watch *next;

	for (struct gamut_xs_watch *w = watches->first; w; w = next) {
		next = w->next;
		if (w->token || !guest_only)
			xs_watch_remove(watches, w);
	}
}

void xs_watches_refire_back(struct xs_watches *watches)
{
	for (struct gamut_xs_watch *w = watches->first; w; w = w->next)
		if (!w->token)
			event_push(w, w->path);
}

/* ---- firing ------------------------------------------------------------------- */

static bool guest_may_know(const struct xs_tree *tree, const struct xs_tree *old, const char *path)
{
	const struct xs_node *node = xs_tree_find(tree, path);
	uint32_t depth;

	if (!node && old)
		node = xs_tree_find(old, path);
	if (!node)
		node = xs_tree_nearest(tree, path, &depth);
	return xs_node_access(node, tree->domid) & XS_READ_ACCESS;
}

void xs_watches_fire(struct xs_watches *watches, const struct xs_tree *tree, const struct xs_tree *old,
                     const char *path)
{
	for (struct gamut_xs_watch *w = watches->first; w; w = w->next) {
		const char *what = NULL;

		if (xs_path_below(path, w->path))
			what = path;
		else if (old && xs_path_below(w->path, path) && xs_tree_find(old, w->path))
			what = w->path;
		if (what && (!w->token || guest_may_know(tree, old, what)))
			event_push(w, what);
	}
}
