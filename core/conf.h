/* SPDX-License-Identifier: MIT */
/*
 * Domain files: read, checked as a whole, and resolved into what the domain
 * builder needs. Nothing is created, truncated or locked here: after a
 * successful load the builder knows one descriptor and one list of checked
 * option values for every plugin instance, and only then starts to act.
 *
 * Every problem is added to a struct diag with the line of the key it is
 * about; loading goes on, so that one run shows all of them. Lines are kept in
 * the result for what can only be found out later (a plugin's create).
 *
 * Relative paths mean the folder of the domain file.
 */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "diag.h"
#include "engine/engine.h"
#include "plugin.h"
#include "preset.h"

#define CONF_MEMORY_MIN 16 /* MiB; a smaller guest cannot hold a kernel */
#define CONF_NAME_MAX   63 /* bytes; the name is also the name of the control socket */

enum conf_engine { CONF_ENGINE_AUTO, CONF_ENGINE_BT, CONF_ENGINE_KVM };
enum conf_end { CONF_END_RESTART, CONF_END_DESTROY };

/* One option of an instance, given or defaulted. An option with neither has no entry. */
struct option_value {
	const char *name; /* the plugin's own string */
	uint32_t type;    /* enum gamut_option_type */
	int64_t num;      /* INT and BOOL */
	char *str;        /* STRING, CHOICE and PATH; paths are resolved. NULL for the others */
	char **list;      /* LIST: n_list strings */
	uint32_t n_list;
	unsigned line;    /* 0: it is the default */
};

/* One plugin instance to be created. */
struct instance_config {
	enum gamut_axis axis;
	const char *choice; /* the word in the domain file: desc->choice */
	uint32_t unit;      /* 0 for the first disk, 1 for the second, ... */
	const struct plugin *plugin;
	const struct gamut_descriptor *desc;
	struct option_value *values;
	uint32_t n_values;
	unsigned line; /* of its group in the file, else of the axis or mode that chose it; 0: none */
};

/* A host end of a console. */
struct console_end_config {
	int kind;   /* enum console_end_kind */
	char *path; /* resolved; NULL: where it is put by default */
};

/* One console of the guest: [0] is of the device that axes.console chooses, if any, the others of further ones. */
struct console_config {
	char *name; /* "xen", "serial1"; "none": no device */
	struct console_end_config *to;
	uint32_t n_to;
	unsigned line; /* of `console` or `to`; 0: not given */
};

struct domain_config {
	char *file; /* as given on the command line */
	char *dir;  /* its folder, for relative paths */

	char *name;
	char *mode;     /* as written: a preset or "auto" */
	int64_t memory; /* MiB */
	int64_t vcpus;
	int engine;       /* enum conf_engine */
	int on_reboot;    /* enum conf_end */
	int on_crash;     /* enum conf_end */
	char *uuid_text;  /* as written, or NULL */
	uint8_t uuid[16]; /* given, or made from the name */

	char *kernel;  /* resolved, or NULL */
	char *ramdisk; /* resolved, or NULL */
	char *cmdline; /* never NULL */

	int64_t weight, cap; /* Xen's: 1-65535, percent of a processor or 0 */
	uint32_t *affinity;  /* host processors; NULL: all */
	uint32_t n_affinity;

	int64_t bt_code_cache; /* MiB */
	char *bt_debug;        /* never NULL */

	struct axis_choices axes;
	struct device_choice *devices; /* axes.devices */
	size_t n_devices;

	struct console_config *consoles; /* by the unit of their instances; never none */
	uint32_t n_consoles;

	/* In the order of creation and start: mmu, interrupts, platform, console, disks, nics. */
	struct instance_config *instances;
	uint32_t n_instances;

	unsigned *lines; /* by index in the key table; use conf_line */
};

/*
 * Reads and checks a domain file. Returns 0 and *config, which points into
 * `plugins` and must be destroyed before it; or -1 with at least one error
 * in diag. Notes (what "auto" chose) may be in diag in both cases.
 */
int conf_load(struct domain_config **config, const char *path, struct plugin_set *plugins, struct diag *diag);
/* NULL is allowed. */
void conf_destroy(struct domain_config *config);

/* The line of a key by its path ("memory", "boot.kernel"), or 0 when the file does not give it. */
unsigned conf_line(const struct domain_config *config, const char *key);

/* The value of an instance's option or NULL when it has none. For host->option_*. */
const struct option_value *conf_option(const struct instance_config *instance, const char *name);

/*
 * What only the engine chosen can answer: needs "engine:hap", "engine:shadow",
 * "engine:pv-ring3", "engine:irqchip", and the number of vCPUs. `instead` is
 * the name of an engine that would do, or NULL. 0 or -1.
 */
int conf_check_engine(const struct domain_config *config, const char *engine, const struct engine_caps *caps,
                      const char *instead, struct diag *diag);

/* The table of keys as text, for `gamut check --help`. */
void conf_print_keys(FILE *out);

#endif
