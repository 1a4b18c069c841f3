/* SPDX-License-Identifier: MIT */
#include "domain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "burn.h"
#include "console.h"

/* ---- messages ------------------------------------------------------------------------ */

static int fail(struct domain *d, const char *key, const char *text)
{
	return diag_error(d->diag, d->config->file, key ? conf_line(d->config, key) : 0, "%s", text);
}

const char *domain_end_name(int how)
{
	static const char *const names[] = {
		[GAMUT_END_POWEROFF] = "the guest powered off",
		[GAMUT_END_REBOOT] = "the guest asked for a reboot",
		[GAMUT_END_CRASH] = "the guest crashed",
		[GAMUT_END_SUSPEND] = "the guest asked to be suspended",
		[GAMUT_END_ERROR] = "the host could not go on",
		[DOMAIN_END_DESTROYED] = "destroyed",
	};
	const char *name = how >= 0 && (size_t)how < sizeof(names) / sizeof(names[0]) ? names[how] : NULL;

	return name ? name : "ended in an unknown way";
}

/* ---- validate ------------------------------------------------------------------------- */

/* Tests bring an engine of their own. */
static const struct engine_ops *given_engine(struct domain *d)
{
	const struct engine_ops *ops = d->options.engine_ops;

	return ops->probe(&d->choice.caps, d->choice.why, sizeof(d->choice.why)) ? ops : NULL;
}

static const struct engine_ops *selected_engine(struct domain *d)
{
	const struct domain_config *c = d->config;
	struct engine_needs needs = { .mode = c->axes.preset->name, .caps.max_vcpus = (uint32_t)c->vcpus };

	preset_engine_needs(&c->axes, &needs.caps);
	return engine_select((enum conf_engine)d->options.engine, &needs, &d->choice);
}

static int choose_engine(struct domain *d)
{
	const struct domain_config *c = d->config;

	d->engine = d->options.engine_ops ? given_engine(d) : selected_engine(d);
	/* What the command line says stands in no line of the file. */
	if (!d->engine)
		return fail(d, d->options.engine == c->engine ? "engine" : NULL, d->choice.why);
	return conf_check_engine(c, d->engine->name, &d->choice.caps, d->choice.instead, d->diag);
}

/* The image must be bootable as the platform chosen will boot it. */
static int check_image(struct domain *d)
{
	static const struct {
		const char *platform;
		uint32_t mode;
	} modes[] = { { "pvh", IMAGE_MODE_PVH }, { "pv", IMAGE_MODE_PV } };
	const char *platform = d->config->axes.axis[GAMUT_AXIS_PLATFORM].choice;
	char err[512];

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!d->config->kernel || strcmp(platform, modes[i].platform) != 0)
			continue;
		if (image_require(d->image, modes[i].mode, err, sizeof(err)))
			return fail(d, "boot.kernel", err);
	}
	return 0;
}

static void validate_down(struct domain *d)
{
	image_destroy(d->image);
	d->image = NULL;
}

static int validate_up(struct domain *d)
{
	const struct image_options options = {
		.kernel = d->config->kernel,
		.ramdisk = d->config->ramdisk,
		.cmdline = d->config->cmdline,
		.no_cache = d->options.leave_no_trace,
	};
	char err[512] = "";

	if (choose_engine(d))
		return -1;
	d->image = image_load(&options, err, sizeof(err));
	if (!d->image)
		return fail(d, d->config->kernel ? "boot.kernel" : "boot", err);
	if (!check_image(d))
		return 0;
	validate_down(d);
	return -1;
}

/* ---- memory, loop, timers, buses --------------------------------------------------------- */

static void detach_consoles(struct domain *d)
{
	for (uint32_t i = 0; i < d->options.n_consoles; i++)
		console_detach(d->options.consoles[i]);
}

static int io_up(struct domain *d)
{
	if (loop_init(&d->loop))
		return -1;
	if (timers_init(&d->timers, &d->clock, &d->loop))
		goto fail_loop;
	if (bus_init(&d->bus))
		goto fail_timers;
	for (uint32_t i = 0; i < d->options.n_consoles; i++) {
		if (console_attach(d->options.consoles[i], &d->loop))
			goto fail_consoles;
	}
	return 0;
fail_consoles:
	detach_consoles(d);
	bus_finish(&d->bus);
fail_timers:
	timers_finish(&d->timers);
fail_loop:
	loop_finish(&d->loop);
	return -1;
}

static void memory_down(struct domain *d)
{
	detach_consoles(d);
	bus_finish(&d->bus);
	cpuid_edits_finish(&d->cpuid);
	timers_finish(&d->timers);
	loop_finish(&d->loop);
	mem_finish(&d->mem);
}

static int memory_up(struct domain *d)
{
	char err[256] = "";

	if (mem_init(&d->mem, (uint64_t)d->config->memory << 20, err, sizeof(err)))
		return fail(d, "memory", err);
	if (!io_up(d))
		return 0;
	mem_finish(&d->mem);
	return fail(d, NULL, "the host has no descriptors or memory left for a domain");
}

/* ---- engine ---------------------------------------------------------------------------------- */

static void memory_changed(void *opaque, uint64_t gpa, uint64_t len, bool remapped)
{
	struct domain *d = opaque;

	d->engine->mem_changed(d->vm, gpa, len, remapped);
}

/* From any thread, with the vCPUs asked to park. The first end counts, but for the host's own wish. */
static void note_end(void *opaque, int how, const char *why)
{
	struct domain *d = opaque;

	pthread_mutex_lock(&d->lock);
	if (!d->ended || how == DOMAIN_END_DESTROYED) {
		d->ended = true;
		d->how = how;
		snprintf(d->why, sizeof(d->why), "%s", why);
	}
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static int vcpus_up(struct domain *d, char *err, unsigned err_len)
{
	d->vcpus.ops = d->engine;
	d->vcpus.vm = d->vm;
	d->vcpus.bus = &d->bus;
	d->vcpus.clock = &d->clock;
	d->vcpus.log = &d->log;
	d->vcpus.on_end = note_end;
	d->vcpus.on_end_opaque = d;
	return vcpus_init(&d->vcpus, (uint32_t)d->config->vcpus, err, err_len);
}

static void engine_down(struct domain *d)
{
	vcpus_finish(&d->vcpus);
	d->mem.changed = NULL;
	d->engine->vm_destroy(d->vm);
	d->vm = NULL;
}

static bool wants_shadow(const struct domain *d)
{
	struct engine_caps needs = { 0 };

	preset_engine_needs(&d->config->axes, &needs);
	return needs.shadow;
}

static int engine_up(struct domain *d)
{
	const struct engine_config config = {
		.vcpus = (uint32_t)d->config->vcpus,
		.code_cache = (uint64_t)d->config->bt_code_cache << 20,
		.debug = d->config->bt_debug ? d->config->bt_debug : "",
		.shadow = wants_shadow(d),
	};
	char err[256] = "";

	if (d->engine->vm_create(&d->vm, &d->mem, &config, err, sizeof(err)))
		return fail(d, "engine", err);
	d->mem.changed_opaque = d;
	d->mem.changed = memory_changed;
	if (!vcpus_up(d, err, sizeof(err)))
		return 0;
	d->mem.changed = NULL;
	d->engine->vm_destroy(d->vm);
	return fail(d, "vcpus", err);
}

/* ---- instances ---------------------------------------------------------------------------------- */

static void create_down(struct domain *d)
{
	for (uint32_t i = d->n_instances; i--;) {
		instance_destroy(&d->instances[i]);
		instance_finish(&d->instances[i]);
	}
	free(d->instances);
	d->instances = NULL;
	d->n_instances = 0;
}

/* A console device has its own; what another plugin has to say goes to the first. */
static struct console *console_of(const struct domain *d, const struct instance_config *inst)
{
	uint32_t unit = inst->axis == GAMUT_AXIS_CONSOLE ? inst->unit : 0;

	return unit < d->options.n_consoles ? d->options.consoles[unit] : NULL;
}

static int create_up(struct domain *d)
{
	const struct domain_config *c = d->config;

	/* Plugins may ask for the time and its scale from here on; loading the kernel took most of the wait. */
	clock_calibrate(&d->clock);
	d->instances = calloc(c->n_instances + 1, sizeof(*d->instances));
	if (!d->instances)
		return fail(d, NULL, "out of memory");
	for (uint32_t i = 0; i < c->n_instances; i++) {
		instance_init(&d->instances[i], d, &c->instances[i], i + 1);
		d->instances[i].console = console_of(d, &c->instances[i]);
		d->n_instances = i + 1;
		if (instance_create(&d->instances[i], d->diag)) {
			create_down(d);
			return -1;
		}
	}
	return 0;
}

static void start_down(struct domain *d)
{
	for (uint32_t i = d->n_instances; i--;)
		instance_stop(&d->instances[i]);
}

/* What the guest's CPUID answers: the engine's offer with the plugins' edits. */
static int apply_cpuid(struct domain *d)
{
	struct cpuid_entry *offer = NULL;
	uint32_t n = 0;
	int err = d->engine->cpuid_supported(d->vm, &offer, &n);

	for (uint32_t i = 0; i < d->vcpus.n && !err; i++) {
		struct cpuid_entry *table = NULL;
		uint32_t n_table = 0;

		err = cpuid_edits_apply(&d->cpuid, i, offer, n, &table, &n_table);
		if (!err)
			err = d->engine->cpuid_set(d->vcpus.vcpu[i]->engine, table, n_table);
		free(table);
	}
	free(offer);
	return err ? fail(d, NULL, "the engine does not take the CPUID leaves of this domain") : 0;
}

static int start_up(struct domain *d)
{
	for (uint32_t i = 0; i < d->n_instances; i++) {
		if (instance_start(&d->instances[i], d->diag))
			goto undo;
	}
	if (apply_cpuid(d))
		goto undo;
	if (bus_seal(&d->bus) || vcpus_set_owners(&d->vcpus, d->n_instances + 1)) {
		fail(d, NULL, "out of memory");
		goto undo;
	}
	if (domain_burn(d)) {
		fail(d, NULL, "out of memory");
		goto undo;
	}
	/* The kernel is in the guest now. */
	image_trim(d->image);
	return 0;
undo:
	start_down(d);
	return -1;
}

/* ---- threads -------------------------------------------------------------------------------------- */

static void threads_down(struct domain *d)
{
	sched_finish(&d->sched);
	vcpus_stop(&d->vcpus);
	loop_stop(&d->loop);
}

static int threads_up(struct domain *d)
{
	const struct domain_config *c = d->config;
	char err[256] = "the host cannot start another thread";

	if (loop_start(&d->loop))
		return fail(d, NULL, err);
	loop_park(&d->loop);
	if (vcpus_start(&d->vcpus)) {
		loop_stop(&d->loop);
		return fail(d, NULL, err);
	}
	if (!sched_init(&d->sched, &d->vcpus, &d->timers, c->weight, c->cap, c->affinity, c->n_affinity, err,
	                sizeof(err)))
		return 0;
	threads_down(d);
	return fail(d, "sched.affinity", err);
}

/* ---- build and teardown --------------------------------------------------------------------------------- */

static const struct {
	int (*up)(struct domain *d); /* 0; or -1 with diag and nothing left behind */
	void (*down)(struct domain *d);
} phases[PHASE_COUNT] = {
	[PHASE_VALIDATE] = { validate_up, validate_down },
	[PHASE_MEMORY] = { memory_up, memory_down },
	[PHASE_ENGINE] = { engine_up, engine_down },
	[PHASE_CREATE] = { create_up, create_down },
	[PHASE_START] = { start_up, start_down },
	[PHASE_THREADS] = { threads_up, threads_down },
};

void domain_destroy(struct domain *d)
{
	if (!d)
		return;
	/* Threads first come to rest; then instances stop while all they use is still there. */
	if (d->phase == PHASE_THREADS) {
		vcpus_pause(&d->vcpus);
		loop_park(&d->loop);
		start_down(d);
	}
	for (; d->phase > PHASE_NONE; d->phase--)
		phases[d->phase].down(d);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d->burn);
	free(d);
}

int domain_validate(const struct domain_config *config, const struct domain_options *options,
                    struct engine_choice *choice, struct diag *diag)
{
	struct domain *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return diag_error(diag, config->file, 0, "out of memory");
	d->config = config;
	d->options = *options;
	d->diag = diag;
	rc = validate_up(d);
	*choice = d->choice;
	if (!rc)
		validate_down(d);
	free(d);
	return rc;
}

int domain_create(struct domain **domain, const struct domain_config *config, const struct domain_options *options,
                  struct diag *diag)
{
	struct domain *d = calloc(1, sizeof(*d));

	if (!d)
		return diag_error(diag, config->file, 0, "out of memory");
	d->config = config;
	d->options = *options;
	d->id = options->id;
	d->diag = diag;
	d->last_command = &d->commands;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	clock_init(&d->clock);
	log_init(&d->log, 2, options->log_level, config->name);
	d->log.raw = options->raw;
	while (d->phase + 1 < PHASE_COUNT) {
		if (phases[d->phase + 1].up(d)) {
			domain_destroy(d);
			return -1;
		}
		d->phase++;
	}
	*domain = d;
	return 0;
}
