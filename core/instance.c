/* SPDX-License-Identifier: MIT */
#include "instance.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "domain.h"
#include "host.h"

void instance_init(struct gamut_inst *inst, struct domain *domain, const struct instance_config *config,
                   uint32_t index)
{
	memset(inst, 0, sizeof(*inst));
	inst->domain = domain;
	inst->config = config;
	inst->ops = config->desc->ops;
	inst->index = index;
	snprintf(inst->name, sizeof(inst->name), "%s-%s.%u", axis_name(config->axis), config->choice, config->unit);
	pthread_mutex_init(&inst->lock, NULL);
}

void instance_finish(struct gamut_inst *inst)
{
	while (inst->counters) {
		struct inst_counter *c = inst->counters;

		inst->counters = c->next;
		free(c->name);
		free(c);
	}
	pthread_mutex_destroy(&inst->lock);
}

/* ---- errors ------------------------------------------------------------------------ */

int instance_vfail(struct gamut_inst *inst, int err, const char *fmt, va_list ap)
{
	pthread_mutex_lock(&inst->lock);
	vsnprintf(inst->fail, sizeof(inst->fail), fmt, ap);
	pthread_mutex_unlock(&inst->lock);
	return err > 0 ? -err : err ? err : -EIO;
}

int instance_fail(struct gamut_inst *inst, int err, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = instance_vfail(inst, err, fmt, ap);
	va_end(ap);
	return rc;
}

/* The plugin's sentence to the user; one that left none gets the errno's. */
static int report(struct gamut_inst *inst, const char *op, int err, struct diag *diag)
{
	char text[sizeof(inst->fail)];

	if (!err)
		return 0;
	pthread_mutex_lock(&inst->lock);
	memcpy(text, inst->fail, sizeof(text));
	inst->fail[0] = 0;
	pthread_mutex_unlock(&inst->lock);
	if (text[0])
		diag_error(diag, inst->domain->config->file, inst->config->line, "%s: %s", inst->name, text);
	else
		diag_error(diag, inst->domain->config->file, inst->config->line, "%s: %s failed: %s", inst->name, op,
		           strerror(err < 0 ? -err : err));
	return err < 0 ? err : -EIO;
}

/* ---- life cycle --------------------------------------------------------------------- */

int instance_create(struct gamut_inst *inst, struct diag *diag)
{
	int err = report(inst, "create", inst->ops->create(&gamut_host_table, inst, &inst->self), diag);

	inst->created = !err;
	return err;
}

static int run_op(struct gamut_inst *inst, const char *name, int (*op)(void *self), struct diag *diag)
{
	return op ? report(inst, name, op(inst->self), diag) : 0;
}

int instance_start(struct gamut_inst *inst, struct diag *diag)
{
	int err = run_op(inst, "start", inst->ops->start, diag);

	inst->started = !err;
	return err;
}

int instance_pause(struct gamut_inst *inst, struct diag *diag)
{
	return run_op(inst, "pause", inst->ops->pause, diag);
}

int instance_resume(struct gamut_inst *inst, struct diag *diag)
{
	return run_op(inst, "resume", inst->ops->resume, diag);
}

int instance_reset(struct gamut_inst *inst, struct diag *diag)
{
	return run_op(inst, "reset", inst->ops->reset, diag);
}

void instance_stop(struct gamut_inst *inst)
{
	if (inst->started && inst->ops->stop)
		inst->ops->stop(inst->self);
	inst->started = false;
}

void instance_destroy(struct gamut_inst *inst)
{
	if (inst->created && inst->ops->destroy)
		inst->ops->destroy(inst->self);
	inst->created = false;
	inst->self = NULL;
}

/* ---- the rest --------------------------------------------------------------------------- */

const void *instance_interface(const struct gamut_inst *inst, const char *id, uint32_t revision)
{
	if (!inst->created || !inst->ops->interface)
		return NULL;
	return inst->ops->interface(inst->self, id, revision);
}

static struct inst_counter *counter_make(const char *name)
{
	struct inst_counter *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->name = strdup(name);
	if (c->name)
		return c;
	free(c);
	return NULL;
}

/* The counter of that name, made if need be; NULL: no memory. */
static struct inst_counter *counter_find(struct gamut_inst *inst, const char *name)
{
	struct inst_counter **link;

	pthread_mutex_lock(&inst->lock);
	for (link = &inst->counters; *link && strcmp((*link)->name, name); link = &(*link)->next)
		;
	if (!*link)
		*link = counter_make(name);
	pthread_mutex_unlock(&inst->lock);
	return *link;
}

uint64_t *instance_counter(struct gamut_inst *inst, const char *name)
{
	struct inst_counter *c = counter_find(inst, name);

	return c ? &c->value : &inst->lost;
}

uint64_t *instance_sign(struct gamut_inst *inst, uint32_t axis, uint32_t colour, const char *name)
{
	struct inst_counter *c = counter_find(inst, name);

	if (!c)
		return &inst->lost;
	c->sign = true;
	c->axis = (uint8_t)axis;
	c->colour = (uint8_t)colour;
	return &c->value;
}

void instance_clear_signs(struct gamut_inst *inst)
{
	for (struct inst_counter *c = inst->counters; c; c = c->next)
		if (c->sign)
			__atomic_store_n(&c->value, 0, __ATOMIC_RELAXED);
}

bool instance_config_needs(const struct instance_config *config, const char *id)
{
	for (const char *const *need = config->desc->needs; *need; need++)
		if (strcmp(*need, id) == 0)
			return true;
	return false;
}

struct bus_owner instance_owner(const struct gamut_inst *inst)
{
	return (struct bus_owner){ .index = inst->index, .name = inst->name };
}
