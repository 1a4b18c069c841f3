/* SPDX-License-Identifier: MIT */
/*
 * Changes, and transactions over them.
 *
 * A transaction works on a snapshot and notes two things: the paths that it
 * looked at or changed, and the changes in their order. It may be committed
 * when none of those paths changed in the store since the snapshot (same
 * generation, or still absent); otherwise the answer is EAGAIN, as
 * xenstored's. A commit makes the changes again on a snapshot of the store and
 * publishes that only if all of them succeed.
 */
#ifndef DM_XEN_XS_TRANSACTION_H
#define DM_XEN_XS_TRANSACTION_H

#include "dm/xen/xs-tree.h"

#define XS_QUOTA_TRANSACTIONS 10u
#define XS_QUOTA_TX_PATHS     1024u
#define XS_QUOTA_TX_CHANGES   1024u

enum xs_change_kind { XS_CHANGE_WRITE, XS_CHANGE_MKDIR, XS_CHANGE_RM, XS_CHANGE_PERMS };

struct xs_change {
	enum xs_change_kind kind;
	const char *path;
	const void *value; /* WRITE: len bytes, not NULL; PERMS: len struct xs_perm */
	uint32_t len;
};

struct xs_tx;
struct xs_tx_list {
	struct xs_tx *first;
	uint32_t count, last_id;
};

/* Makes the change for domain `by`; errors as of the xs_tree functions. */
int xs_change_apply(struct xs_tree *tree, uint32_t by, const struct xs_change *change);

/* 0 with the transaction's id, -ENOSPC, -ENOMEM. */
int xs_tx_start(struct xs_tx_list *list, const struct xs_tree *tree, uint32_t *id);
/* NULL when there is none of that id. */
struct xs_tx *xs_tx_find(const struct xs_tx_list *list, uint32_t id);
/* The transaction's own view. */
struct xs_tree *xs_tx_tree(struct xs_tx *tx);
/* The outcome depends on this path. 0, -ENOSPC, -ENOMEM. */
int xs_tx_touch(struct xs_tx *tx, const char *path);
/* Makes the change in the transaction's view and notes it. */
int xs_tx_change(struct xs_tx *tx, uint32_t by, const struct xs_change *change);

/* Called for each change of a commit, once all of them are in the store. */
typedef void (*xs_tx_fn)(void *opaque, const struct xs_tree *old, const struct xs_change *change);

/* 0, -EAGAIN, or what a change fails with. The transaction is gone in any case. */
int xs_tx_commit(struct xs_tx_list *list, struct xs_tx *tx, struct xs_tree *tree, uint32_t by, xs_tx_fn fn,
                 void *opaque);
void xs_tx_abort(struct xs_tx_list *list, struct xs_tx *tx);
void xs_tx_abort_all(struct xs_tx_list *list);

#endif
