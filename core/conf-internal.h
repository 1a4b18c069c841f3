/* SPDX-License-Identifier: MIT */
/* What the files of the domain file reader share; nobody else includes it. */
#ifndef CONF_INTERNAL_H
#define CONF_INTERNAL_H

#include <libconfig.h>

#include "conf.h"

/* A load under way. Settings and the words in `wish` live until config_destroy(&cfg). */
struct conf_loader {
	struct domain_config *c;
	config_t cfg;
	struct plugin_set *plugins;
	struct diag *diag;
	struct preset_wish wish;
	const config_setting_t *lists[GAMUT_AXIS_COUNT];   /* disks, nics, consoles; NULL when not given */
	const config_setting_t *options[GAMUT_AXIS_COUNT]; /* groups of the options group */
	const config_setting_t *console;                   /* NULL when not given */
};

/* Adds a problem of the file being loaded. Always returns -1. */
int conf_error(struct conf_loader *l, unsigned line, const char *fmt, ...) GAMUT_PRINTF(3, 4);
int conf_no_memory(struct conf_loader *l);

/* "an integer", "a string", ... for messages. */
const char *conf_type_name(const config_setting_t *s);
static inline unsigned conf_setting_line(const config_setting_t *s)
{
	return config_setting_source_line(s);
}

/* ---- conf-keys.c: the table of keys ---- */

/* Fills in every default. 0 or -1 (memory). */
int conf_keys_defaults(struct conf_loader *l);
/* Reads the whole file's settings; problems go to diag. */
void conf_keys_read(struct conf_loader *l);
/* Index in the table and in domain_config.lines, or -1. */
int conf_key_index(const char *path);
size_t conf_key_count(void);
/* Frees every value that the table describes. */
void conf_keys_finish(struct domain_config *c);

/* ---- conf-text.c ---- */

/* The text of a domain file, NUL-terminated, to be freed; NULL with the problem in diag. */
char *conf_read_text(const char *path, struct diag *diag);

/* ---- conf-files.c: the host's side ---- */

/* path as seen from the folder dir; to be freed. NULL: no memory. */
char *conf_resolve(const char *dir, const char *path);

/*
 * Whether a file can be used, without opening it for writing, creating or
 * locking anything. On false, why holds "what is wrong; remedy".
 */
bool conf_file_readable(const char *path, char *why, size_t why_len);
/* The same for what may be a folder or an empty file. */
bool conf_path_readable(const char *path, char *why, size_t why_len);
bool conf_disk_usable(const char *path, bool readonly, char *why, size_t why_len);

/* Memory against what the host has, processors in the affinity list. */
void conf_check_host(struct conf_loader *l);

/* ---- conf-devices.c: lists of devices, and devices with a type of their own ---- */

/* An axis that has a list in the domain file. */
struct conf_list {
	enum gamut_axis axis;
	const char *name;          /* "disks" */
	const char *what;          /* a device of it, for messages */
	const char *example;       /* a type */
	bool further;              /* besides the device that the axis chooses, and always with a type */
	const char *const *others; /* keys of its groups that are no options of the plugin's */
};

/* NULL: the axis has no list. */
const struct conf_list *conf_list_of(enum gamut_axis axis);

/*
 * Finds the plugin of every device with a type, into l->c->devices and
 * l->wish. Those that are wrong have had their error. 0 or -1 (memory).
 */
int conf_devices_read(struct conf_loader *l);
void conf_devices_finish(struct domain_config *c);
/* The device's own choice; NULL: it has none, or a wrong one. */
const struct axis_choice *conf_device_choice(const struct conf_loader *l, enum gamut_axis axis, uint32_t index);
/* Whether a group says what type it is of. */
bool conf_is_typed(const config_setting_t *group);
/* Whether the list has devices that take the choice of their axis. */
bool conf_has_untyped(const struct conf_loader *l, enum gamut_axis axis);

/* ---- conf-instances.c ---- */

/* Resolves axes into c->instances with checked option values. Needs c->axes loaded. */
void conf_instances_read(struct conf_loader *l);
void conf_instances_finish(struct domain_config *c);

/* ---- conf-console.c ---- */

/* Where consoles go on the host; after conf_instances_read. */
void conf_consoles_read(struct conf_loader *l);
void conf_consoles_finish(struct domain_config *c);

#endif
