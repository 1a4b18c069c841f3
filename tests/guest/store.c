/* SPDX-License-Identifier: MIT */
/* A xenstore client on the ring that the HVM params name, or a PV guest's start info. */
#include "probe.h"

#include <asm/errno.h> /* the names that xs_wire.h makes its table from */
#include <xen/io/xs_wire.h>

#define REPLY_NS (2000 * NS_PER_MS)

static uint32_t next_request = 1;
static char watch_path[128];

void store_init(void)
{
	uint64_t pfn, port;

	if (probe.pv) {
		event_mask(probe.store_port, true);
		return;
	}
	if (!hvm_param_get(HVM_PARAM_STORE_PFN, &pfn) || !hvm_param_get(HVM_PARAM_STORE_EVTCHN, &port) || !pfn)
		return;
	probe.store_port = (uint32_t)port;
	probe.store = (struct xenstore_domain_interface *)(pfn * PAGE_BYTES);
	event_mask(probe.store_port, true);
}

static bool ring_write(const void *data, uint32_t len)
{
	struct xenstore_domain_interface *s = probe.store;
	const char *p = data;
	uint64_t deadline = clock_ns() + REPLY_NS;

	for (uint32_t i = 0; i < len; i++) {
		while (s->req_prod - __atomic_load_n(&s->req_cons, __ATOMIC_ACQUIRE) >= XENSTORE_RING_SIZE) {
			event_send(probe.store_port);
			if (clock_ns() >= deadline)
				return false;
			event_wait(probe.store_port, clock_ns() + NS_PER_MS);
		}
		s->req[MASK_XENSTORE_IDX(s->req_prod)] = p[i];
		__atomic_store_n(&s->req_prod, s->req_prod + 1, __ATOMIC_RELEASE);
	}
	event_send(probe.store_port);
	return true;
}

static bool ring_read(void *data, uint32_t len)
{
	struct xenstore_domain_interface *s = probe.store;
	char *p = data;
	uint64_t deadline = clock_ns() + REPLY_NS;

	for (uint32_t i = 0; i < len; i++) {
		while (__atomic_load_n(&s->rsp_prod, __ATOMIC_ACQUIRE) == s->rsp_cons)
			if (!event_wait(probe.store_port, deadline))
				return false;
		p[i] = s->rsp[MASK_XENSTORE_IDX(s->rsp_cons)];
		__atomic_store_n(&s->rsp_cons, s->rsp_cons + 1, __ATOMIC_RELEASE);
	}
	event_send(probe.store_port);
	return true;
}

/* Names of errors as the wire has them; the number is this table's. */
static int error_number(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(xsd_errors); i++)
		if (strcmp(name, xsd_errors[i].errstring) == 0)
			return -xsd_errors[i].errnum;
	return -1000;
}

/* One message into buf (cut to size, NUL-terminated). */
static bool receive(struct xsd_sockmsg *head, char *buf, uint32_t size)
{
	char rest;
	uint32_t kept;

	if (!ring_read(head, sizeof(*head)) || head->len > XENSTORE_PAYLOAD_MAX)
		return false;
	kept = head->len < size - 1 ? head->len : size - 1;
	if (!ring_read(buf, kept))
		return false;
	buf[kept] = 0;
	for (uint32_t i = kept; i < head->len; i++)
		if (!ring_read(&rest, 1))
			return false;
	return true;
}

int store_request(uint32_t type, const void *payload, uint32_t len, char *buf, uint32_t size)
{
	struct xsd_sockmsg head = { .type = type, .req_id = next_request++, .len = len }, reply;

	if (!probe.store || !ring_write(&head, sizeof(head)) || !ring_write(payload, len))
		return -1000;
	for (;;) {
		if (!receive(&reply, buf, size))
			return -1000;
		if (reply.type == XS_WATCH_EVENT) {
			format_to(watch_path, sizeof(watch_path), "%s", buf);
			continue;
		}
		if (reply.req_id != head.req_id)
			continue;
		return reply.type == XS_ERROR ? error_number(buf) : (int)reply.len;
	}
}

int store_read(const char *path, char *buf, uint32_t size)
{
	return store_request(XS_READ, path, (uint32_t)strlen(path) + 1, buf, size);
}

uint64_t store_read_uint(const char *path, uint64_t otherwise)
{
	char buf[32];

	return store_read(path, buf, sizeof(buf)) > 0 ? parse_uint(buf) : otherwise;
}

int store_write(const char *path, const char *value)
{
	char payload[512], buf[32];
	uint32_t path_len = (uint32_t)strlen(path) + 1, len = (uint32_t)strlen(value);

	if (path_len + len > sizeof(payload))
		return -1000;
	memcpy(payload, path, path_len);
	memcpy(payload + path_len, value, len);
	return store_request(XS_WRITE, payload, path_len + len, buf, sizeof(buf));
}

/* ---- checks ----------------------------------------------------------- */

static int errno_of(const char *name)
{
	return error_number(name);
}

static void check_values(void)
{
	char buf[64];

	check(store_read("domid", buf, sizeof(buf)) > 0, "xenstore: domid");
	print("# domain %s\n", buf);
	check(store_read("no/such/node", buf, sizeof(buf)) == errno_of("ENOENT"), "xenstore: no such node");
	check(store_write("data/probe", "hello") >= 0, "xenstore: write");
	check(store_read("data/probe", buf, sizeof(buf)) == 5 && strcmp(buf, "hello") == 0, "xenstore: read it back");
	check(store_write("/local/domain/0/probe", "x") == errno_of("EACCES"), "xenstore: no writing to domain 0's");
	check(store_request(XS_READ, "a//b", 5, buf, sizeof(buf)) == errno_of("EINVAL"), "xenstore: a malformed path");
	check(store_request(9999, "", 1, buf, sizeof(buf)) == errno_of("ENOSYS"), "xenstore: a type that is not there");
}

static void check_directory(void)
{
	char buf[256];
	int n = store_request(XS_DIRECTORY, "data", 5, buf, sizeof(buf));
	bool found = false;

	for (int at = 0; n > 0 && at < n; at += (int)strlen(buf + at) + 1)
		found |= strcmp(buf + at, "probe") == 0;
	check(found, "xenstore: directory");
	check(store_request(XS_RM, "data/probe", 11, buf, sizeof(buf)) >= 0 &&
	              store_read("data/probe", buf, sizeof(buf)) == errno_of("ENOENT"),
	      "xenstore: remove");
}

static void check_watch(void)
{
	static const char watch[] = "data/watched\0token";
	char buf[64];

	check(store_request(XS_WATCH, watch, sizeof(watch), buf, sizeof(buf)) >= 0, "xenstore: watch");
	store_write("data/other", "1");
	watch_path[0] = 0;
	store_write("data/watched", "1");
	store_read("domid", buf, sizeof(buf)); /* the event comes before a later reply */
	check(strcmp(watch_path, "data/watched") == 0, "xenstore: watch event");
}

void check_store(void)
{
	if (!check(probe.store != NULL, "xenstore: a ring"))
		return;
	check_values();
	check_directory();
	check_watch();
}
