/* SPDX-License-Identifier: MIT */
/*
 * What people on the host have of one domain: its name among those that run,
 * its consoles with their host ends, its control socket; and the thread that
 * serves them ("gamut-service"), which goes on while the domain is paused.
 *
 * It is there before the domain is, so that a name that is taken is found out
 * before anything is touched, and a moment longer.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "conf.h"
#include "console.h"
#include "diag.h"
#include "log.h"

struct service;
struct domain;
struct terminal;

struct service_options {
	struct terminal *terminal; /* for the console that wants stdio; NULL: it goes without */
	uint32_t id;               /* the domain's, where there is nobody to ask for one */
	bool needed;               /* without a control socket nothing could be done with the domain */
	const char *log;           /* where messages go; NULL: standard error. For `gamut info` */
};

/*
 * 0 or -1 with the reason in diag. Where there is no place for a control
 * socket and none is needed, a note in diag says so. config outlives it. [control]
 */
int service_open(struct service **service, const struct domain_config *config, const struct service_options *options,
                 struct diag *diag);
/*
 * The domain is no more: whoever is connected is told how and why, last words
 * are written, and the name is free. how and why may be NULL. NULL service is
 * allowed. [control]
 */
void service_close(struct service *s, const char *how, const char *why);

uint32_t service_id(const struct service *s);
/* By the units of the console devices; config->n_consoles of them. */
struct console **service_consoles(const struct service *s);
/* Says where consoles are that have a place of their own. */
void service_say_consoles(const struct service *s, struct log *log);

/* The domain that commands are for: when it begins to run; NULL before it is destroyed. [control] */
void service_domain(struct service *s, struct domain *d);
/* Something has happened to it: "paused", "reset", ... A constant. [any] */
void service_event(struct service *s, const char *event);

#endif
