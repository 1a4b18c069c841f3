/* SPDX-License-Identifier: MIT */
/* What the files of the control socket's server share; nobody else includes it. */
#ifndef CONTROL_SERVER_INTERNAL_H
#define CONTROL_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "control/server.h"
#include "control/unix-socket.h"
#include "domain.h"

#define CONTROL_PROTOCOL     1
#define CONTROL_LINE_MAX     65536u /* bytes of a request, its newline included */
#define CONTROL_WAITING_MAX  16u    /* requests of a client without an answer */
#define CONTROL_CLIENTS_MAX  256u
#define LAST_READS           16u    /* of a client whose domain has ended */
#define CONTROL_INTERVAL_MIN 20     /* ms */
#define CONTROL_INTERVAL_MAX 3600000

struct client;
typedef json_t *(*control_source)(struct control *c);

/* A command under way: to the control thread and back. */
struct control_pending {
	struct domain_command command; /* first: its address is ours */
	struct control_pending *next;
	struct control *control;
	uint64_t client; /* serial */
	json_t *id;
	int rc;
	char text[160];
};

struct control {
	struct control_config config;
	struct unix_listener listener;
	struct gamut_watch *watch; /* of the listener */
	struct gamut_defer *work;
	struct client *clients;
	uint32_t n_clients;
	uint64_t serials;
	char *file; /* of the domain, from the root */

	pthread_mutex_t domain_lock; /* held while the domain is looked at */
	struct domain *domain;       /* under domain_lock */
	bool ending;                 /* likewise */

	pthread_mutex_t lock;            /* over what follows; nothing is called under it */
	struct control_pending *answers; /* newest first */
	const char *events[8];           /* constant strings */
	uint32_t n_events;
};

struct client {
	struct client *next;
	struct control *control;
	uint64_t serial;
	int fd;
	struct gamut_watch *watch;
	uint32_t watched; /* GAMUT_FD_* of watch */

	char *in; /* a line that is not yet whole */
	size_t in_used, in_room;
	char *out; /* [out_at, out_len) */
	size_t out_at, out_len, out_room;
	uint32_t n_waiting;
	bool ended;  /* it sends no more */
	bool broken; /* to be closed, once what is left to say is said */
	bool dead;   /* to be closed at once */
	bool wants_events;

	/* watch */
	int timer; /* -1: none */
	struct gamut_watch *timer_watch;
	control_source source;
	json_t *watch_id;

	/* console: the connection is one */
	struct console *console;
	struct console_reader reader;
	atomic_bool reader_ready;
};

/* ---- server.c ---- */

/* Queues a line; takes the reference. */
void client_send(struct client *c, json_t *message);
/* From now on the connection is a console. */
void client_become_console(struct client *c, struct console *console, bool history);
/* 0 or -errno. */
int client_set_timer(struct client *c, int interval_ms);
void client_stop_timer(struct client *c);
/* Something has been said to it without its asking: out with it. */
void client_push(struct client *c);

/* ---- methods.c ---- */

/* One request: a line without its end. */
void control_request(struct client *c, const char *line, size_t len);
/* An answer came back from the control thread; c is NULL when the client has gone. Frees it. */
void control_answer(struct client *c, struct control_pending *p);
/* Another snapshot is due. */
void control_snapshot(struct client *c);
json_t *control_greeting(const struct control *control);

/* ---- info.c: new references, NULL when memory is short ---- */

json_t *control_summary(struct control *control);
json_t *control_info(struct control *control);
/* NULL as well when there is no domain now. */
json_t *control_stats(struct control *control);
/* Likewise. */
json_t *control_activity(struct control *control);

#endif
