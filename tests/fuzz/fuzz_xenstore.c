/* SPDX-License-Identifier: MIT */
/*
 * A guest at the store's ring page. The input is a list of actions: bytes into
 * the ring, whole messages, raw indices, reconnects, and changes made by
 * domain 0 in between.
 */
#include "dm/xen/xs-store.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"
#include "fuzz-input.h"

struct world {
	struct host_fake *f;
	struct xen_fake *x;
	struct xenstore *xs;
	struct xenstore_domain_interface *page;
	uint32_t port;
};

static void run(struct world *w)
{
	xen_fake_send(w->x, w->port);
	host_fake_run(w->f);
}

static void put_bytes(struct world *w, const void *data, size_t len)
{
	const char *p = data;

	for (size_t i = 0; i < len; i++) {
		if (w->page->req_prod - w->page->req_cons >= XENSTORE_RING_SIZE) {
			w->page->rsp_cons = w->page->rsp_prod;
			run(w);
		}
		w->page->req[MASK_XENSTORE_IDX(w->page->req_prod++)] = p[i];
	}
}

static void act_bytes(struct world *w, struct fuzz_input *in)
{
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in), &n);

	put_bytes(w, p, n);
	run(w);
}

static void act_message(struct world *w, struct fuzz_input *in)
{
	struct xsd_sockmsg head = {.type = fuzz_u8(in), .tx_id = fuzz_u8(in) % 4};
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in), &n);

	head.len = (uint32_t)n;
	put_bytes(w, &head, sizeof(head));
	put_bytes(w, p, n);
	run(w);
}

static void act_indices(struct world *w, struct fuzz_input *in)
{
	w->page->req_prod = fuzz_u32(in);
	w->page->rsp_cons = fuzz_u32(in);
	run(w);
}

static void act_consume(struct world *w, struct fuzz_input *in)
{
	w->page->rsp_cons += fuzz_u8(in) * 4u;
	run(w);
}

static void act_reconnect(struct world *w, struct fuzz_input *in)
{
	(void)in;
	w->page->connection = XENSTORE_RECONNECT;
	run(w);
}

static void act_dom0(struct world *w, struct fuzz_input *in)
{
	static const char *const paths[] = {"/local/domain/1/data/a", "/local/domain/1/data",
	                                    "/local/domain/1/x/y"};
	const char *path = paths[fuzz_u8(in) % 3];

	if (fuzz_u8(in) & 1)
		xenstore_rm(w->xs, path);
	else
		xenstore_write(w->xs, path, "v", 1);
	host_fake_run(w->f);
}

static void (*const actions[])(struct world *w, struct fuzz_input *in) = {
        act_bytes, act_message, act_indices, act_consume, act_reconnect, act_dom0,
};

static uint32_t owned(const struct xs_node *node, uint32_t domid)
{
	uint32_t n = node->perms[0].domid == domid;

	for (uint32_t i = 0; i < node->n_children; i++)
		n += owned(node->children[i], domid);
	return n;
}

static void check(struct world *w)
{
	FUZZ_CHECK(owned(w->xs->tree.root, 1) == w->xs->tree.owned);
	FUZZ_CHECK(w->xs->tree.owned <= XS_QUOTA_NODES + 2);
	FUZZ_CHECK(w->xs->watches.guest_count <= XS_QUOTA_WATCHES);
	FUZZ_CHECK(w->xs->watches.guest.count <= XS_QUOTA_EVENTS);
	FUZZ_CHECK(w->xs->transactions.count <= XS_QUOTA_TRANSACTIONS);
	FUZZ_CHECK(w->page->connection == XENSTORE_CONNECTED);
	FUZZ_CHECK((w->page->error != XENSTORE_ERROR_NONE) == w->xs->conn.ignored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct xs_perm rw[] = {{1, 'n'}}, ro[] = {{0, 'n'}, {1, 'r'}};
	struct fuzz_input in = {data, size};
	struct world w = {.f = host_fake_create(4096, 1), .x = malloc(sizeof(*w.x)), .page = calloc(1, 4096)};

	xen_fake_init(w.x, w.f);
	w.xs = xenstore_create(w.f->host, w.f->inst, 1);
	w.port = (uint32_t)xenstore_attach(w.xs, w.page, &xen_fake_evtchn, w.x);
	xenstore_write(w.xs, "/local/domain/1", "", 0);
	xenstore_set_perms(w.xs, "/local/domain/1", ro, 2);
	xenstore_write(w.xs, "/local/domain/1/data", "", 0);
	xenstore_set_perms(w.xs, "/local/domain/1/data", rw, 1);
	while (in.left) {
		actions[fuzz_u8(&in) % (sizeof(actions) / sizeof(actions[0]))](&w, &in);
		check(&w);
	}
	xenstore_destroy(w.xs);
	FUZZ_CHECK(!host_fake_destroy(w.f));
	free(w.x);
	free(w.page);
	return 0;
}
