/* SPDX-License-Identifier: MIT */
#include "dm/xen/xs-tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What xenstored keeps of a node besides value, perms and child names counts towards its size. */
#define NODE_HEADER 24u

/* ---- single nodes --------------------------------------------------------- */

static void node_put(struct xs_node *node)
{
	if (!node || --node->refs)
		return;
	for (uint32_t i = 0; i < node->n_children; i++)
		node_put(node->children[i]);
	free(node->children);
	free(node->value);
	free(node);
}

static struct xs_node *node_new(const char *name, uint32_t name_len)
{
	struct xs_node *node = calloc(1, sizeof(*node) + name_len + 1);

	if (!node)
		return NULL;
	node->refs = 1;
	node->name_len = name_len;
	memcpy(node->name, name, name_len);
	return node;
}

static int node_set_value(struct xs_node *node, const void *value, uint32_t len)
{
	uint8_t *copy = NULL;

	if (len) {
		copy = malloc((size_t)len + 1);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, value, len);
		copy[len] = '\0';
	}
	free(node->value);
	node->value = copy;
	node->len = len;
	return 0;
}

static struct xs_node *node_clone(const struct xs_node *node)
{
	struct xs_node *copy = node_new(node->name, node->name_len);

	if (!copy)
		return NULL;
	if (node->n_children) {
		copy->children = malloc(node->n_children * sizeof(*copy->children));
		if (!copy->children)
			goto fail;
	}
	if (node_set_value(copy, node->value, node->len))
		goto fail;
	copy->gen = node->gen;
	copy->n_perms = node->n_perms;
	memcpy(copy->perms, node->perms, sizeof(copy->perms));
	copy->room = copy->n_children = node->n_children;
	for (uint32_t i = 0; i < node->n_children; i++) {
		copy->children[i] = node->children[i];
		copy->children[i]->refs++;
	}
	return copy;
fail:
	node_put(copy);
	return NULL;
}

/* Index of the child, or where it would have to be with *found false. */
static uint32_t child_index(const struct xs_node *node, const char *name, uint32_t len, bool *found)
{
	uint32_t low = 0, high = node->n_children;

	*found = false;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct xs_node *child = node->children[mid];
		int order = memcmp(name, child->name, len < child->name_len ? len : child->name_len);

		if (!order)
			order = (len > child->name_len) - (len < child->name_len);
		if (!order) {
			*found = true;
			return mid;
		}
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static int children_reserve(struct xs_node *node)
{
	uint32_t room = node->room ? node->room * 2 : 4;
	struct xs_node **grown;

	if (node->n_children < node->room)
		return 0;
	grown = realloc(node->children, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	node->children = grown;
	node->room = room;
	return 0;
}

static void child_insert(struct xs_node *node, uint32_t at, struct xs_node *child)
{
	memmove(&node->children[at + 1], &node->children[at],
	        (node->n_children - at) * sizeof(*node->children));
	node->children[at] = child;
	node->n_children++;
}

static void child_remove(struct xs_node *node, uint32_t at)
{
	node->n_children--;
	memmove(&node->children[at], &node->children[at + 1],
	        (node->n_children - at) * sizeof(*node->children));
}

static uint32_t node_size(const struct xs_node *node, uint32_t len)
{
	uint32_t size = NODE_HEADER + len + node->n_perms * (uint32_t)sizeof(node->perms[0]);

	for (uint32_t i = 0; i < node->n_children; i++)
		size += node->children[i]->name_len + 1;
	return size;
}

uint32_t xs_node_access(const struct xs_node *node, uint32_t domid)
{
	char access = node->perms[0].access;

	if (domid == 0 || node->perms[0].domid == domid)
		return XS_READ_ACCESS | XS_WRITE_ACCESS | XS_OWNER_ACCESS;
	for (uint32_t i = 1; i < node->n_perms; i++) {
		if (node->perms[i].domid == domid) {
			access = node->perms[i].access;
			break;
		}
	}
	return (access == 'r' || access == 'b' ? XS_READ_ACCESS : 0) |
	       (access == 'w' || access == 'b' ? XS_WRITE_ACCESS : 0);
}

/* ---- the tree --------------------------------------------------------------- */

int xs_tree_init(struct xs_tree *tree, uint32_t domid, uint64_t *gen)
{
	*tree = (struct xs_tree){.domid = domid, .gen = gen};
	tree->root = node_new("", 0);
	if (!tree->root)
		return -ENOMEM;
	tree->root->gen = ++*gen;
	tree->root->perms[0] = (struct xs_perm){.domid = 0, .access = 'n'};
	tree->root->n_perms = 1;
	return 0;
}

void xs_tree_finish(struct xs_tree *tree)
{
	node_put(tree->root);
	tree->root = NULL;
}

struct xs_tree xs_tree_snapshot(const struct xs_tree *tree)
{
	tree->root->refs++;
	return *tree;
}

const struct xs_node *xs_tree_nearest(const struct xs_tree *tree, const char *path, uint32_t *depth)
{
	const struct xs_node *node = tree->root;
	const char *pos = path, *name;
	uint32_t len;

	*depth = 1;
	while ((name = xs_path_next(&pos, &len))) {
		bool found;
		uint32_t i = child_index(node, name, len, &found);

		if (!found)
			break;
		node = node->children[i];
		*depth = (uint32_t)(pos - path);
	}
	return node;
}

const struct xs_node *xs_tree_find(const struct xs_tree *tree, const char *path)
{
	uint32_t depth;
	const struct xs_node *node = xs_tree_nearest(tree, path, &depth);

	return path[0] == '/' && depth == strlen(path) ? node : NULL;
}

/* Makes *slot a node of this tree alone. */
static struct xs_node *slot_own(struct xs_node **slot)
{
	struct xs_node *copy;

	if ((*slot)->refs == 1)
		return *slot;
	copy = node_clone(*slot);
	if (!copy)
		return NULL;
	(*slot)->refs--;
	*slot = copy;
	return copy;
}

/* The node at the first depth bytes of path, which exists, private to this tree. */
static struct xs_node *tree_own(struct xs_tree *tree, const char *path, uint32_t depth)
{
	struct xs_node *node = slot_own(&tree->root);
	const char *pos = path, *name;
	uint32_t len;

	while (node && depth > 1 && pos < path + depth && (name = xs_path_next(&pos, &len))) {
		bool found;
		uint32_t i = child_index(node, name, len, &found);

		if (!found)
			return NULL;
		node = slot_own(&node->children[i]);
	}
	return node;
}

static bool owned_by_guest(const struct xs_tree *tree, const struct xs_node *node)
{
	return node->perms[0].domid == tree->domid;
}

static uint32_t count_owned(const struct xs_tree *tree, const struct xs_node *node)
{
	uint32_t n = owned_by_guest(tree, node);

	for (uint32_t i = 0; i < node->n_children; i++)
		n += count_owned(tree, node->children[i]);
	return n;
}

/* ---- changes ------------------------------------------------------------------ */

static int write_existing(struct xs_tree *tree, uint32_t by, const char *path, const struct xs_node *old,
                          const void *value, uint32_t len)
{
	struct xs_node *node;

	if (!value)
		return 0;
	if (by && node_size(old, len) > XS_QUOTA_NODE_SIZE)
		return -ENOSPC;
	node = tree_own(tree, path, (uint32_t)strlen(path));
	if (!node || node_set_value(node, value, len))
		return -ENOMEM;
	node->gen = ++*tree->gen;
	return 0;
}

static struct xs_node *node_inherit(struct xs_tree *tree, uint32_t by, const struct xs_node *parent,
                                    const char *name, uint32_t len)
{
	struct xs_node *node = node_new(name, len);

	if (!node)
		return NULL;
	node->gen = ++*tree->gen;
	node->n_perms = parent->n_perms;
	memcpy(node->perms, parent->perms, sizeof(node->perms));
	if (by)
		node->perms[0].domid = by;
	return node;
}

/*
 * The missing part of a path as a chain of nodes not yet linked to the tree.
 * Returns its top and, through count, how many there are.
 */
static struct xs_node *chain_new(struct xs_tree *tree, uint32_t by, const struct xs_node *parent,
                                 const char *rest, const void *value, uint32_t len, uint32_t *count)
{
	struct xs_node *top = NULL, *last = NULL;
	const char *name;
	uint32_t name_len;

	*count = 0;
	while ((name = xs_path_next(&rest, &name_len))) {
		struct xs_node *node = node_inherit(tree, by, last ? last : parent, name, name_len);

		if (!node)
			goto fail;
		++*count;
		if (!last) {
			top = node;
		} else if (children_reserve(last)) {
			node_put(node);
			goto fail;
		} else {
			child_insert(last, 0, node);
		}
		last = node;
	}
	if (last && !node_set_value(last, value, len))
		return top;
fail:
	node_put(top);
	return NULL;
}

static int check_chain(const struct xs_tree *tree, uint32_t by, const struct xs_node *parent,
                       const struct xs_node *top, uint32_t count, uint32_t len)
{
	if (!by)
		return 0;
	if (count > XS_QUOTA_NODES || tree->owned > XS_QUOTA_NODES - count)
		return -ENOSPC;
	if (node_size(parent, parent->len) + top->name_len + 1 > XS_QUOTA_NODE_SIZE)
		return -ENOSPC;
	return NODE_HEADER + len + top->n_perms * sizeof(top->perms[0]) > XS_QUOTA_NODE_SIZE ? -ENOSPC : 0;
}

static int write_new(struct xs_tree *tree, uint32_t by, const char *path, uint32_t depth, const void *value,
                     uint32_t len)
{
	struct xs_node *parent = tree_own(tree, path, depth);
	struct xs_node *top;
	uint32_t count, at;
	bool found;
	int err;

	if (!parent)
		return -ENOMEM;
	top = chain_new(tree, by, parent, path + (depth == 1 ? 0 : depth), value, value ? len : 0, &count);
	if (!top)
		return -ENOMEM;
	err = check_chain(tree, by, parent, top, count, value ? len : 0);
	if (!err)
		err = children_reserve(parent);
	if (err) {
		node_put(top);
		return err;
	}
	at = child_index(parent, top->name, top->name_len, &found);
	child_insert(parent, at, top);
	parent->gen = ++*tree->gen;
	tree->owned += count_owned(tree, top);
	return 0;
}

int xs_tree_write(struct xs_tree *tree, uint32_t by, const char *path, const void *value, uint32_t len)
{
	uint32_t depth;
	const struct xs_node *node = xs_tree_nearest(tree, path, &depth);

	if (depth == strlen(path))
		return write_existing(tree, by, path, node, value, len);
	return write_new(tree, by, path, depth, value, len);
}

int xs_tree_rm(struct xs_tree *tree, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct xs_node *parent, *child;
	uint32_t at;
	bool found;

	if (!slash || !slash[1])
		return -EINVAL;
	if (!xs_tree_find(tree, path))
		return -ENOENT;
	parent = tree_own(tree, path, (uint32_t)(slash - path));
	if (!parent)
		return -ENOMEM;
	at = child_index(parent, slash + 1, (uint32_t)strlen(slash + 1), &found);
	child = parent->children[at];
	child_remove(parent, at);
	parent->gen = ++*tree->gen;
	tree->owned -= count_owned(tree, child);
	node_put(child);
	return 0;
}

int xs_tree_set_perms(struct xs_tree *tree, uint32_t by, const char *path, const struct xs_perm *perms,
                      uint32_t n)
{
	const struct xs_node *old = xs_tree_find(tree, path);
	struct xs_node *node;

	if (!old)
		return -ENOENT;
	if (!n || n > XS_PERMS_MAX)
		return -ENOSPC;
	if (by && node_size(old, old->len) + (n - old->n_perms) * sizeof(perms[0]) > XS_QUOTA_NODE_SIZE &&
	    n > old->n_perms)
		return -ENOSPC;
	node = tree_own(tree, path, (uint32_t)strlen(path));
	if (!node)
		return -ENOMEM;
	tree->owned -= owned_by_guest(tree, node);
	memcpy(node->perms, perms, n * sizeof(perms[0]));
	node->n_perms = n;
	node->gen = ++*tree->gen;
	tree->owned += owned_by_guest(tree, node);
	return 0;
}
