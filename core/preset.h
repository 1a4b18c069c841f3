/* SPDX-License-Identifier: MIT */
/*
 * Presets and the legality of axis combinations, both as data.
 *
 * A preset is a name for one choice on every axis and is resolved to choices
 * before any plugin is loaded. Two tables then say what cannot work: rules
 * over pairs of settings, with the reason and the remedy, for what no plugin
 * can know by itself, and the needs and gives of the descriptors chosen.
 */
#ifndef PRESET_H
#define PRESET_H

#include <stdbool.h>
#include <stddef.h>

#include "diag.h"
#include "engine/engine.h"
#include "plugin.h"

/* The choice on an axis that has no device. Needs no plugin. */
#define CHOICE_NONE "none"

struct preset {
	const char *name;
	const char *summary;
	const char *choice[GAMUT_AXIS_COUNT];
};

extern const struct preset presets[];
extern const size_t n_presets;

/* NULL when there is none of that name. */
const struct preset *preset_find(const char *name);

/* One axis of a domain as chosen: by the preset, or by the domain file at `line`. */
struct axis_choice {
	const char *choice;
	unsigned line;                       /* of the override, or of `mode`; 0: none */
	bool overridden;                     /* by the domain file's axes group */
	const struct plugin *plugin;         /* NULL for "none" and before loading */
	const struct gamut_descriptor *desc; /* likewise */
	const char *where;                   /* of a device's own choice: "disks[1].type"; NULL: the axis' */
};

/* A device that has a choice of its own, whatever its axis has. */
struct device_choice {
	enum gamut_axis axis;
	uint32_t index; /* in the domain file's list of these devices */
	struct axis_choice choice;
};

struct axis_choices {
	const struct preset *preset;
	struct axis_choice axis[GAMUT_AXIS_COUNT];
	const struct device_choice *devices; /* by axis and index, with their descriptors */
	size_t n_devices;
};

/* What a domain file says about axes, before a preset is applied. */
struct preset_wish {
	unsigned mode_line;
	bool has_kernel, has_disk, has_net; /* disks and cards that take the axis' choice */
	const char *override[GAMUT_AXIS_COUNT]; /* NULL: the preset's */
	unsigned line[GAMUT_AXIS_COUNT];        /* of the overrides */
	const struct device_choice *devices;    /* go into the choices as they are */
	size_t n_devices;
};

/* preset + overrides; disk and net become "none" when the domain has none and they are not overridden. */
void preset_apply(const struct preset *preset, const struct preset_wish *wish, struct axis_choices *choices);

/* True when the platform enters a kernel itself, so that the domain file must name one. */
bool preset_needs_kernel(const struct axis_choices *choices);

/*
 * Every choice that may have an instance: i below GAMUT_AXIS_COUNT is that
 * axis', from there on they are the devices'. NULL behind the last; *axis may
 * be left out.
 */
const struct axis_choice *preset_choice(const struct axis_choices *choices, size_t i, enum gamut_axis *axis);

/*
 * Checks the choices against the rules (before loading: only words are looked
 * at), each device in its axis' place. Problems go to diag with `file`. 0 or -1.
 */
int preset_check_rules(const struct axis_choices *choices, const char *file, struct diag *diag);
/* The same, silently. */
bool preset_rules_hold(const struct axis_choices *choices);

/*
 * Loads a plugin for every choice but "none" into choices->axis[].desc. What
 * the preset asks for and is not installed is named in one line together with
 * the presets that are. 0 or -1.
 */
int preset_load(struct axis_choices *choices, const struct preset_wish *wish, struct plugin_set *plugins,
                const char *file, struct diag *diag);

/*
 * Every need of every descriptor must be given by another one; an error says
 * which installed choice would give it. Needs that start with "engine:" are
 * the engine's to meet and are left out here (conf_check_engine). 0 or -1.
 */
int preset_check_needs(const struct axis_choices *choices, const struct plugin_set *plugins, const char *file,
                       struct diag *diag);

/*
 * Whether these choices, with their descriptors, meet every rule and every
 * need but the engine's. Says nothing, opens nothing.
 */
bool preset_legal(const struct axis_choices *choices);

/* The member of caps that a need "engine:..." asks for; NULL for a need of another kind, or an unknown one. */
bool *preset_engine_cap(struct engine_caps *caps, const char *need);

/* Sets in caps what the descriptors chosen need of their engine, those of devices included. */
void preset_engine_needs(const struct axis_choices *choices, struct engine_caps *caps);

/*
 * mode = "auto": the preset whose plugins are all there and load, whose rules
 * and needs are met, and whose scores add up to most. NULL when none can work.
 * why holds one line in both cases. Plugins that are looked at stay loaded.
 */
const struct preset *preset_auto(struct plugin_set *plugins, const struct preset_wish *wish, char *why,
                                 size_t why_len);

/*
 * The files that the preset's own choices want and that are not installed, as
 * "disk-ide.so, platform-pc.so". Opens nothing. Returns how many.
 */
int preset_missing(const struct axis_choices *choices, const struct plugin_set *plugins, char *buf, size_t len);

/* The names of presets whose plugins are all installed, as "pvh, pv", or "none". Opens nothing. */
void preset_available(const struct plugin_set *plugins, const struct preset_wish *wish, char *buf,
                      size_t len);

#endif
