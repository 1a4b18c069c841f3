/* SPDX-License-Identifier: MIT */
/* The store through its ring, as a guest, good or bad, and through its calls, as a back end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dm/xen/xs-store.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"

#define DOMID 7u
#define HOME  "/local/domain/7"

/* A guest's end of the connection. */
struct guest {
	struct host_fake *f;
	struct xen_fake x;
	struct xenstore *xs;
	struct xenstore_domain_interface *page;
	uint32_t port, next_id;
	struct xsd_sockmsg head; /* of the last message */
	char body[XENSTORE_PAYLOAD_MAX + 1];
	char events[64][256]; /* "path token" of watch events in between */
	uint32_t n_events;
};

static void run(struct guest *g)
{
	xen_fake_send(&g->x, g->port);
	host_fake_run(g->f);
}

static int setup(void **state)
{
	static const struct xs_perm rw[] = {{DOMID, 'n'}}, ro[] = {{0, 'n'}, {DOMID, 'r'}};
	struct guest *g = calloc(1, sizeof(*g));

	g->f = host_fake_create(1 << 20, 1);
	g->f->domid = DOMID;
	xen_fake_init(&g->x, g->f);
	g->page = calloc(1, 4096);
	g->xs = xenstore_create(g->f->host, g->f->inst, DOMID);
	g->port = (uint32_t)xenstore_attach(g->xs, g->page, &xen_fake_evtchn, &g->x);
	assert_int_equal(xenstore_write(g->xs, HOME, "", 0), 0);
	assert_int_equal(xenstore_set_perms(g->xs, HOME, ro, 2), 0);
	assert_int_equal(xenstore_write(g->xs, HOME "/data", "", 0), 0);
	assert_int_equal(xenstore_set_perms(g->xs, HOME "/data", rw, 1), 0);
	assert_int_equal(xenstore_write(g->xs, HOME "/name", "seven", 5), 0);
	assert_int_equal(xenstore_write(g->xs, "/secret", "x", 1), 0);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	xenstore_destroy(g->xs);
	assert_int_equal(host_fake_destroy(g->f), 0);
	free(g->page);
	free(g);
	return 0;
}

/* ---- the wire ---- */

static void send_bytes(struct guest *g, const void *data, uint32_t len)
{
	const char *p = data;

	for (uint32_t i = 0; i < len; i++) {
		if (g->page->req_prod - g->page->req_cons == XENSTORE_RING_SIZE)
			run(g);
		assert_true(g->page->req_prod - g->page->req_cons < XENSTORE_RING_SIZE);
		g->page->req[MASK_XENSTORE_IDX(g->page->req_prod)] = p[i];
		g->page->req_prod++;
	}
}

static bool receive_bytes(struct guest *g, void *data, uint32_t len)
{
	char *p = data;

	for (uint32_t i = 0; i < len; i++) {
		if (g->page->rsp_prod == g->page->rsp_cons)
			run(g);
		if (g->page->rsp_prod == g->page->rsp_cons)
			return false;
		p[i] = g->page->rsp[MASK_XENSTORE_IDX(g->page->rsp_cons)];
		g->page->rsp_cons++;
	}
	return true;
}

static bool receive(struct guest *g)
{
	if (!receive_bytes(g, &g->head, sizeof(g->head)))
		return false;
	assert_true(g->head.len <= XENSTORE_PAYLOAD_MAX);
	assert_true(receive_bytes(g, g->body, g->head.len));
	g->body[g->head.len] = '\0';
	return true;
}

static void note_event(struct guest *g)
{
	/* Cut off what is too long for a test to care. */
	snprintf(g->events[g->n_events++ % 64], 256, "%.100s %.100s", g->body, g->body + strlen(g->body) + 1);
}

/* Takes the events that wait. */
static uint32_t events(struct guest *g)
{
	while (receive(g)) {
		assert_int_equal(g->head.type, XS_WATCH_EVENT);
		note_event(g);
	}
	return g->n_events;
}

static bool has_event(const struct guest *g, const char *text)
{
	for (uint32_t i = 0; i < g->n_events && i < 64; i++)
		if (!strcmp(g->events[i], text))
			return true;
	return false;
}

/* Asks and waits; the answer is in head and body. Returns 0, or the errno value of an error answer. */
static int ask_raw(struct guest *g, uint32_t type, uint32_t tx, const void *body, uint32_t len)
{
	struct xsd_sockmsg head = {.type = type, .req_id = ++g->next_id, .tx_id = tx, .len = len};

	send_bytes(g, &head, sizeof(head));
	send_bytes(g, body, len);
	run(g);
	for (;;) {
		assert_true(receive(g));
		if (g->head.type != XS_WATCH_EVENT)
			break;
		note_event(g);
	}
	assert_int_equal(g->head.req_id, head.req_id);
	assert_int_equal(g->head.tx_id, tx);
	if (g->head.type != XS_ERROR) {
		assert_int_equal(g->head.type, type);
		return 0;
	}
	assert_int_equal(g->body[g->head.len - 1], '\0');
	for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
		if (!strcmp(xsd_errors[i].errstring, g->body))
			return xsd_errors[i].errnum;
	fail_msg("unknown error %s", g->body);
	return -1;
}

#define ASK(g, type, tx, literal) ask_raw(g, type, tx, literal, sizeof(literal))

static int wr(struct guest *g, uint32_t tx, const char *path, const char *value)
{
	char body[XENSTORE_PAYLOAD_MAX];
	uint32_t n = (uint32_t)strlen(path) + 1, m = (uint32_t)strlen(value);

	assert_true(n + m <= sizeof(body));
	memcpy(body, path, n);
	memcpy(body + n, value, m);
	return ask_raw(g, XS_WRITE, tx, body, n + m);
}

static int path_op(struct guest *g, uint32_t type, uint32_t tx, const char *path)
{
	return ask_raw(g, type, tx, path, (uint32_t)strlen(path) + 1);
}

static int rd(struct guest *g, uint32_t tx, const char *path)
{
	return path_op(g, XS_READ, tx, path);
}

static uint32_t tx_start(struct guest *g)
{
	assert_int_equal(ASK(g, XS_TRANSACTION_START, 0, ""), 0);
	return (uint32_t)atoi(g->body);
}

static int tx_end(struct guest *g, uint32_t tx, const char *how)
{
	return ask_raw(g, XS_TRANSACTION_END, tx, how, 2);
}

/* ---- reading and writing ---- */

static void test_read(void **state)
{
	struct guest *g = *state;

	assert_int_equal(rd(g, 0, "name"), 0);
	assert_int_equal(g->head.len, 5);
	assert_string_equal(g->body, "seven");
	assert_int_equal(rd(g, 0, HOME "/name"), 0);
	assert_int_equal(rd(g, 0, "nosuch"), ENOENT);
	assert_int_equal(rd(g, 0, "/secret"), EACCES);
	assert_int_equal(rd(g, 0, "/secret/below"), EACCES);
	assert_int_equal(rd(g, 0, "/"), EACCES);
}

static void test_bad_paths(void **state)
{
	struct guest *g = *state;
	char longer[XENSTORE_ABS_PATH_MAX + 3];

	assert_int_equal(rd(g, 0, ""), EINVAL);
	assert_int_equal(rd(g, 0, "name/"), EINVAL);
	assert_int_equal(rd(g, 0, "a//b"), EINVAL);
	assert_int_equal(rd(g, 0, "a b"), EINVAL);
	assert_int_equal(rd(g, 0, "@introduceDomain"), EINVAL);
	assert_int_equal(ask_raw(g, XS_READ, 0, "name", 4), EINVAL); /* no NUL */
	assert_int_equal(ASK(g, XS_READ, 0, "name\0more"), EINVAL);
	assert_int_equal(ask_raw(g, XS_READ, 0, "", 0), EINVAL);
	memset(longer, 'a', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(rd(g, 0, longer), EINVAL);
	longer[XENSTORE_REL_PATH_MAX + 1] = '\0';
	assert_int_equal(rd(g, 0, longer + 1), ENOENT);
	longer[XENSTORE_REL_PATH_MAX + 1] = 'a';
	longer[XENSTORE_REL_PATH_MAX + 2] = '\0';
	assert_int_equal(rd(g, 0, longer + 1), EINVAL);
}

static void test_write(void **state)
{
	struct guest *g = *state;
	uint32_t len;
	char *value;

	assert_int_equal(wr(g, 0, "data/a/b", "one"), 0);
	assert_string_equal(g->body, "OK");
	value = xenstore_read(g->xs, HOME "/data/a/b", &len);
	assert_string_equal(value, "one");
	assert_int_equal(len, 3);
	free(value);
	assert_int_equal(wr(g, 0, "data/a/b", ""), 0);
	assert_int_equal(rd(g, 0, "data/a/b"), 0);
	assert_int_equal(g->head.len, 0);
	assert_int_equal(wr(g, 0, "name", "eight"), EACCES);
	assert_int_equal(wr(g, 0, "new", "x"), EACCES);
	assert_int_equal(wr(g, 0, "/secret", "x"), EACCES);
	assert_int_equal(ask_raw(g, XS_WRITE, 0, "data", 4), EINVAL);
}

static void test_binary_value(void **state)
{
	struct guest *g = *state;
	static const char body[] = "data/bin\0\0\1\377";

	assert_int_equal(ask_raw(g, XS_WRITE, 0, body, 12), 0);
	assert_int_equal(rd(g, 0, "data/bin"), 0);
	assert_int_equal(g->head.len, 3);
	assert_memory_equal(g->body, "\0\1\377", 3);
}

static void test_mkdir_rm_directory(void **state)
{
	struct guest *g = *state;

	assert_int_equal(path_op(g, XS_MKDIR, 0, "data/z"), 0);
	assert_int_equal(path_op(g, XS_MKDIR, 0, "data/a/x"), 0);
	assert_int_equal(wr(g, 0, "data/m", "kept"), 0);
	assert_int_equal(path_op(g, XS_MKDIR, 0, "data/m"), 0);
	assert_int_equal(rd(g, 0, "data/m"), 0);
	assert_string_equal(g->body, "kept");
	assert_int_equal(path_op(g, XS_DIRECTORY, 0, "data"), 0);
	assert_int_equal(g->head.len, 6);
	assert_memory_equal(g->body, "a\0m\0z", 6);
	assert_int_equal(path_op(g, XS_RM, 0, "data/a"), 0);
	assert_int_equal(rd(g, 0, "data/a/x"), ENOENT);
	assert_int_equal(path_op(g, XS_RM, 0, "data/a"), 0); /* gone already, parent there */
	assert_int_equal(path_op(g, XS_RM, 0, "data/a/x"), ENOENT);
	assert_int_equal(path_op(g, XS_RM, 0, "name"), EACCES);
	assert_int_equal(path_op(g, XS_RM, 0, "/"), EACCES);
	assert_int_equal(path_op(g, XS_MKDIR, 0, "up"), EACCES);
	assert_int_equal(xenstore_rm(g->xs, "/"), -EINVAL);
}

static void test_directory_part(void **state)
{
	struct guest *g = *state;
	char all[8192], path[300], arg[64];
	uint32_t at = 0;

	/* As domain 0: more names than a message holds. */
	for (int i = 0; i < 60; i++) {
		snprintf(path, sizeof(path), HOME "/data/%0200d", i);
		assert_int_equal(xenstore_write(g->xs, path, "", 0), 0);
	}
	assert_int_equal(path_op(g, XS_DIRECTORY, 0, "data"), E2BIG);
	for (;;) {
		int n = snprintf(arg, sizeof(arg), "data%c%u", 0, at);
		uint32_t skip;

		assert_int_equal(ask_raw(g, XS_DIRECTORY_PART, 0, arg, (uint32_t)n + 1), 0);
		skip = (uint32_t)strlen(g->body) + 1;
		assert_true(at + g->head.len < sizeof(all) * 2);
		at += g->head.len - skip;
		if (g->head.len > skip + 1 && g->body[g->head.len - 1] == '\0' &&
		    g->body[g->head.len - 2] == '\0')
			break;
	}
	assert_int_equal(at, 60 * 201 + 1);
	assert_int_equal(ASK(g, XS_DIRECTORY_PART, 0, "data\0x"), EINVAL);
	assert_int_equal(ASK(g, XS_DIRECTORY_PART, 0, "data"), EINVAL);
}

/* ---- rights ---- */

static void test_perms(void **state)
{
	struct guest *g = *state;

	assert_int_equal(path_op(g, XS_GET_PERMS, 0, "name"), 0);
	assert_int_equal(g->head.len, 6);
	assert_memory_equal(g->body, "n0\0r7", 6);
	assert_int_equal(wr(g, 0, "data/mine", "1"), 0);
	assert_int_equal(path_op(g, XS_GET_PERMS, 0, "data/mine"), 0);
	assert_memory_equal(g->body, "n7", 3);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "data/mine\0r7\0b0\0w3"), 0);
	assert_int_equal(path_op(g, XS_GET_PERMS, 0, "data/mine"), 0);
	assert_int_equal(g->head.len, 9);
	assert_memory_equal(g->body, "r7\0b0\0w3", 9);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "data/mine\0n0"), EPERM);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "data/mine\0x7"), EINVAL);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "data/mine\0n"), EINVAL);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "data/mine\0n99999"), EINVAL);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "data/mine"), EINVAL);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "name\0n7"), EACCES);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "data/mine\0n7\0r1\0r2\0r3\0r4\0r5"), ENOSPC);
}

static void test_written_by_grant(void **state)
{
	static const struct xs_perm w[] = {{0, 'n'}, {DOMID, 'w'}}, b[] = {{0, 'b'}};
	struct guest *g = *state;

	xenstore_write(g->xs, "/w", "", 0);
	xenstore_set_perms(g->xs, "/w", w, 2);
	assert_int_equal(wr(g, 0, "/w", "x"), 0);
	assert_int_equal(rd(g, 0, "/w"), EACCES);
	assert_int_equal(ASK(g, XS_SET_PERMS, 0, "/w\0n7"), EACCES);
	xenstore_write(g->xs, "/b", "", 0);
	xenstore_set_perms(g->xs, "/b", b, 1);
	assert_int_equal(wr(g, 0, "/b/c", "x"), 0);
	assert_int_equal(path_op(g, XS_GET_PERMS, 0, "/b/c"), 0);
	assert_memory_equal(g->body, "b7", 3); /* inherited, owned by who made it */
}

/* ---- quotas ---- */

static void test_quota_nodes(void **state)
{
	struct guest *g = *state;
	char path[40];
	int i, err = 0;

	for (i = 0; i < 2000 && !err; i++) {
		snprintf(path, sizeof(path), "data/%d/%d", i / 32, i % 32);
		err = path_op(g, XS_MKDIR, 0, path);
	}
	assert_int_equal(err, ENOSPC);
	assert_int_equal(g->xs->tree.owned, XS_QUOTA_NODES);
	assert_int_equal(path_op(g, XS_RM, 0, "data/0"), 0);
	assert_int_equal(g->xs->tree.owned, XS_QUOTA_NODES - 33);
	assert_int_equal(path_op(g, XS_MKDIR, 0, "data/again"), 0);
	/* Domain 0 is not bound by it. */
	for (i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/zero/%d", i);
		assert_int_equal(xenstore_write(g->xs, path, "", 0), 0);
	}
}

static void test_quota_node_size(void **state)
{
	struct guest *g = *state;
	char value[XS_QUOTA_NODE_SIZE + 1], path[300];
	int err = 0;

	memset(value, 'v', sizeof(value));
	value[XS_QUOTA_NODE_SIZE] = '\0';
	assert_int_equal(wr(g, 0, "data/big", value), ENOSPC);
	assert_int_equal(rd(g, 0, "data/big"), ENOENT);
	value[XS_QUOTA_NODE_SIZE - 100] = '\0';
	assert_int_equal(wr(g, 0, "data/big", value), 0);
	for (int i = 0; i < 40 && !err; i++) {
		snprintf(path, sizeof(path), "data/%0199d", i);
		err = path_op(g, XS_MKDIR, 0, path);
	}
	assert_int_equal(err, ENOSPC);
}

static void test_quota_transactions(void **state)
{
	struct guest *g = *state;
	uint32_t last = 0;

	for (uint32_t i = 0; i < XS_QUOTA_TRANSACTIONS; i++)
		last = tx_start(g);
	assert_int_equal(ASK(g, XS_TRANSACTION_START, 0, ""), ENOSPC);
	assert_int_equal(tx_end(g, last, "F"), 0);
	tx_start(g);
}

static void test_quota_watches(void **state)
{
	struct guest *g = *state;
	char body[64];

	for (uint32_t i = 0; i < XS_QUOTA_WATCHES; i++) {
		int n = snprintf(body, sizeof(body), "data%c%u", 0, i);

		assert_int_equal(ask_raw(g, XS_WATCH, 0, body, (uint32_t)n + 1), 0);
	}
	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0more"), E2BIG);
	assert_int_equal(ASK(g, XS_UNWATCH, 0,
	                     "data\0"
	                     "5"),
	                 0);
	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0more"), 0);
}

/* ---- watches ---- */

static void test_watch(void **state)
{
	struct guest *g = *state;

	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0rel"), 0);
	assert_int_equal(g->n_events, 0); /* the answer comes first */
	assert_int_equal(ASK(g, XS_WATCH, 0, HOME "/data/a\0abs"), 0);
	events(g);
	assert_true(has_event(g, "data rel"));
	assert_true(has_event(g, HOME "/data/a abs"));
	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0rel"), EEXIST);
	g->n_events = 0;
	xenstore_write(g->xs, HOME "/data/a/b", "x", 1);
	host_fake_run(g->f);
	assert_int_equal(events(g), 2);
	assert_true(has_event(g, "data/a/b rel"));
	assert_true(has_event(g, HOME "/data/a/b abs"));
}

static void test_watch_events(void **state)
{
	struct guest *g = *state;

	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0rel"), 0);
	assert_int_equal(ASK(g, XS_WATCH, 0, "data/a/b\0deep"), 0);
	assert_int_equal(ASK(g, XS_WATCH, 0, "data/nosuch\0none"), 0);
	events(g);
	g->n_events = 0;
	assert_int_equal(wr(g, 0, "data/a/b", "x"), 0);
	assert_int_equal(events(g), 2);
	assert_true(has_event(g, "data/a/b rel"));
	assert_true(has_event(g, "data/a/b deep"));
	g->n_events = 0;
	assert_int_equal(wr(g, 0, "data/a/bc", "x"), 0);
	assert_int_equal(events(g), 1); /* a name that begins alike is not below */
	g->n_events = 0;
	assert_int_equal(path_op(g, XS_RM, 0, "data/a"), 0);
	assert_int_equal(events(g), 2);
	assert_true(has_event(g, "data/a rel"));
	assert_true(has_event(g, "data/a/b deep"));
	g->n_events = 0;
	assert_int_equal(ASK(g, XS_UNWATCH, 0, "data\0rel"), 0);
	assert_int_equal(ASK(g, XS_UNWATCH, 0, "data\0rel"), ENOENT);
	assert_int_equal(wr(g, 0, "data/q", "x"), 0);
	assert_int_equal(events(g), 0);
}

static void test_watch_secret(void **state)
{
	struct guest *g = *state;

	assert_int_equal(ASK(g, XS_WATCH, 0, "/\0all"), 0);
	events(g);
	g->n_events = 0;
	xenstore_write(g->xs, "/secret/more", "x", 1);
	host_fake_run(g->f);
	assert_int_equal(events(g), 0);
	xenstore_rm(g->xs, "/secret");
	host_fake_run(g->f);
	assert_int_equal(events(g), 0);
	xenstore_write(g->xs, HOME "/name", "y", 1);
	host_fake_run(g->f);
	assert_int_equal(events(g), 1);
	assert_true(has_event(g, HOME "/name all"));
}

static void test_watch_arguments(void **state)
{
	struct guest *g = *state;
	char body[XS_TOKEN_MAX + 16];

	assert_int_equal(ASK(g, XS_WATCH, 0, "data"), EINVAL);
	assert_int_equal(ASK(g, XS_WATCH, 0,
	                     "data\0t\0"
	                     "3"),
	                 EINVAL);
	assert_int_equal(ASK(g, XS_WATCH, 0, "da ta\0t"), EINVAL);
	assert_int_equal(ASK(g, XS_WATCH, 0, "@releaseDomain\0t"), 0);
	memset(body, 't', sizeof(body));
	memcpy(body, "data", 5);
	body[5 + XS_TOKEN_MAX + 1] = '\0';
	assert_int_equal(ask_raw(g, XS_WATCH, 0, body, 5 + XS_TOKEN_MAX + 2), E2BIG);
	body[5 + XS_TOKEN_MAX] = '\0';
	assert_int_equal(ask_raw(g, XS_WATCH, 0, body, 5 + XS_TOKEN_MAX + 1), 0);
}

/* A flood is folded, not lost and not kept. */
static void test_watch_flood(void **state)
{
	struct guest *g = *state;
	char path[64];

	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0t"), 0);
	events(g);
	g->n_events = 0;
	for (int i = 0; i < 3000; i++) {
		snprintf(path, sizeof(path), HOME "/data/%d", i);
		xenstore_write(g->xs, path, "", 0);
	}
	assert_true(g->xs->watches.guest.count <= XS_QUOTA_EVENTS);
	assert_int_equal(events(g), XS_QUOTA_EVENTS + 1);
	assert_string_equal(g->events[(g->n_events - 1) % 64], "data t");
}

static void test_reset_watches(void **state)
{
	struct guest *g = *state;

	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0t"), 0);
	events(g);
	tx_start(g);
	assert_int_equal(ASK(g, XS_RESET_WATCHES, 0, ""), 0);
	assert_int_equal(g->xs->watches.guest_count, 0);
	assert_int_equal(g->xs->transactions.count, 0);
}

/* ---- transactions ---- */

static void test_tx_isolation(void **state)
{
	struct guest *g = *state;
	uint32_t tx = tx_start(g);

	assert_int_equal(wr(g, tx, "data/t", "in"), 0);
	assert_int_equal(rd(g, tx, "data/t"), 0);
	assert_int_equal(rd(g, 0, "data/t"), ENOENT);
	assert_int_equal(tx_end(g, tx, "T"), 0);
	assert_int_equal(rd(g, 0, "data/t"), 0);
	assert_string_equal(g->body, "in");
	assert_int_equal(rd(g, tx, "data/t"), ENOENT);
	assert_int_equal(tx_end(g, tx, "T"), ENOENT);
	tx = tx_start(g);
	assert_int_equal(path_op(g, XS_RM, tx, "data/t"), 0);
	assert_int_equal(tx_end(g, tx, "F"), 0);
	assert_int_equal(rd(g, 0, "data/t"), 0);
	assert_int_equal(tx_end(g, 0, "T"), ENOENT);
	tx = tx_start(g);
	assert_int_equal(tx_end(g, tx, "X"), EINVAL);
	assert_int_equal(ASK(g, XS_TRANSACTION_START, tx, ""), EBUSY);
}

static void test_tx_conflicts(void **state)
{
	struct guest *g = *state;
	uint32_t tx;

	assert_int_equal(wr(g, 0, "data/a", "0"), 0);
	assert_int_equal(wr(g, 0, "data/b", "0"), 0);

	/* Read in the transaction, changed outside. */
	tx = tx_start(g);
	assert_int_equal(rd(g, tx, "data/a"), 0);
	assert_int_equal(wr(g, tx, "data/b", "1"), 0);
	assert_int_equal(wr(g, 0, "data/a", "2"), 0);
	assert_int_equal(rd(g, tx, "data/a"), 0);
	assert_string_equal(g->body, "0");
	assert_int_equal(tx_end(g, tx, "T"), EAGAIN);
	assert_int_equal(rd(g, 0, "data/b"), 0);
	assert_string_equal(g->body, "0");

	/* Changed outside, but nothing the transaction looked at: both stay. */
	tx = tx_start(g);
	assert_int_equal(wr(g, tx, "data/b", "1"), 0);
	xenstore_write(g->xs, HOME "/data/a", "3", 1);
	assert_int_equal(tx_end(g, tx, "T"), 0);
	assert_int_equal(rd(g, 0, "data/a"), 0);
	assert_string_equal(g->body, "3");
	assert_int_equal(rd(g, 0, "data/b"), 0);
	assert_string_equal(g->body, "1");

	/* Absent at first, made outside. */
	tx = tx_start(g);
	assert_int_equal(rd(g, tx, "data/new"), ENOENT);
	assert_int_equal(wr(g, tx, "data/b", "x"), 0);
	xenstore_write(g->xs, HOME "/data/new", "", 0);
	assert_int_equal(tx_end(g, tx, "T"), EAGAIN);

	/* A list of children read, a child made. */
	tx = tx_start(g);
	assert_int_equal(path_op(g, XS_DIRECTORY, tx, "data"), 0);
	xenstore_write(g->xs, HOME "/data/other", "", 0);
	assert_int_equal(tx_end(g, tx, "T"), EAGAIN);

	/* Removed outside. */
	tx = tx_start(g);
	assert_int_equal(wr(g, tx, "data/a", "y"), 0);
	xenstore_rm(g->xs, HOME "/data/a");
	assert_int_equal(tx_end(g, tx, "T"), EAGAIN);
	assert_int_equal(g->xs->transactions.count, 0);
}

static void test_tx_two(void **state)
{
	struct guest *g = *state;
	uint32_t one, two;

	one = tx_start(g);
	two = tx_start(g);
	assert_int_not_equal(one, two);
	assert_int_equal(wr(g, one, "data/x", "1"), 0);
	assert_int_equal(wr(g, two, "data/x", "2"), 0);
	assert_int_equal(tx_end(g, two, "T"), 0);
	assert_int_equal(tx_end(g, one, "T"), EAGAIN);
	assert_int_equal(rd(g, 0, "data/x"), 0);
	assert_string_equal(g->body, "2");
}

static void test_tx_events(void **state)
{
	struct guest *g = *state;
	uint32_t tx;

	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0t"), 0);
	events(g);
	g->n_events = 0;
	tx = tx_start(g);
	assert_int_equal(wr(g, tx, "data/x", "1"), 0);
	assert_int_equal(path_op(g, XS_MKDIR, tx, "data/y"), 0);
	assert_int_equal(events(g), 0);
	assert_int_equal(tx_end(g, tx, "T"), 0);
	assert_int_equal(events(g), 2);
	assert_true(has_event(g, "data/x t"));
	assert_true(has_event(g, "data/y t"));
}

static void test_tx_bounds(void **state)
{
	struct guest *g = *state;
	uint32_t tx = tx_start(g);
	char path[40];
	int err = 0;

	for (uint32_t i = 0; i <= XS_QUOTA_TX_CHANGES && !err; i++)
		err = wr(g, tx, "data/same", "v");
	assert_int_equal(err, ENOSPC);
	assert_int_equal(tx_end(g, tx, "F"), 0);
	tx = tx_start(g);
	for (uint32_t i = 0, e = 0; i <= XS_QUOTA_TX_PATHS && e != ENOSPC; i++) {
		snprintf(path, sizeof(path), "data/%u", i);
		err = (int)(e = (uint32_t)rd(g, tx, path));
	}
	assert_int_equal(err, ENOSPC);
	assert_int_equal(rd(g, 99999, "name"), ENOENT);
}

/* ---- other requests ---- */

static void test_domain_requests(void **state)
{
	struct guest *g = *state;

	assert_int_equal(ASK(g, XS_GET_DOMAIN_PATH, 0, "7"), 0);
	assert_string_equal(g->body, HOME);
	assert_int_equal(ASK(g, XS_GET_DOMAIN_PATH, 0, "x"), EINVAL);
	assert_int_equal(ASK(g, XS_IS_DOMAIN_INTRODUCED, 0, "7"), 0);
	assert_string_equal(g->body, "T");
	assert_int_equal(ASK(g, XS_IS_DOMAIN_INTRODUCED, 0, "8"), 0);
	assert_string_equal(g->body, "F");
	assert_int_equal(ASK(g, XS_INTRODUCE, 0,
	                     "8\0"
	                     "1\0"
	                     "1"),
	                 EACCES);
	assert_int_equal(ASK(g, XS_RELEASE, 0, "8"), EACCES);
	assert_int_equal(ASK(g, XS_RESUME, 0, "8"), EACCES);
	assert_int_equal(ASK(g, XS_SET_TARGET, 0,
	                     "8\0"
	                     "7"),
	                 EACCES);
	assert_int_equal(ASK(g, XS_CONTROL, 0, "check"), EACCES);
	assert_int_equal(ASK(g, XS_WATCH_EVENT, 0, "x"), ENOSYS);
	assert_int_equal(ASK(g, XS_ERROR, 0, "x"), ENOSYS);
	assert_int_equal(ASK(g, XS_SET_TARGET + 1, 0, "x"), ENOSYS);
	assert_int_equal(ASK(g, XS_TYPE_COUNT, 0, "x"), ENOSYS);
	assert_int_equal(ASK(g, XS_INVALID, 0, "x"), ENOSYS);
	assert_int_equal(ASK(g, UINT32_MAX, 0, "x"), ENOSYS);
	assert_true(host_fake_counter(g->f, "xenstore-refused") >= 11);
}

/* ---- the ring ---- */

static void test_features(void **state)
{
	struct guest *g = *state;

	assert_int_equal(g->page->server_features,
	                 XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR);
}

/* A request that comes a byte at a time, and answers that must wait for room. */
static void test_partial(void **state)
{
	struct guest *g = *state;
	struct xsd_sockmsg head = {.type = XS_READ, .req_id = 9, .len = 5};
	char bytes[sizeof(head) + 5];

	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), "name", 5);
	for (uint32_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(g->page->rsp_prod, 0);
		send_bytes(g, &bytes[i], 1);
		run(g);
	}
	assert_true(receive(g));
	assert_string_equal(g->body, "seven");
	assert_int_equal(g->head.req_id, 9);
}

static void test_back_pressure(void **state)
{
	struct guest *g = *state;
	struct xsd_sockmsg head = {.type = XS_READ, .len = 5};
	char value[600];

	memset(value, 'v', sizeof(value));
	xenstore_write(g->xs, HOME "/name", value, sizeof(value));
	for (int i = 0; i < 5; i++) {
		head.req_id = (uint32_t)i;
		send_bytes(g, &head, sizeof(head));
		send_bytes(g, "name", 5);
	}
	run(g);
	assert_int_equal(g->page->rsp_prod - g->page->rsp_cons, XENSTORE_RING_SIZE);
	assert_true(g->page->req_prod != g->page->req_cons); /* it does not read on */
	for (int i = 0; i < 5; i++) {
		assert_true(receive(g));
		assert_int_equal(g->head.req_id, i);
		assert_int_equal(g->head.len, sizeof(value));
		assert_memory_equal(g->body, value, sizeof(value));
	}
}

static void test_large_answer(void **state)
{
	struct guest *g = *state;
	char value[XENSTORE_PAYLOAD_MAX];

	memset(value, 'v', sizeof(value));
	assert_int_equal(xenstore_write(g->xs, HOME "/name", value, sizeof(value)), 0);
	assert_int_equal(rd(g, 0, "name"), 0);
	assert_int_equal(g->head.len, sizeof(value));
	assert_memory_equal(g->body, value, sizeof(value));
	assert_int_equal(xenstore_write(g->xs, HOME "/name", value, sizeof(value) + 1), -E2BIG);
}

static void assert_reconnects(struct guest *g)
{
	g->page->connection = XENSTORE_RECONNECT;
	g->page->rsp_cons = 0;
	run(g);
	assert_int_equal(g->page->connection, XENSTORE_CONNECTED);
	assert_int_equal(g->page->error, XENSTORE_ERROR_NONE);
	g->page->req_prod = 0;
	g->page->rsp_cons = 0;
	assert_int_equal(g->page->req_cons, 0);
	assert_int_equal(g->page->rsp_prod, 0);
	assert_int_equal(rd(g, 0, "name"), 0);
}

static void test_bad_request_index(void **state)
{
	struct guest *g = *state;

	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0t"), 0);
	g->page->req_prod = g->page->req_cons + XENSTORE_RING_SIZE + 1;
	events(g);
	run(g);
	assert_int_equal(g->page->error, XENSTORE_ERROR_RINGIDX);
	assert_int_equal(g->xs->watches.guest_count, 0);
	assert_int_equal(host_fake_counter(g->f, "xenstore-broken-rings"), 1);
	g->page->req_prod = g->page->req_cons;
	run(g); /* no change of heart */
	assert_int_equal(host_fake_counter(g->f, "xenstore-broken-rings"), 1);
	assert_reconnects(g);
}

static void test_bad_response_index(void **state)
{
	struct guest *g = *state;
	struct xsd_sockmsg head = {.type = XS_READ, .len = 5};

	g->page->rsp_cons = 1; /* more than was ever produced */
	send_bytes(g, &head, sizeof(head));
	send_bytes(g, "name", 5);
	run(g);
	assert_int_equal(g->page->error, XENSTORE_ERROR_RINGIDX);
	assert_reconnects(g);
}

static void test_long_payload(void **state)
{
	struct guest *g = *state;
	struct xsd_sockmsg head = {.type = XS_WRITE, .len = XENSTORE_PAYLOAD_MAX + 1};

	send_bytes(g, &head, sizeof(head));
	run(g);
	assert_int_equal(g->page->error, XENSTORE_ERROR_PROTO);
	assert_reconnects(g);
}

/* What the guest writes over our indices does not count. */
static void test_our_indices(void **state)
{
	struct guest *g = *state;

	assert_int_equal(rd(g, 0, "name"), 0);
	g->page->server_features = 0;
	memset(g->page->rsp, 0xff, sizeof(g->page->rsp));
	assert_int_equal(rd(g, 0, "name"), 0);
	assert_string_equal(g->body, "seven");
}

/* ---- back ends ---- */

struct seen {
	struct guest *g;
	struct gamut_xs_watch *watch;
	uint32_t n;
	char last[256];
	bool once;
};

static void on_change(void *opaque, const char *path)
{
	struct seen *s = opaque;

	s->n++;
	snprintf(s->last, sizeof(s->last), "%s", path);
	if (s->once)
		xenstore_unwatch(s->g->xs, s->watch);
}

static void test_back_watch(void **state)
{
	struct guest *g = *state;
	struct seen s = {.g = g}, once = {.g = g, .once = true};

	s.watch = xenstore_watch(g->xs, HOME "/data", on_change, &s);
	once.watch = xenstore_watch(g->xs, HOME "/data", on_change, &once);
	assert_int_equal(s.n, 0); /* never from inside a call */
	host_fake_run(g->f);
	assert_int_equal(s.n, 1);
	assert_int_equal(once.n, 1);
	assert_int_equal(wr(g, 0, "data/x", "1"), 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(once.n, 1);
	assert_string_equal(s.last, HOME "/data/x");
	xenstore_unwatch(g->xs, s.watch);
	assert_int_equal(wr(g, 0, "data/x", "2"), 0);
	assert_int_equal(s.n, 2);
	assert_null(xenstore_watch(g->xs, "no/path", on_change, &s));
	assert_int_equal(errno, EINVAL);
}

static void test_back_calls(void **state)
{
	struct guest *g = *state;

	assert_null(xenstore_read(g->xs, "/nosuch", NULL));
	assert_int_equal(errno, ENOENT);
	assert_null(xenstore_read(g->xs, "bad", NULL));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(xenstore_rm(g->xs, "/nosuch"), -ENOENT);
	assert_int_equal(xenstore_write(g->xs, "/a//b", "", 0), -EINVAL);
}

static void test_reset(void **state)
{
	struct guest *g = *state;
	struct seen s = {.g = g};

	s.watch = xenstore_watch(g->xs, HOME "/data", on_change, &s);
	assert_int_equal(ASK(g, XS_WATCH, 0, "data\0t"), 0);
	tx_start(g);
	memset(g->page, 0, 4096);
	assert_int_equal(xenstore_reset(g->xs), 0);
	assert_null(xenstore_read(g->xs, HOME, NULL));
	assert_int_equal(g->xs->watches.guest_count, 0);
	assert_int_equal(g->xs->transactions.count, 0);
	s.n = 0;
	host_fake_run(g->f);
	assert_int_equal(s.n, 1);
	assert_int_equal(ASK(g, XS_IS_DOMAIN_INTRODUCED, 0, "0"), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_read),
	        T(test_bad_paths),
	        T(test_write),
	        T(test_binary_value),
	        T(test_mkdir_rm_directory),
	        T(test_directory_part),
	        T(test_perms),
	        T(test_written_by_grant),
	        T(test_quota_nodes),
	        T(test_quota_node_size),
	        T(test_quota_transactions),
	        T(test_quota_watches),
	        T(test_watch),
	        T(test_watch_events),
	        T(test_watch_secret),
	        T(test_watch_arguments),
	        T(test_watch_flood),
	        T(test_reset_watches),
	        T(test_tx_isolation),
	        T(test_tx_conflicts),
	        T(test_tx_two),
	        T(test_tx_events),
	        T(test_tx_bounds),
	        T(test_domain_requests),
	        T(test_features),
	        T(test_partial),
	        T(test_back_pressure),
	        T(test_large_answer),
	        T(test_bad_request_index),
	        T(test_bad_response_index),
	        T(test_long_payload),
	        T(test_our_indices),
	        T(test_back_watch),
	        T(test_back_calls),
	        T(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
