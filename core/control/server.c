/* SPDX-License-Identifier: MIT */
#include "control/server-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- sending ------------------------------------------------------------------------- */

static int make_room(char **buf, size_t *room, size_t wanted)
{
	size_t size = *room ? *room : 1024;
	char *grown;

	while (size < wanted)
		size *= 2;
	if (size == *room)
		return 0;
	grown = realloc(*buf, size);
	if (!grown)
		return -ENOMEM;
	*buf = grown;
	*room = size;
	return 0;
}

static void queue(struct client *c, const void *data, size_t len)
{
	if (c->out_at) {
		memmove(c->out, c->out + c->out_at, c->out_len - c->out_at);
		c->out_len -= c->out_at;
		c->out_at = 0;
	}
	if (make_room(&c->out, &c->out_room, c->out_len + len)) {
		c->dead = true;
		return;
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
}

void client_send(struct client *c, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

	if (text) {
		queue(c, text, strlen(text));
		queue(c, "\n", 1);
	} else {
		c->dead = true;
	}
	free(text);
	json_decref(message);
}

static void flush(struct client *c)
{
	while (!c->dead && c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			c->out_at += (size_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			c->dead = true;
	}
	if (c->out_at == c->out_len)
		c->out_at = c->out_len = 0;
}

/* ---- the connection as a console ----------------------------------------------------------- */

/* [any], under the console's lock. */
static void console_ready(void *opaque)
{
	struct client *c = opaque;

	atomic_store(&c->reader_ready, true);
	loop_defer_run(c->control->config.loop, c->control->work);
}

void client_become_console(struct client *c, struct console *console, bool history)
{
	c->console = console;
	c->reader = (struct console_reader){ .ready = console_ready, .opaque = c };
	console_join(console, &c->reader, history);
	console_ready(c);
}

static void show(struct client *c)
{
	char piece[4096];
	uint32_t n;

	flush(c);
	while (!c->dead && !c->out_len && (n = console_peek(&c->reader, piece, sizeof(piece)))) {
		queue(c, piece, n);
		console_skip(&c->reader, n);
		flush(c);
	}
}

/* What came behind the request for the console belongs to the guest already. */
static void type(struct client *c)
{
	uint32_t n = c->in_used ? console_type(c->console, c->in, (uint32_t)c->in_used) : 0;

	if (n)
		memmove(c->in, c->in + n, c->in_used - n);
	c->in_used -= n;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static bool may_ask(const struct client *c)
{
	return !c->console && !c->broken && !c->dead && c->out_at == c->out_len && c->n_waiting < CONTROL_WAITING_MAX;
}

static void too_long(struct client *c)
{
	client_send(c, json_pack("{s:n, s:{s:s, s:s}}", "id", "error", "code", "too-long", "message",
	                         "a request has at most 65536 bytes"));
	c->in_used = 0;
	c->broken = true;
}

static void take_lines(struct client *c)
{
	while (may_ask(c)) {
		char *end = c->in_used ? memchr(c->in, '\n', c->in_used) : NULL;
		size_t len = end ? (size_t)(end - c->in) : 0;

		if (!end)
			break;
		control_request(c, c->in, len);
		flush(c);
		c->in_used -= len + 1;
		memmove(c->in, end + 1, c->in_used);
	}
	if (may_ask(c) && c->in_used >= CONTROL_LINE_MAX) {
		too_long(c);
		flush(c);
	}
	if (c->console)
		type(c);
}

/* ---- life of a client --------------------------------------------------------------------------- */

void client_stop_timer(struct client *c)
{
	loop_unwatch(c->control->config.loop, c->timer_watch);
	c->timer_watch = NULL;
	if (c->timer >= 0)
		close(c->timer);
	c->timer = -1;
	json_decref(c->watch_id);
	c->watch_id = NULL;
}

static void watch_listener(struct control *control);

/* What nobody will read: a close over it would be an error to the client, in the place of the end. */
static void discard(struct client *c)
{
	char rest[4096];

	for (unsigned i = 0; i < LAST_READS && recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
		;
}

static void client_destroy(struct client *c)
{
	struct control *control = c->control;
	struct client **link = &control->clients;

	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	control->n_clients--;
	console_leave(&c->reader);
	client_stop_timer(c);
	loop_unwatch(control->config.loop, c->watch);
	discard(c);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* Nothing more will come of it. Half a line at the end is no request. */
static bool is_done(const struct client *c)
{
	bool said = c->out_at == c->out_len, asks = c->in_used && memchr(c->in, '\n', c->in_used);

	if (c->dead || (c->broken && said))
		return true;
	return c->ended && said && !c->n_waiting && !asks && c->timer < 0 && !c->wants_events && !c->console;
}

static uint32_t wanted_events(struct client *c)
{
	bool read = c->console ? !c->in_used && console_room(c->console) : may_ask(c);

	return (read && !c->ended ? GAMUT_FD_IN : 0) | (c->out_at < c->out_len ? GAMUT_FD_OUT : 0);
}

/* Closes it, or waits for what is next. False: it is gone. */
static bool settle(struct client *c)
{
	struct control *control = c->control;
	uint32_t wanted;

	if (is_done(c)) {
		client_destroy(c);
		watch_listener(control);
		return false;
	}
	wanted = wanted_events(c);
	if (wanted != c->watched && !loop_modify(control->config.loop, c->watch, wanted))
		c->watched = wanted;
	return true;
}

/* Also of what was read before, while it could not be taken. */
static void go_on(struct client *c)
{
	flush(c);
	if (c->console) {
		type(c);
		show(c);
	} else {
		take_lines(c);
		if (c->console)
			show(c);
	}
}

void client_push(struct client *c)
{
	go_on(c);
	settle(c);
}

static void receive(struct client *c)
{
	ssize_t n;

	if (make_room(&c->in, &c->in_room, CONTROL_LINE_MAX)) {
		c->dead = true;
		return;
	}
	/* A console's input waits in the socket, not here, so that its client is held up. */
	n = c->console ? console_room(c->console) : CONTROL_LINE_MAX;
	n = (ssize_t)(CONTROL_LINE_MAX - c->in_used) < n ? (ssize_t)(CONTROL_LINE_MAX - c->in_used) : n;
	if (!n)
		return;
	n = recv(c->fd, c->in + c->in_used, (size_t)n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		c->ended = true;
	if (n < 0)
		c->dead = true;
	c->in_used += n > 0 ? (size_t)n : 0;
}

static void client_ready(void *opaque, int fd, uint32_t events)
{
	struct client *c = opaque;

	(void)fd;
	if (events & GAMUT_FD_IN)
		receive(c);
	else if (events & GAMUT_FD_ERR)
		c->dead = true; /* it has hung up, and nothing of it is left to be read */
	go_on(c);
	settle(c);
}

static void tick(void *opaque, int fd, uint32_t events)
{
	struct client *c = opaque;
	uint64_t count;

	(void)events;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	/* A client that is behind gets none. */
	if (c->out_at == c->out_len)
		control_snapshot(c);
	client_push(c);
}

int client_set_timer(struct client *c, int interval_ms)
{
	const struct timespec interval = { interval_ms / 1000, interval_ms % 1000 * 1000000l };
	const struct itimerspec spec = { interval, { 0, 1 } };

	client_stop_timer(c);
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->timer >= 0 && !timerfd_settime(c->timer, 0, &spec, NULL))
		c->timer_watch = loop_watch(c->control->config.loop, c->timer, GAMUT_FD_IN, tick, c);
	if (c->timer_watch)
		return 0;
	client_stop_timer(c);
	return -EMFILE;
}

static void client_create(struct control *control, int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->control = control;
	c->serial = ++control->serials;
	c->fd = fd;
	c->timer = -1;
	c->watched = GAMUT_FD_IN;
	c->watch = loop_watch(control->config.loop, fd, GAMUT_FD_IN, client_ready, c);
	if (!c->watch) {
		close(fd);
		free(c);
		return;
	}
	c->next = control->clients;
	control->clients = c;
	control->n_clients++;
	client_send(c, control_greeting(control));
	client_push(c);
}

/* ---- the control ------------------------------------------------------------------------------------- */

static struct client *find_client(const struct control *control, uint64_t serial)
{
	struct client *c = control->clients;

	while (c && c->serial != serial)
		c = c->next;
	return c;
}

static void incoming(void *opaque, int fd, uint32_t events)
{
	struct control *control = opaque;
	int peer = unix_accept(fd);

	(void)events;
	if (peer >= 0)
		client_create(control, peer);
	/* No descriptor is left: one more than there are clients now would not help. */
	if ((peer == -EMFILE || peer == -ENFILE) && control->n_clients) {
		loop_unwatch(control->config.loop, control->watch);
		control->watch = NULL;
	} else {
		watch_listener(control);
	}
}

/* Those that come when there are too many wait in the kernel until one has left. */
static void watch_listener(struct control *control)
{
	bool wanted = control->n_clients < CONTROL_CLIENTS_MAX && control->listener.fd >= 0;

	if (wanted && !control->watch)
		control->watch = loop_watch(control->config.loop, control->listener.fd, GAMUT_FD_IN, incoming, control);
	if (!wanted && control->watch) {
		loop_unwatch(control->config.loop, control->watch);
		control->watch = NULL;
	}
}

static void give_answers(struct control *control)
{
	struct control_pending *p, *next, *list = NULL;

	pthread_mutex_lock(&control->lock);
	p = control->answers;
	control->answers = NULL;
	pthread_mutex_unlock(&control->lock);
	for (; p; p = next) {
		next = p->next;
		p->next = list;
		list = p;
	}
	for (p = list; p; p = next) {
		struct client *c = find_client(control, p->client);

		next = p->next;
		control_answer(c, p);
		if (c)
			client_push(c);
	}
}

static void give_events(struct control *control)
{
	const char *events[sizeof(control->events) / sizeof(control->events[0])];
	struct client *c, *next;
	uint32_t n;

	pthread_mutex_lock(&control->lock);
	n = control->n_events;
	memcpy(events, control->events, sizeof(events));
	control->n_events = 0;
	pthread_mutex_unlock(&control->lock);
	for (c = n ? control->clients : NULL; c; c = next) {
		next = c->next;
		if (!c->wants_events || c->out_at < c->out_len)
			continue;
		for (uint32_t i = 0; i < n; i++)
			client_send(c, json_pack("{s:s}", "event", events[i]));
		client_push(c);
	}
}

static void show_consoles(struct control *control)
{
	struct client *c, *next;

	for (c = control->clients; c; c = next) {
		next = c->next;
		if (c->console && atomic_exchange(&c->reader_ready, false))
			client_push(c);
	}
}

static void work(void *opaque)
{
	struct control *control = opaque;

	give_answers(control);
	give_events(control);
	show_consoles(control);
}

int control_open(struct control **result, const struct control_config *config, int dir, const char *name)
{
	struct control *control = calloc(1, sizeof(*control));
	int rc;

	if (!control)
		return -ENOMEM;
	control->config = *config;
	pthread_mutex_init(&control->lock, NULL);
	pthread_mutex_init(&control->domain_lock, NULL);
	control->listener.fd = control->listener.dir = -1;
	control->work = loop_defer_create(config->loop, work, control);
	control->file = realpath(config->domain->file, NULL);
	rc = control->work ? unix_listener_open_at(&control->listener, dir, name) : -ENOMEM;
	if (!rc) {
		watch_listener(control);
		rc = control->watch ? 0 : -ENOMEM;
	}
	if (rc)
		control_close(control);
	else
		*result = control;
	return rc;
}

void control_domain(struct control *control, struct domain *d)
{
	pthread_mutex_lock(&control->domain_lock);
	control->domain = d;
	control->ending = !d;
	pthread_mutex_unlock(&control->domain_lock);
}

/* Of more than anybody can have missed the first are as good as the last. */
void control_event(struct control *control, const char *event)
{
	pthread_mutex_lock(&control->lock);
	if (control->n_events < sizeof(control->events) / sizeof(control->events[0]))
		control->events[control->n_events++] = event;
	pthread_mutex_unlock(&control->lock);
	loop_defer_run(control->config.loop, control->work);
}

/* Answers what it had asked before the end came: there is no domain any more. */
static void last_requests(struct client *c)
{
	for (unsigned i = 0; i < LAST_READS && !c->console && !c->dead && !c->ended; i++) {
		size_t before = c->in_used;

		receive(c);
		if (c->in_used == before)
			break;
		take_lines(c);
	}
}

void control_finish(struct control *control, const char *how, const char *why)
{
	struct client *c, *next;

	for (c = control->clients; c; c = c->next)
		last_requests(c);
	work(control);
	loop_unwatch(control->config.loop, control->watch);
	control->watch = NULL;
	unix_listener_close(&control->listener);
	for (c = control->clients; c; c = next) {
		next = c->next;
		if (!c->console)
			client_send(c, json_pack("{s:s, s:s?, s:s?}", "event", "ended", "how", how, "why", why));
		/* Some time for one that has room soon; nobody holds up the end. */
		flush(c);
		if (c->console)
			show(c);
	}
}

void control_close(struct control *control)
{
	if (!control)
		return;
	while (control->clients)
		client_destroy(control->clients);
	loop_unwatch(control->config.loop, control->watch);
	unix_listener_close(&control->listener);
	loop_defer_destroy(control->config.loop, control->work);
	pthread_mutex_destroy(&control->lock);
	pthread_mutex_destroy(&control->domain_lock);
	free(control->file);
	free(control);
}
