/* SPDX-License-Identifier: MIT */
#include "control/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/unix-socket.h"

#define PROTOCOL    1
#define ANSWER_MAX  (64u << 20)
#define GREETING_MS 10000

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- lines ------------------------------------------------------------------------------- */

static json_t *take_line(struct control_client *c)
{
	char *end = memchr(c->buf, '\n', c->used);
	size_t len = end ? (size_t)(end - c->buf) : 0;
	json_t *object;

	if (!end) {
		errno = EAGAIN;
		return NULL;
	}
	object = json_loadb(c->buf, len, 0, NULL);
	c->used -= len + 1;
	memmove(c->buf, end + 1, c->used);
	if (!object)
		errno = EPROTO;
	return object;
}

/* One read. 0 or -errno. */
static int receive(struct control_client *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	size_t room = c->room ? c->room * 2 : 65536;
	char *grown;
	ssize_t n;

	if (c->used == c->room) {
		grown = room <= ANSWER_MAX ? realloc(c->buf, room) : NULL;
		if (!grown)
			return -ENOMEM;
		c->buf = grown;
		c->room = room;
	}
	n = poll(&p, 1, timeout_ms);
	if (n == 0)
		return -ETIMEDOUT;
	if (n > 0)
		n = recv(c->fd, c->buf + c->used, c->room - c->used, 0);
	if (n < 0)
		return errno == EINTR ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	c->used += (size_t)n;
	return n ? 0 : -EPIPE;
}

json_t *control_client_next(struct control_client *c, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	json_t *object;
	int rc;

	for (;;) {
		int64_t left = end - now_ms();

		object = c->used ? take_line(c) : NULL;
		if (object || (c->used && errno != EAGAIN))
			return object;
		rc = receive(c, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0);
		if (rc) {
			errno = -rc;
			return NULL;
		}
	}
}

/* ---- connecting ------------------------------------------------------------------------------ */

static int fail(struct control_client *c, int rc, const char *what)
{
	c->code[0] = 0;
	snprintf(c->message, sizeof(c->message), "%s%s%s", what, rc ? ": " : "", rc ? strerror(-rc) : "");
	return rc;
}

static int greet(struct control_client *c)
{
	c->greeting = control_client_next(c, GREETING_MS);
	if (!c->greeting)
		return fail(c, -errno, "the domain does not answer");
	if (json_integer_value(json_object_get(c->greeting, "protocol")) == PROTOCOL)
		return 0;
	fail(c, 0, "the domain was started by another version of gamut, whose protocol this one does not speak");
	return -EPROTO;
}

int control_client_open(struct control_client *c, const struct rundir *r, const char *name)
{
	char file[300];
	int rc;

	*c = (struct control_client){ .fd = -1 };
	snprintf(file, sizeof(file), "%s.sock", name);
	c->fd = unix_connect_at(r->fd, file);
	rc = c->fd < 0 ? fail(c, c->fd, "cannot reach the domain") : greet(c);
	if (!rc)
		return 0;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	return rc;
}

void control_client_close(struct control_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	json_decref(c->greeting);
	*c = (struct control_client){ .fd = -1 };
}

/* ---- requests ------------------------------------------------------------------------------------ */

static int send_all(struct control_client *c, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int ask(struct control_client *c, const char *method, json_t *params)
{
	json_t *message = json_pack("{s:i, s:s}", "id", ++c->last_id, "method", method);
	char *text;
	int rc = -ENOMEM;

	if (params)
		json_object_set_new(message, "params", params);
	text = json_dumps(message, JSON_COMPACT);
	json_decref(message);
	if (text)
		rc = send_all(c, text);
	free(text);
	return rc ? rc : send_all(c, "\n");
}

static json_t *take_result(struct control_client *c, json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	json_t *result = json_incref(json_object_get(answer, "result"));
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *code = json_string_value(json_object_get(error, "code"));

	if (!result)
		fail(c, 0, message ? message : "the domain's answer makes no sense");
	if (code)
		snprintf(c->code, sizeof(c->code), "%s", code);
	json_decref(answer);
	return result;
}

json_t *control_client_call(struct control_client *c, const char *method, json_t *params, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	int rc = ask(c, method, params);

	while (!rc) {
		int64_t left = end - now_ms();
		json_t *answer = control_client_next(c, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0);

		if (!answer)
			rc = -errno;
		else if (json_integer_value(json_object_get(answer, "id")) == c->last_id)
			return take_result(c, answer);
		else
			json_decref(answer); /* an event */
	}
	fail(c, rc == -EPIPE ? 0 : rc, rc == -EPIPE ? "the domain has ended" : "the domain does not answer");
	return NULL;
}
