/* SPDX-License-Identifier: MIT */
/*
 * The requests of the wire protocol, one handler each, with the argument
 * checks, rights and errors of xenstored. The table at the end is the index.
 */
#include "dm/xen/xs-store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- arguments ----------------------------------------------------------------- */

/* The string at *pos, which moves behind its NUL; NULL when it does not end within the body. */
static const char *next_string(const struct xs_req *req, uint32_t *pos)
{
	const char *start = req->body + *pos;
	const char *end = memchr(start, '\0', req->len - *pos);

	if (!end)
		return NULL;
	*pos += (uint32_t)(end - start) + 1;
	return start;
}

/* The body as exactly n strings. */
static int strings(const struct xs_req *req, const char **out, uint32_t n)
{
	uint32_t pos = 0;

	for (uint32_t i = 0; i < n; i++) {
		out[i] = next_string(req, &pos);
		if (!out[i])
			return -EINVAL;
	}
	return pos == req->len ? 0 : -EINVAL;
}

static int number(const char *text, unsigned long max, uint32_t *value)
{
	unsigned long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || n > max)
		return -EINVAL;
	*value = (uint32_t)n;
	return 0;
}

static int path_argument(struct xs_req *req, const char *text)
{
	return xs_path_canonical(req->xs->domid, text, false, req->path);
}

/* For requests whose body is one path. */
static int only_path(struct xs_req *req)
{
	const char *text;
	int err = strings(req, &text, 1);

	return err ? err : path_argument(req, text);
}

/* ---- access --------------------------------------------------------------------- */

static struct xs_tree *view(struct xs_req *req)
{
	return req->tx ? xs_tx_tree(req->tx) : &req->xs->tree;
}

static int touch(struct xs_req *req, const char *path)
{
	return req->tx ? xs_tx_touch(req->tx, path) : 0;
}

/*
 * The node at req->path if the guest has the access. A missing node is
 * -ENOENT for those who have that access to its nearest ancestor, and
 * -EACCES for all others, who are not to learn what exists.
 */
static int get_node(struct xs_req *req, uint32_t access, const struct xs_node **node)
{
	uint32_t depth;
	const struct xs_node *found;
	int err = touch(req, req->path);

	if (err)
		return err;
	found = xs_tree_nearest(view(req), req->path, &depth);
	if ((xs_node_access(found, req->xs->domid) & access) != access)
		return -EACCES;
	if (depth != strlen(req->path))
		return -ENOENT;
	*node = found;
	return 0;
}

static int change(struct xs_req *req, const struct xs_change *c)
{
	if (req->tx)
		return xs_tx_change(req->tx, req->xs->domid, c);
	return xs_store_change(req->xs, req->xs->domid, c);
}

/* A transaction that makes req->path depends on the node which gets a new child. */
static int touch_nearest(struct xs_req *req)
{
	char path[XS_PATH_SIZE];
	uint32_t depth;

	if (!req->tx)
		return 0;
	xs_tree_nearest(view(req), req->path, &depth);
	memcpy(path, req->path, depth);
	path[depth] = '\0';
	return touch(req, path);
}

static int touch_parent(struct xs_req *req)
{
	char path[XS_PATH_SIZE];
	size_t len = (size_t)(strrchr(req->path, '/') - req->path);

	memcpy(path, req->path, len);
	path[len] = '\0';
	return touch(req, len ? path : "/");
}

/* ---- replies --------------------------------------------------------------------- */

static int reply_bytes(struct xs_req *req, const void *data, uint32_t len)
{
	if (len > XENSTORE_PAYLOAD_MAX - req->reply_len)
		return -E2BIG;
	if (len)
		memcpy(req->reply + req->reply_len, data, len);
	req->reply_len += len;
	return 0;
}

static int reply_string(struct xs_req *req, const char *text)
{
	return reply_bytes(req, text, (uint32_t)strlen(text) + 1);
}

static int reply_ok(struct xs_req *req)
{
	return reply_string(req, "OK");
}

/* ---- reading ----------------------------------------------------------------------- */

static int op_read(struct xs_req *req)
{
	const struct xs_node *node;
	int err = only_path(req);

	if (!err)
		err = get_node(req, XS_READ_ACCESS, &node);
	return err ? err : reply_bytes(req, node->value, node->len);
}

static int op_directory(struct xs_req *req)
{
	const struct xs_node *node;
	int err = only_path(req);

	if (!err)
		err = get_node(req, XS_READ_ACCESS, &node);
	for (uint32_t i = 0; !err && i < node->n_children; i++)
		err = reply_string(req, node->children[i]->name);
	return err;
}

/* "path\0offset\0" -> "generation\0" names from that byte on; one more NUL after the last name. */
static int op_directory_part(struct xs_req *req)
{
	const struct xs_node *node;
	const char *args[2];
	uint32_t offset, at = 0;
	char gen[24];
	int err = strings(req, args, 2);

	if (!err)
		err = path_argument(req, args[0]);
	if (!err)
		err = number(args[1], UINT32_MAX, &offset);
	if (!err)
		err = get_node(req, XS_READ_ACCESS, &node);
	if (err)
		return err;
	snprintf(gen, sizeof(gen), "%llu", (unsigned long long)node->gen);
	reply_string(req, gen);
	for (uint32_t i = 0; i < node->n_children; i++) {
		uint32_t size = node->children[i]->name_len + 1;

		if (at >= offset && reply_bytes(req, node->children[i]->name, size))
			return 0;
		at += size;
	}
	/* Without room for the last NUL the client asks again and gets it alone. */
	reply_bytes(req, "", 1);
	return 0;
}

static int op_get_perms(struct xs_req *req)
{
	const struct xs_node *node;
	char text[16];
	int err = only_path(req);

	if (!err)
		err = get_node(req, XS_READ_ACCESS, &node);
	for (uint32_t i = 0; !err && i < node->n_perms; i++) {
		snprintf(text, sizeof(text), "%c%u", node->perms[i].access, node->perms[i].domid);
		err = reply_string(req, text);
	}
	return err;
}

/* ---- writing ------------------------------------------------------------------------ */

/* May the guest write at req->path, be it there or not? *exists tells which. */
static int may_write(struct xs_req *req, bool *exists)
{
	const struct xs_node *node;
	int err = get_node(req, XS_WRITE_ACCESS, &node);

	*exists = !err;
	return err == -ENOENT ? touch_nearest(req) : err;
}

static int op_write(struct xs_req *req)
{
	uint32_t pos = 0;
	const char *path = next_string(req, &pos);
	struct xs_change c = {.kind = XS_CHANGE_WRITE, .path = req->path};
	bool exists;
	int err;

	if (!path)
		return -EINVAL;
	err = path_argument(req, path);
	if (!err)
		err = may_write(req, &exists);
	c.value = req->body + pos;
	c.len = req->len - pos;
	if (!err)
		err = change(req, &c);
	return err ? err : reply_ok(req);
}

static int op_mkdir(struct xs_req *req)
{
	struct xs_change c = {.kind = XS_CHANGE_MKDIR, .path = req->path};
	bool exists = false;
	int err = only_path(req);

	if (!err)
		err = may_write(req, &exists);
	if (!err && !exists)
		err = change(req, &c);
	return err ? err : reply_ok(req);
}

/* A node that is gone already is no error as long as its parent is there. */
static int rm_missing(struct xs_req *req)
{
	char *slash = strrchr(req->path, '/');
	int err = touch_parent(req);

	if (err)
		return err;
	if (slash == req->path)
		return reply_ok(req);
	*slash = '\0';
	return xs_tree_find(view(req), req->path) ? reply_ok(req) : -ENOENT;
}

static int op_rm(struct xs_req *req)
{
	struct xs_change c = {.kind = XS_CHANGE_RM, .path = req->path};
	const struct xs_node *node;
	int err = only_path(req);

	if (!err)
		err = get_node(req, XS_WRITE_ACCESS, &node);
	if (err == -ENOENT)
		return rm_missing(req);
	if (!err)
		err = touch_parent(req);
	if (!err)
		err = change(req, &c);
	return err ? err : reply_ok(req);
}

static int parse_perm(const char *text, struct xs_perm *perm)
{
	if (!text[0] || !strchr("nrwb", text[0]))
		return -EINVAL;
	perm->access = text[0];
	return number(text + 1, UINT16_MAX, &perm->domid);
}

static int parse_perms(const struct xs_req *req, uint32_t pos, struct xs_perm *perms, uint32_t *n)
{
	for (*n = 0; pos < req->len; ++*n) {
		const char *text = next_string(req, &pos);
		int err;

		if (!text)
			return -EINVAL;
		if (*n == XS_PERMS_MAX)
			return -ENOSPC;
		err = parse_perm(text, &perms[*n]);
		if (err)
			return err;
	}
	return *n ? 0 : -EINVAL;
}

static int op_set_perms(struct xs_req *req)
{
	struct xs_perm perms[XS_PERMS_MAX] = {0};
	struct xs_change c = {.kind = XS_CHANGE_PERMS, .path = req->path, .value = perms};
	const struct xs_node *node;
	uint32_t pos = 0;
	const char *path = next_string(req, &pos);
	int err;

	if (!path)
		return -EINVAL;
	err = path_argument(req, path);
	if (!err)
		err = parse_perms(req, pos, perms, &c.len);
	if (!err)
		err = get_node(req, XS_WRITE_ACCESS | XS_OWNER_ACCESS, &node);
	if (err)
		return err;
	/* Giving a node away would let a guest use up somebody else's quota. */
	if (perms[0].domid != node->perms[0].domid)
		return -EPERM;
	err = change(req, &c);
	return err ? err : reply_ok(req);
}

/* ---- watches ------------------------------------------------------------------------- */

static int watch_arguments(struct xs_req *req, const char *args[2])
{
	int err = strings(req, args, 2);

	return err ? err : xs_path_canonical(req->xs->domid, args[0], true, req->path);
}

static int op_watch(struct xs_req *req)
{
	const char *args[2];
	uint32_t skip;
	int err = watch_arguments(req, args);

	if (err)
		return err;
	skip = args[0][0] == '/' || args[0][0] == '@' ? 0 : req->xs->home_len + 1;
	if (!xs_watch_add_guest(&req->xs->watches, req->path, args[1], skip))
		return -errno;
	return reply_ok(req);
}

static int op_unwatch(struct xs_req *req)
{
	struct gamut_xs_watch *watch;
	const char *args[2];
	int err = watch_arguments(req, args);

	if (err)
		return err;
	watch = xs_watch_find_guest(&req->xs->watches, req->path, args[1]);
	if (!watch)
		return -ENOENT;
	xs_watch_remove(&req->xs->watches, watch);
	return reply_ok(req);
}

static int op_reset_watches(struct xs_req *req)
{
	xs_store_forget_guest(req->xs);
	return reply_ok(req);
}

/* ---- transactions --------------------------------------------------------------------- */

static int op_transaction_start(struct xs_req *req)
{
	char text[16];
	uint32_t id;
	int err;

	if (req->tx_id)
		return -EBUSY;
	err = xs_tx_start(&req->xs->transactions, &req->xs->tree, &id);
	if (err)
		return err;
	snprintf(text, sizeof(text), "%u", id);
	return reply_string(req, text);
}

static int op_transaction_end(struct xs_req *req)
{
	struct xenstore *xs = req->xs;
	const char *arg;
	int err = strings(req, &arg, 1);

	if (err || (strcmp(arg, "T") && strcmp(arg, "F")))
		return -EINVAL;
	if (!req->tx)
		return -ENOENT;
	if (arg[0] == 'F')
		xs_tx_abort(&xs->transactions, req->tx);
	else
		err = xs_tx_commit(&xs->transactions, req->tx, &xs->tree, xs->domid, xs_store_fire, xs);
	return err ? err : reply_ok(req);
}

/* ---- domains --------------------------------------------------------------------------- */

static int domid_argument(struct xs_req *req, uint32_t *domid)
{
	const char *arg;
	int err = strings(req, &arg, 1);

	return err ? err : number(arg, UINT16_MAX, domid);
}

static int op_get_domain_path(struct xs_req *req)
{
	char home[XS_HOME_SIZE];
	uint32_t domid;
	int err = domid_argument(req, &domid);

	if (err)
		return err;
	xs_path_home(domid, home);
	return reply_string(req, home);
}

static int op_is_domain_introduced(struct xs_req *req)
{
	uint32_t domid;
	int err = domid_argument(req, &domid);

	if (err)
		return err;
	return reply_string(req, domid == 0 || domid == req->xs->domid ? "T" : "F");
}

/* What only domain 0 may ask, and domain 0 has no connection. */
static int op_privileged(struct xs_req *req)
{
	(void)req;
	return -EACCES;
}

/* ---- the index --------------------------------------------------------------------------- */

struct xs_op {
	int (*handle)(struct xs_req *req);
	bool no_tx; /* the transaction id means nothing to it */
};

static const struct xs_op ops[XS_TYPE_COUNT] = {
        [XS_CONTROL] = {op_privileged, true},
        [XS_DIRECTORY] = {op_directory, false},
        [XS_READ] = {op_read, false},
        [XS_GET_PERMS] = {op_get_perms, false},
        [XS_WATCH] = {op_watch, true},
        [XS_UNWATCH] = {op_unwatch, true},
        [XS_TRANSACTION_START] = {op_transaction_start, true},
        [XS_TRANSACTION_END] = {op_transaction_end, false},
        [XS_INTRODUCE] = {op_privileged, true},
        [XS_RELEASE] = {op_privileged, true},
        [XS_GET_DOMAIN_PATH] = {op_get_domain_path, true},
        [XS_WRITE] = {op_write, false},
        [XS_MKDIR] = {op_mkdir, false},
        [XS_RM] = {op_rm, false},
        [XS_SET_PERMS] = {op_set_perms, false},
        [XS_IS_DOMAIN_INTRODUCED] = {op_is_domain_introduced, true},
        [XS_RESUME] = {op_privileged, true},
        [XS_SET_TARGET] = {op_privileged, true},
        [XS_RESET_WATCHES] = {op_reset_watches, true},
        [XS_DIRECTORY_PART] = {op_directory_part, false},
};

int xs_ops_handle(struct xs_req *req)
{
	const struct xs_op *op = req->type < XS_TYPE_COUNT ? &ops[req->type] : NULL;

	if (!op || !op->handle)
		return -ENOSYS;
	if (req->tx_id && !op->no_tx) {
		req->tx = xs_tx_find(&req->xs->transactions, req->tx_id);
		if (!req->tx)
			return -ENOENT;
	}
	return op->handle(req);
}
