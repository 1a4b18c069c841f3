/* SPDX-License-Identifier: MIT */
/*
 * A domain: built from a checked domain file in phases, run, reset when the
 * guest reboots, and taken down in reverse.
 *
 *   validate    engine, image, host memory: what the file alone could not tell
 *   memory      and I/O loop, timers, buses
 *   engine      its VM and the vCPUs
 *   create      every plugin instance
 *   start       every instance, in the order of plugin.h; then buses are sealed
 *               and CPUID is what it will be
 *   threads     I/O and vCPUs, parked
 *
 * The thread that calls these functions is the domain's control thread.
 */
#ifndef DOMAIN_H
#define DOMAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "clock.h"
#include "conf.h"
#include "cpuid-edit.h"
#include "diag.h"
#include "engine-select.h"
#include "engine/engine.h"
#include "image/image.h"
#include "instance.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "schedule.h"
#include "timer.h"
#include "vcpu.h"

struct console;

/* One more way to end beyond enum gamut_end: somebody on the host wants it. */
#define DOMAIN_END_DESTROYED 16

/* How far the building got; finishing starts there. */
enum domain_phase {
	PHASE_NONE,
	PHASE_VALIDATE,
	PHASE_MEMORY,
	PHASE_ENGINE,
	PHASE_CREATE,
	PHASE_START,
	PHASE_THREADS,
	PHASE_COUNT
};

struct domain_options {
	uint32_t id;               /* 1 and up, as Xen's domid */
	int engine;                /* enum conf_engine; what the command line or the file says */
	const struct engine_ops *engine_ops; /* tests: this one and no other; NULL else */
	struct console **consoles; /* of the console devices in the order of their units; they outlive the domain */
	uint32_t n_consoles;
	const atomic_bool *raw;    /* see log.h; NULL: never */
	int log_level;             /* enum gamut_log_level */
	bool leave_no_trace;       /* do not keep the unpacked kernel for the next run */
	const uint64_t *burn_ns;   /* by axis: see burn.h; NULL: nothing is wasted */
	/* What has just happened to it: "running", "paused", "resumed", "reset". NULL: nobody cares. [control] */
	void (*on_event)(void *opaque, const char *event);
	void *on_event_opaque;
};

struct domain_command;

struct domain {
	const struct domain_config *config;
	struct domain_options options;
	uint32_t id;
	struct log log;
	struct diag *diag;
	enum domain_phase phase;

	const struct engine_ops *engine;
	struct engine_choice choice; /* and why it */
	struct engine_vm *vm;
	struct image *image;

	struct mem mem;
	struct clock clock;
	struct loop loop;
	struct timers timers;
	struct bus bus;
	struct cpuid_edits cpuid;
	struct vcpus vcpus;
	struct sched sched;

	struct gamut_inst *instances; /* in the order of creation */
	uint32_t n_instances;
	uint64_t *burn; /* ticks, by bus_owner.index; NULL: none */

	uint32_t resets;
	uint64_t started_ns;  /* CLOCK_MONOTONIC at the first resume */
	uint64_t restarted_ns; /* and at the last one after a reset */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct domain_command *commands, **last_command; /* under lock: not yet looked at */
	bool closed;   /* under lock: it takes no more of them */
	atomic_bool paused; /* because somebody wished so */
	bool ended;    /* under lock */
	int how;       /* enum gamut_end or DOMAIN_END_DESTROYED */
	char why[320];
};

/*
 * What domain_create checks before it makes anything: the engine and what it
 * gives, the kernel image and its ramdisk. 0, or -1 with the reason in diag;
 * *choice is filled in both cases.
 */
int domain_validate(const struct domain_config *config, const struct domain_options *options,
                    struct engine_choice *choice, struct diag *diag);

/*
 * Builds a domain, ready to run and paused. config and the consoles must
 * outlive it. 0, or -1 with the reason in diag and nothing left behind.
 */
int domain_create(struct domain **domain, const struct domain_config *config, const struct domain_options *options,
                  struct diag *diag);
/*
 * Runs until the guest ends for good; reboots as the domain file says. Returns
 * how, with a line in d->why; problems on the way are in diag. The domain is
 * paused on return.
 */
int domain_run(struct domain *d);
/* NULL is allowed. */
void domain_destroy(struct domain *d);

/* What one may ask of a running domain. */
enum domain_request { DOMAIN_PAUSE, DOMAIN_RESUME, DOMAIN_RESET, DOMAIN_SHUTDOWN, DOMAIN_REBOOT };

struct domain_command {
	struct domain_command *next;
	enum domain_request request;
	/*
	 * Called once, whatever becomes of the domain; the command is the caller's
	 * again. rc is 0 or -errno, text a sentence in both cases. -EAGAIN of
	 * DOMAIN_SHUTDOWN and _REBOOT: asked, but nobody in the guest listens.
	 * -ESHUTDOWN: the domain has ended. [control], or the submitting thread
	 */
	void (*done)(struct domain_command *c, int rc, const char *text);
};

/*
 * Commands are served one after the other, in their order, by domain_run.
 * Those that are left when the domain ends are answered then. [any], from
 * domain_create's return to domain_destroy
 */
void domain_submit(struct domain *d, struct domain_command *c);

/* Asks a running domain to end. [any] */
void domain_end(struct domain *d, int how, const char *why);

/*
 * On return no vCPU runs, the I/O thread is parked and no request is in
 * flight. 0 or -1 with diag. [control]
 */
int domain_pause(struct domain *d);
int domain_resume(struct domain *d);
/* Guest reset; while paused. 0 or -1 with diag, and then the domain can only be destroyed. */
int domain_reset(struct domain *d);

/* "power-off", "reboot", "crash", ... */
const char *domain_end_name(int how);

#endif
