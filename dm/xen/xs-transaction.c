/* SPDX-License-Identifier: MIT */
#include "dm/xen/xs-transaction.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A change kept by its transaction: path and value follow in the same block. */
struct tx_change {
	struct tx_change *next;
	struct xs_change change;
};

struct xs_tx {
	struct xs_tx *next;
	uint32_t id;
	struct xs_tree base; /* the store as it was at the start */
	struct xs_tree tree; /* with the transaction's changes */
	char **paths;
	uint32_t n_paths, path_room;
	struct tx_change *first, **last;
	uint32_t n_changes;
};

int xs_change_apply(struct xs_tree *tree, uint32_t by, const struct xs_change *change)
{
	switch (change->kind) {
	case XS_CHANGE_WRITE:
		return xs_tree_write(tree, by, change->path, change->value, change->len);
	case XS_CHANGE_MKDIR:
		return xs_tree_write(tree, by, change->path, NULL, 0);
	case XS_CHANGE_RM:
		return xs_tree_rm(tree, change->path);
	case XS_CHANGE_PERMS:
		return xs_tree_set_perms(tree, by, change->path, change->value, change->len);
	}
	return -EINVAL;
}

static void tx_free(struct xs_tx *tx)
{
	while (tx->first) {
		struct tx_change *change = tx->first;

		tx->first = change->next;
		free(change);
	}
	for (uint32_t i = 0; i < tx->n_paths; i++)
		free(tx->paths[i]);
	free(tx->paths);
	xs_tree_finish(&tx->base);
	xs_tree_finish(&tx->tree);
	free(tx);
}

int xs_tx_start(struct xs_tx_list *list, const struct xs_tree *tree, uint32_t *id)
{
	struct xs_tx *tx;

	if (list->count >= XS_QUOTA_TRANSACTIONS)
		return -ENOSPC;
	tx = calloc(1, sizeof(*tx));
	if (!tx)
		return -ENOMEM;
	do {
		tx->id = ++list->last_id;
	} while (!tx->id || xs_tx_find(list, tx->id));
	tx->base = xs_tree_snapshot(tree);
	tx->tree = xs_tree_snapshot(tree);
	tx->last = &tx->first;
	tx->next = list->first;
	list->first = tx;
	list->count++;
	*id = tx->id;
	return 0;
}

struct xs_tx *xs_tx_find(const struct xs_tx_list *list, uint32_t id)
{
	struct xs_tx *tx = list->first;

	while (tx && tx->id != id)
		tx = tx->next;
	return tx;
}

struct xs_tree *xs_tx_tree(struct xs_tx *tx)
{
	return &tx->tree;
}

int xs_tx_touch(struct xs_tx *tx, const char *path)
{
	for (uint32_t i = 0; i < tx->n_paths; i++)
		if (!strcmp(tx->paths[i], path))
			return 0;
	if (tx->n_paths >= XS_QUOTA_TX_PATHS)
		return -ENOSPC;
	if (tx->n_paths == tx->path_room) {
		uint32_t room = tx->path_room ? tx->path_room * 2 : 16;
		char **grown = realloc(tx->paths, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		tx->paths = grown;
		tx->path_room = room;
	}
	tx->paths[tx->n_paths] = strdup(path);
	if (!tx->paths[tx->n_paths])
		return -ENOMEM;
	tx->n_paths++;
	return 0;
}

static struct tx_change *change_copy(const struct xs_change *change)
{
	size_t path_len = strlen(change->path) + 1;
	size_t value_len = change->len * (change->kind == XS_CHANGE_PERMS ? sizeof(struct xs_perm) : 1);
	struct tx_change *copy = malloc(sizeof(*copy) + value_len + path_len);
	char *value;

	if (!copy)
		return NULL;
	value = (char *)(copy + 1);
	copy->next = NULL;
	copy->change = *change;
	if (value_len)
		memcpy(value, change->value, value_len);
	memcpy(value + value_len, change->path, path_len);
	copy->change.value = value;
	copy->change.path = value + value_len;
	return copy;
}

int xs_tx_change(struct xs_tx *tx, uint32_t by, const struct xs_change *change)
{
	struct tx_change *copy;
	int err;

	if (tx->n_changes >= XS_QUOTA_TX_CHANGES)
		return -ENOSPC;
	copy = change_copy(change);
	if (!copy)
		return -ENOMEM;
	err = xs_change_apply(&tx->tree, by, change);
	if (err) {
		free(copy);
		return err;
	}
	*tx->last = copy;
	tx->last = &copy->next;
	tx->n_changes++;
	return 0;
}

static uint64_t generation(const struct xs_tree *tree, const char *path)
{
	const struct xs_node *node = xs_tree_find(tree, path);

	return node ? node->gen : 0;
}

static bool conflicts(const struct xs_tx *tx, const struct xs_tree *tree)
{
	for (uint32_t i = 0; i < tx->n_paths; i++)
		if (generation(&tx->base, tx->paths[i]) != generation(tree, tx->paths[i]))
			return true;
	return false;
}

/* The store with the transaction's changes, in *next; nothing is held on failure. */
static int merge(struct xs_tx *tx, const struct xs_tree *tree, uint32_t by, struct xs_tree *next)
{
	if (tree->root == tx->base.root) {
		*next = xs_tree_snapshot(&tx->tree);
		return 0;
	}
	if (conflicts(tx, tree))
		return -EAGAIN;
	*next = xs_tree_snapshot(tree);
	for (struct tx_change *c = tx->first; c; c = c->next) {
		int err = xs_change_apply(next, by, &c->change);

		if (err) {
			xs_tree_finish(next);
			return err;
		}
	}
	return 0;
}

int xs_tx_commit(struct xs_tx_list *list, struct xs_tx *tx, struct xs_tree *tree, uint32_t by, xs_tx_fn fn,
                 void *opaque)
{
	struct xs_tree old = *tree, next;
	int err = 0;

	if (tx->first) {
		err = merge(tx, tree, by, &next);
		if (!err) {
			*tree = next;
			for (struct tx_change *c = tx->first; c; c = c->next)
				fn(opaque, &old, &c->change);
			xs_tree_finish(&old);
		}
	} else if (tree->root != tx->base.root && conflicts(tx, tree)) {
		err = -EAGAIN;
	}
	xs_tx_abort(list, tx);
	return err;
}

void xs_tx_abort(struct xs_tx_list *list, struct xs_tx *tx)
{
	struct xs_tx **slot = &list->first;

	while (*slot != tx)
		slot = &(*slot)->next;
	*slot = tx->next;
	list->count--;
	tx_free(tx);
}

void xs_tx_abort_all(struct xs_tx_list *list)
{
	while (list->first)
		xs_tx_abort(list, list->first);
}
