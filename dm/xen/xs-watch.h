/* SPDX-License-Identifier: MIT */
/*
 * Watches and the events they raise.
 *
 * The guest and the back ends have a queue each. An event that already waits
 * is not queued again. A queue has a bound; past it events are not lost but
 * folded: the watch is marked, and once the queue is empty gives one event for
 * its own path, which tells its owner to look at everything below.
 */
#ifndef DM_XEN_XS_WATCH_H
#define DM_XEN_XS_WATCH_H

#include "dm/xen/xs-tree.h"

#define XS_QUOTA_WATCHES 128u
#define XS_QUOTA_EVENTS  512u
/* So that an event, path and token, always fits a message. */
#define XS_TOKEN_MAX (XENSTORE_PAYLOAD_MAX - XENSTORE_ABS_PATH_MAX - 2)

struct xs_event {
	struct xs_event *next;
	struct gamut_xs_watch *watch;
	char path[]; /* absolute */
};

struct xs_events {
	struct xs_event *first, **last;
	uint32_t count;
};

struct gamut_xs_watch {
	struct gamut_xs_watch *next;
	struct xs_events *queue;
	char *path;    /* absolute */
	char *token;   /* the guest's; NULL for back ends */
	uint32_t skip; /* bytes of an event's path that the guest left out */
	bool folded;
	gamut_xs_watch_fn fn; /* back ends */
	void *opaque;
};

struct xs_watches {
	struct gamut_xs_watch *first;
	struct xs_events guest, back;
	uint32_t guest_count;
};

void xs_watches_init(struct xs_watches *watches);
/* Removes the guest's watches, or all. */
void xs_watches_clear(struct xs_watches *watches, bool guest_only);

/* NULL with errno set: EEXIST, E2BIG (quota, or too long a token), ENOMEM. Raises the first event. */
struct gamut_xs_watch *xs_watch_add_guest(struct xs_watches *watches, const char *path, const char *token,
                                          uint32_t skip);
struct gamut_xs_watch *xs_watch_add_back(struct xs_watches *watches, const char *path, gamut_xs_watch_fn fn,
                                         void *opaque);
/* The guest's watch of that path and token, or NULL. */
struct gamut_xs_watch *xs_watch_find_guest(const struct xs_watches *watches, const char *path,
                                           const char *token);
/* Drops its waiting events as well. */
void xs_watch_remove(struct xs_watches *watches, struct gamut_xs_watch *watch);

/*
 * path changed in tree. old is the tree before a removal, otherwise NULL: then
 * watches on nodes that went with it fire too. The guest is told of nodes only
 * that it may, or might, read.
 */
void xs_watches_fire(struct xs_watches *watches, const struct xs_tree *tree, const struct xs_tree *old,
                     const char *path);
/* One event for every watch of the back ends, as at first. */
void xs_watches_refire_back(struct xs_watches *watches);

/* The next event, to be freed by the caller, or NULL. */
struct xs_event *xs_events_pop(struct xs_watches *watches, struct xs_events *queue);

#endif
