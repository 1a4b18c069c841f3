/* SPDX-License-Identifier: MIT */
/* A front end's side of xenbus: its directory, the back end's, and the states of both. */
#include "probe.h"

#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>

#define REPLY_NS (2000 * NS_PER_MS)

bool xenbus_find(struct xenbus_front *x, const char *class)
{
	char list[256], path[96];

	if (store_request(XS_DIRECTORY, class, (uint32_t)strlen(class) + 1, list, sizeof(list)) <= 0)
		return false;
	format_to(x->front, sizeof(x->front), "%s/%s", class, list); /* the first of the list */
	format_to(path, sizeof(path), "%s/backend", x->front);
	return store_read(path, x->back, sizeof(x->back)) > 0;
}

bool xenbus_wait(const struct xenbus_front *x, unsigned state)
{
	uint64_t deadline = clock_ns() + REPLY_NS;

	while (clock_ns() < deadline) {
		if (xenbus_back_uint(x, "state") == state)
			return true;
		HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	}
	return false;
}

bool xenbus_put(const struct xenbus_front *x, const char *key, const char *value)
{
	char path[96];

	format_to(path, sizeof(path), "%s/%s", x->front, key);
	return store_write(path, value) >= 0;
}

bool xenbus_put_uint(const struct xenbus_front *x, const char *key, uint32_t value)
{
	char text[16];

	format_to(text, sizeof(text), "%u", value);
	return xenbus_put(x, key, text);
}

uint64_t xenbus_back_uint(const struct xenbus_front *x, const char *key)
{
	char path[160];

	format_to(path, sizeof(path), "%s/%s", x->back, key);
	return store_read_uint(path, 0);
}

/* After a close this asks the back end to start over. */
bool xenbus_begin(const struct xenbus_front *x)
{
	return xenbus_put_uint(x, "state", XenbusStateInitialising) && xenbus_wait(x, XenbusStateInitWait);
}

/* The back end answers each step with the same. */
bool xenbus_end(const struct xenbus_front *x)
{
	bool closing = xenbus_put_uint(x, "state", XenbusStateClosing) && xenbus_wait(x, XenbusStateClosing);

	return xenbus_put_uint(x, "state", XenbusStateClosed) && xenbus_wait(x, XenbusStateClosed) && closing;
}
