/* SPDX-License-Identifier: MIT */
/*
 * The guest's connection as a state machine over the ring:
 *
 *     message waiting?  -> write it, as far as the ring has room
 *     event waiting?    -> make it the message
 *     request complete? -> answer it; the answer is the message
 *     otherwise         -> read more of a request, or rest
 *
 * A guest that breaks the transport is ignored, with the reason in the page,
 * as xenstored does; it may reconnect.
 */
/* Before the wire header, which makes its table of error names only for errno values it can see. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/xs-store.h"

/* Messages moved in one go, so that a guest cannot keep the I/O thread to itself. */
#define WORK_LIMIT 64

enum progress { REST, AGAIN, BROKEN_RING, BROKEN_PROTOCOL };

static void bump(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void message_set(struct xs_conn *conn, const struct xsd_sockmsg *head)
{
	memcpy(conn->out, head, sizeof(*head));
	conn->out_len = (uint32_t)sizeof(*head) + head->len;
	conn->out_sent = 0;
}

static enum progress message_write(struct xs_conn *conn)
{
	int n = xs_ring_write(&conn->ring, conn->out + conn->out_sent, conn->out_len - conn->out_sent);

	if (n < 0)
		return BROKEN_RING;
	conn->out_sent += (uint32_t)n;
	if (conn->out_sent < conn->out_len)
		return REST;
	conn->out_len = conn->out_sent = 0;
	return AGAIN;
}

static bool event_take(struct xenstore *xs)
{
	struct xs_conn *conn = &xs->conn;
	struct xs_event *event = xs_events_pop(&xs->watches, &xs->watches.guest);
	struct xsd_sockmsg head = {.type = XS_WATCH_EVENT};
	char *body = conn->out + sizeof(head);
	const char *path;
	size_t path_len, token_len;

	if (!event)
		return false;
	path = event->path + event->watch->skip;
	path_len = strlen(path) + 1;
	token_len = strlen(event->watch->token) + 1;
	memcpy(body, path, path_len);
	memcpy(body + path_len, event->watch->token, token_len);
	head.len = (uint32_t)(path_len + token_len);
	message_set(conn, &head);
	free(event);
	return true;
}

static const char *error_name(int err)
{
	for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
		if (xsd_errors[i].errnum == err)
			return xsd_errors[i].errstring;
	return "EINVAL";
}

static void request_answer(struct xenstore *xs)
{
	struct xs_conn *conn = &xs->conn;
	struct xsd_sockmsg head = conn->head;
	struct xs_req req = {
	        .xs = xs,
	        .type = head.type,
	        .tx_id = head.tx_id,
	        .body = conn->body,
	        .len = head.len,
	        .reply = conn->out + sizeof(head),
	};
	int err;

	conn->body[head.len] = '\0';
	bump(xs->n_requests);
	err = xs_ops_handle(&req);
	head.len = req.reply_len;
	if (err) {
		const char *name = error_name(-err);

		head.type = XS_ERROR;
		head.len = (uint32_t)strlen(name) + 1;
		memcpy(req.reply, name, head.len);
		if (err == -ENOSYS || err == -EACCES)
			bump(xs->n_refused);
	}
	conn->head_have = conn->body_have = 0;
	message_set(conn, &head);
}

/* Reads on; *len bytes of `size` are there afterwards. */
static enum progress read_part(struct xs_conn *conn, void *buf, uint32_t *have, uint32_t size)
{
	int n = xs_ring_read(&conn->ring, (char *)buf + *have, size - *have);

	if (n < 0)
		return BROKEN_RING;
	*have += (uint32_t)n;
	return *have == size ? AGAIN : REST;
}

static enum progress request_read(struct xenstore *xs)
{
	struct xs_conn *conn = &xs->conn;
	enum progress p = read_part(conn, &conn->head, &conn->head_have, sizeof(conn->head));

	if (p != AGAIN)
		return p;
	if (conn->head.len > XENSTORE_PAYLOAD_MAX)
		return BROKEN_PROTOCOL;
	p = read_part(conn, conn->body, &conn->body_have, conn->head.len);
	if (p == AGAIN)
		request_answer(xs);
	return p;
}

static enum progress step(struct xenstore *xs)
{
	if (xs->conn.out_len)
		return message_write(&xs->conn);
	if (event_take(xs))
		return AGAIN;
	return request_read(xs);
}

static void conn_ignore(struct xenstore *xs, uint32_t error)
{
	xs->conn.ignored = true;
	xs->conn.out_len = xs->conn.out_sent = 0;
	xs_store_forget_guest(xs);
	xs_ring_set_error(&xs->conn.ring, error);
	bump(xs->n_broken);
}

void xs_conn_restart(struct xenstore *xs)
{
	struct xs_conn *conn = &xs->conn;

	conn->ignored = false;
	conn->head_have = conn->body_have = 0;
	conn->out_len = conn->out_sent = 0;
	xs_store_forget_guest(xs);
	if (conn->ring.page)
		xs_ring_init(&conn->ring, conn->ring.page);
}

bool xs_conn_work(struct xenstore *xs)
{
	struct xs_conn *conn = &xs->conn;
	enum progress p = AGAIN;

	if (!conn->ring.page)
		return false;
	if (xs_ring_reconnect(&conn->ring))
		xs_conn_restart(xs);
	for (int i = 0; i < WORK_LIMIT && p == AGAIN && !conn->ignored; i++) {
		p = step(xs);
		if (p >= BROKEN_RING)
			conn_ignore(xs, p == BROKEN_RING ? XENSTORE_ERROR_RINGIDX : XENSTORE_ERROR_PROTO);
	}
	if (conn->ring.notify) {
		conn->ring.notify = false;
		conn->evtchn->notify(conn->evtchn_self, conn->port);
	}
	return p == AGAIN && !conn->ignored;
}
