/* SPDX-License-Identifier: MIT */
/*
 * A built domain: pause, resume, reset, and the control thread's loop, which
 * waits for the guest's end and for commands, and serves one after the other.
 *
 * The end comes first. A command that waits when a guest has ended for good is
 * answered so; one that waits while it reboots is served afterwards.
 */
#include "domain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gamut/power.h"

/* A guest that crashes this soon after a restart would do so for ever. */
#define CRASH_LOOP_NS 1000000000ull

/* ---- pause, resume, reset ----------------------------------------------------------------------------------- */

int domain_pause(struct domain *d)
{
	int rc = 0;

	vcpus_pause(&d->vcpus);
	loop_park(&d->loop);
	timers_pause(&d->timers);
	for (uint32_t i = d->n_instances; i--;) {
		if (instance_pause(&d->instances[i], d->diag))
			rc = -1;
	}
	clock_pause(&d->clock);
	return rc;
}

static void go(struct domain *d)
{
	timers_resume(&d->timers);
	loop_unpark(&d->loop);
	vcpus_resume(&d->vcpus);
}

int domain_resume(struct domain *d)
{
	clock_resume(&d->clock);
	for (uint32_t i = 0; i < d->n_instances; i++) {
		if (instance_resume(&d->instances[i], d->diag))
			return -1;
	}
	go(d);
	return 0;
}

int domain_reset(struct domain *d)
{
	/* Ends that came in while the vCPUs were parking belong to the old life. */
	pthread_mutex_lock(&d->lock);
	if (d->how != DOMAIN_END_DESTROYED)
		d->ended = false;
	pthread_mutex_unlock(&d->lock);
	if (mem_reset(&d->mem))
		return diag_error(d->diag, d->config->file, 0, "cannot reset the guest's memory");
	vcpus_reset(&d->vcpus);
	for (uint32_t i = 0; i < d->n_instances; i++)
		instance_clear_signs(&d->instances[i]);
	for (uint32_t i = 0; i < d->n_instances; i++) {
		if (instance_reset(&d->instances[i], d->diag))
			return -1;
	}
	d->resets++;
	d->restarted_ns = mono_now();
	return 0;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static void tell(struct domain *d, const char *event)
{
	if (d->options.on_event)
		d->options.on_event(d->options.on_event_opaque, event);
}

/* What a command came to. go_on is false when the domain cannot. */
struct outcome {
	int rc;
	const char *text;
	bool go_on;
};

static const struct outcome broken = { -EIO, "the domain cannot go on; its own messages say why", false };

static struct outcome do_pause(struct domain *d)
{
	if (atomic_load(&d->paused))
		return (struct outcome){ 0, "it was paused already", true };
	if (domain_pause(d))
		return broken;
	atomic_store(&d->paused, true);
	tell(d, "paused");
	return (struct outcome){ 0, "paused", true };
}

static struct outcome do_resume(struct domain *d)
{
	if (!atomic_load(&d->paused))
		return (struct outcome){ 0, "it was not paused", true };
	atomic_store(&d->paused, false);
	if (domain_resume(d))
		return broken;
	tell(d, "resumed");
	return (struct outcome){ 0, "resumed", true };
}

/* The same for the button and for a guest that reboots. What was paused stays so. */
static bool restart(struct domain *d)
{
	bool paused = atomic_load(&d->paused);

	if ((!paused && domain_pause(d)) || domain_reset(d) || (!paused && domain_resume(d)))
		return false;
	tell(d, "reset");
	return true;
}

static struct outcome do_reset(struct domain *d)
{
	if (!restart(d))
		return broken;
	return (struct outcome){ 0, atomic_load(&d->paused) ? "reset; it is paused still" : "reset", true };
}

static const struct gamut_power_ops *find_power(const struct domain *d, void **self)
{
	for (uint32_t i = 0; i < d->n_instances; i++) {
		const struct gamut_power_ops *ops =
		        instance_interface(&d->instances[i], GAMUT_POWER, GAMUT_POWER_REVISION);

		*self = d->instances[i].self;
		if (ops && GAMUT_HAS(ops, struct gamut_power_ops, request) && ops->request)
			return ops;
	}
	return NULL;
}

static struct outcome ask(struct domain *d, enum gamut_power_request what)
{
	void *self;
	const struct gamut_power_ops *power = find_power(d, &self);
	int rc;

	if (atomic_load(&d->paused))
		return (struct outcome){ -EBUSY, "a paused guest cannot end itself; resume it first", true };
	if (!power)
		return (struct outcome){ -ENOTSUP, "its platform has no way to ask the guest", true };
	loop_park(&d->loop);
	rc = power->request(self, what);
	loop_unpark(&d->loop);
	if (!rc)
		return (struct outcome){ 0, "the guest was asked", true };
	if (rc == -EAGAIN)
		return (struct outcome){ rc, "the guest was asked, but nothing in it listens", true };
	if (rc == -ENOTSUP)
		return (struct outcome){ rc, "there is no way to ask this guest for that", true };
	return (struct outcome){ rc, strerror(-rc), true };
}

static struct outcome do_shutdown(struct domain *d)
{
	return ask(d, GAMUT_POWER_OFF);
}

static struct outcome do_reboot(struct domain *d)
{
	return ask(d, GAMUT_POWER_REBOOT);
}

/* False: the domain cannot go on. */
static bool serve(struct domain *d, struct domain_command *c)
{
	static struct outcome (*const requests[])(struct domain *d) = {
		[DOMAIN_PAUSE] = do_pause,       [DOMAIN_RESUME] = do_resume, [DOMAIN_RESET] = do_reset,
		[DOMAIN_SHUTDOWN] = do_shutdown, [DOMAIN_REBOOT] = do_reboot,
	};
	struct outcome o = requests[c->request](d);

	c->done(c, o.rc, o.text);
	return o.go_on;
}

void domain_submit(struct domain *d, struct domain_command *c)
{
	bool closed;

	c->next = NULL;
	pthread_mutex_lock(&d->lock);
	closed = d->closed;
	if (!closed) {
		*d->last_command = c;
		d->last_command = &c->next;
		pthread_cond_broadcast(&d->changed);
	}
	pthread_mutex_unlock(&d->lock);
	if (closed)
		c->done(c, -ESHUTDOWN, "the domain has ended");
}

static struct domain_command *take_command(struct domain *d)
{
	struct domain_command *c = d->commands;

	if (!c)
		return NULL;
	d->commands = c->next;
	if (!d->commands)
		d->last_command = &d->commands;
	return c;
}

/* No more commands: those that wait are told why. */
static void close_commands(struct domain *d)
{
	struct domain_command *c, *next;

	pthread_mutex_lock(&d->lock);
	d->closed = true;
	c = d->commands;
	d->commands = NULL;
	d->last_command = &d->commands;
	pthread_mutex_unlock(&d->lock);
	for (; c; c = next) {
		next = c->next;
		c->done(c, -ESHUTDOWN, "the domain has ended");
	}
}

/* ---- running --------------------------------------------------------------------------------------------------- */

void domain_end(struct domain *d, int how, const char *why)
{
	vcpus_ended(&d->vcpus, how, "%s", why);
}

/* The next command; or NULL, and *how the guest has ended. */
static struct domain_command *wait_for_work(struct domain *d, int *how)
{
	struct domain_command *c = NULL;

	pthread_mutex_lock(&d->lock);
	while (!d->ended && !d->commands)
		pthread_cond_wait(&d->changed, &d->lock);
	if (d->ended)
		*how = d->how;
	else
		c = take_command(d);
	pthread_mutex_unlock(&d->lock);
	return c;
}

static bool wants_restart(const struct domain *d, int how)
{
	if (how == GAMUT_END_REBOOT)
		return d->config->on_reboot == CONF_END_RESTART;
	if (how != GAMUT_END_CRASH || d->config->on_crash != CONF_END_RESTART)
		return false;
	return mono_now() - d->restarted_ns > CRASH_LOOP_NS;
}

/* The guest has ended. True: it has been started again. */
static bool begin_again(struct domain *d, int *how)
{
	if (!wants_restart(d, *how)) {
		if (!atomic_load(&d->paused) && domain_pause(d))
			*how = GAMUT_END_ERROR;
		return false;
	}
	log_line(&d->log, GAMUT_LOG_INFO, NULL, "%s; starting again", d->why);
	if (restart(d))
		return true;
	*how = GAMUT_END_ERROR;
	return false;
}

static int run_to_end(struct domain *d)
{
	int how = GAMUT_END_ERROR;

	for (;;) {
		struct domain_command *c = wait_for_work(d, &how);

		if (c && !serve(d, c))
			return GAMUT_END_ERROR;
		if (!c && !begin_again(d, &how))
			return how;
	}
}

int domain_run(struct domain *d)
{
	int how;

	d->started_ns = d->restarted_ns = mono_now();
	/* Nobody has been paused yet, so nobody is told to resume. */
	go(d);
	tell(d, "running");
	how = run_to_end(d);
	close_commands(d);
	return how;
}
