/* SPDX-License-Identifier: MIT */
/*
 * One plugin instance in one domain: what stands behind the opaque struct
 * gamut_inst. Its index is also its account: exits are counted by it.
 */
#ifndef INSTANCE_H
#define INSTANCE_H

#include <pthread.h>
#include <stdbool.h>

#include "bus.h"
#include "conf.h"
#include "diag.h"
#include "loop.h"

struct console;
struct domain;

/* A named counter; the plugin holds a pointer to value. */
struct inst_counter {
	struct inst_counter *next;
	char *name;
	uint64_t value;
	bool sign; /* of the guest's colour on an axis: see gamut_host.sign */
	uint8_t axis, colour;
};

struct gamut_inst {
	struct domain *domain;
	const struct instance_config *config;
	const struct gamut_ops *ops;
	uint32_t index; /* 1 and up: bus_owner.index */
	char name[64];  /* "disk-xen.0" */
	void *self;
	bool created, started;
	struct console *console; /* host->console_*; NULL: what is written is dropped */

	pthread_mutex_t lock;
	char fail[512];                /* the last sentence given to host->fail; under lock */
	struct inst_counter *counters; /* in the order of their making; under lock */
	struct loop_account io;        /* of its callbacks on the I/O thread */
	uint64_t lost;                 /* counts when there is no memory for a counter */
};

/* What the life cycle calls; order and threads as in plugin.h. [control] */
void instance_init(struct gamut_inst *inst, struct domain *domain, const struct instance_config *config,
                   uint32_t index);
void instance_finish(struct gamut_inst *inst);

/*
 * 0 or -errno; then diag has the plugin's sentence, with file and line of the
 * instance's group.
 */
int instance_create(struct gamut_inst *inst, struct diag *diag);
int instance_start(struct gamut_inst *inst, struct diag *diag);
int instance_pause(struct gamut_inst *inst, struct diag *diag);
int instance_resume(struct gamut_inst *inst, struct diag *diag);
int instance_reset(struct gamut_inst *inst, struct diag *diag);
/* Nothing when it was not started, or not created. */
void instance_stop(struct gamut_inst *inst);
void instance_destroy(struct gamut_inst *inst);

/* NULL when it has none of that kind. */
const void *instance_interface(const struct gamut_inst *inst, const char *id, uint32_t revision);

/* Records a sentence and returns -err. */
int instance_vfail(struct gamut_inst *inst, int err, const char *fmt, va_list ap);
int instance_fail(struct gamut_inst *inst, int err, const char *fmt, ...) GAMUT_PRINTF(3, 4);
uint64_t *instance_counter(struct gamut_inst *inst, const char *name);
/* The same, as a sign. */
uint64_t *instance_sign(struct gamut_inst *inst, uint32_t axis, uint32_t colour, const char *name);
/* Power-on: nothing has been seen yet. While paused. [control] */
void instance_clear_signs(struct gamut_inst *inst);
/* Whether the descriptor of such an instance, made or not, needs `id`. */
bool instance_config_needs(const struct instance_config *config, const char *id);
struct bus_owner instance_owner(const struct gamut_inst *inst);

#endif
