/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a store: a tree that can be kept as it was.
 *
 * A struct xs_tree is a root with a reference count on it. Taking a snapshot
 * is one more reference; a change copies the nodes on the way from the root
 * to the changed one as far as they are shared, and changes the others in
 * place. So a transaction starts in constant time, sees a state that nobody
 * changes under it, and a commit that fails half-way leaves nothing behind.
 *
 * Every change gives the node a new generation, a number never used before in
 * this store. The list of children belongs to the node: a new or removed
 * child changes the parent's generation as well.
 *
 * Quotas are enforced here for nodes of the guest; domain 0 has none.
 */
#ifndef DM_XEN_XS_TREE_H
#define DM_XEN_XS_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/xen/xenstore.h"
#include "dm/xen/xs-path.h"

/* The limits of xenstored as it comes. */
#define XS_QUOTA_NODES     1000u
#define XS_QUOTA_NODE_SIZE 2048u
#define XS_PERMS_MAX       5u

struct xs_node {
	uint32_t refs;
	uint32_t len;
	uint32_t n_children, room;
	uint32_t n_perms;
	uint32_t name_len;
	uint64_t gen;
	struct xs_perm perms[XS_PERMS_MAX];
	uint8_t *value;            /* len bytes and a NUL; NULL when len is 0 */
	struct xs_node **children; /* ascending by name */
	char name[];
};

struct xs_tree {
	struct xs_node *root;
	uint32_t domid; /* whose nodes are counted in `owned` */
	uint32_t owned;
	uint64_t *gen; /* the store's generation counter */
};

/* A root owned by domain 0 that everybody may not read. 0 or -ENOMEM. */
int xs_tree_init(struct xs_tree *tree, uint32_t domid, uint64_t *gen);
void xs_tree_finish(struct xs_tree *tree);
struct xs_tree xs_tree_snapshot(const struct xs_tree *tree);

/* Paths are canonical. NULL when there is no such node. */
const struct xs_node *xs_tree_find(const struct xs_tree *tree, const char *path);
/* The node, or its nearest ancestor that exists; depth is the length of that one's path. */
const struct xs_node *xs_tree_nearest(const struct xs_tree *tree, const char *path, uint32_t *depth);

/*
 * value NULL: only makes the node when it is missing (MKDIR). Missing parents
 * are made too. by: who asks, for quotas and the ownership of new nodes.
 * 0, -ENOSPC (quota), -ENOMEM.
 */
int xs_tree_write(struct xs_tree *tree, uint32_t by, const char *path, const void *value, uint32_t len);
/* 0, -ENOENT, -EINVAL for the root, -ENOMEM. */
int xs_tree_rm(struct xs_tree *tree, const char *path);
/* n from 1 to XS_PERMS_MAX. 0, -ENOENT, -ENOSPC, -ENOMEM. */
int xs_tree_set_perms(struct xs_tree *tree, uint32_t by, const char *path, const struct xs_perm *perms,
                      uint32_t n);

#define XS_READ_ACCESS  1u
#define XS_WRITE_ACCESS 2u
#define XS_OWNER_ACCESS 4u

/* What domain domid may do with a node, as a mask of XS_*_ACCESS. */
uint32_t xs_node_access(const struct xs_node *node, uint32_t domid);

#endif
