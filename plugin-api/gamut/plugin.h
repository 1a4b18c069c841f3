/* SPDX-License-Identifier: MIT */
/*
 * What a plugin is: a shared object with one exported const symbol.
 *
 *     GAMUT_EXPORT const struct gamut_plugin gamut_plugin = { ... };
 *
 * Looking at the symbol has no side effects, so `gamut plugin list` may do it
 * for every file in a folder. The symbol leads to one or more descriptors;
 * each is one choice ("colour") on one axis of a domain, for instance disk =
 * "xen". When a domain asks for it, the core calls ops->create once per
 * instance: once per disk for the disk axis, once per NIC for the net axis,
 * once per domain for every other axis.
 *
 * Threads. Unless a comment says otherwise, life-cycle operations run on the
 * domain's control thread while no vCPU runs and the I/O thread is parked, so
 * they need no locks. Callbacks registered through the host table say on
 * which thread they run.
 */
#ifndef GAMUT_PLUGIN_H
#define GAMUT_PLUGIN_H

#include "gamut/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gamut_host;
struct gamut_inst; /* one plugin instance in one domain; opaque to plugins */

enum gamut_axis {
	GAMUT_AXIS_DISK = 0,
	GAMUT_AXIS_NET = 1,
	GAMUT_AXIS_INTERRUPTS = 2, /* interrupts and timers */
	GAMUT_AXIS_PLATFORM = 3,
	GAMUT_AXIS_MMU = 4, /* privileged instructions and page tables */
	GAMUT_AXIS_CONSOLE = 5,
	GAMUT_AXIS_COUNT
};

enum gamut_colour {
	GAMUT_COLOUR_V = 0,  /* fully virtualized */
	GAMUT_COLOUR_P = 1,  /* paravirtualized */
	GAMUT_COLOUR_VH = 2, /* hardware-assisted */
};

enum gamut_option_type {
	GAMUT_OPTION_BOOL = 0,
	GAMUT_OPTION_INT = 1,
	/*
	 * A string option called "path" names a host file: the core resolves a
	 * relative one against the domain file's folder, and refuses one that is
	 * not there or, for a disk without readonly or cdrom = true, cannot be
	 * written.
	 */
	GAMUT_OPTION_STRING = 2,
	GAMUT_OPTION_CHOICE = 3, /* one of a fixed list of strings */
	/*
	 * Any number of strings, ( "a", "b" ) in the domain file; a string alone
	 * is a list of one. Read with host->option_list. default_value, if any, is
	 * the only member of the default.
	 */
	GAMUT_OPTION_LIST = 4,
	/*
	 * A string that names a host file or folder, whatever the option's name:
	 * the core resolves a relative one against the domain file's folder, and
	 * refuses one that was given and cannot be read. "" names nothing. A
	 * default is not looked for. Read with host->option_string.
	 */
	GAMUT_OPTION_PATH = 5,
};

/*
 * One key of the instance's group in the domain file. The table feeds
 * validation, error messages and `gamut plugin info`; a value that create()
 * reads has already passed it.
 */
struct gamut_option {
	uint32_t size;
	uint32_t type; /* enum gamut_option_type */
	const char *name; /* not "type" on the axes disk, net, console, nor "to" on console: these keys are the core's */
	const char *help;              /* one line, no full stop */
	const char *default_value;     /* as text; NULL: no default */
	int64_t min, max;              /* for GAMUT_OPTION_INT, both inclusive */
	const char *const *choices;    /* for GAMUT_OPTION_CHOICE, NULL-terminated */
	uint32_t required;             /* nonzero: the domain file must give it */
};

/*
 * Life cycle of an instance. Every op but create and destroy may be NULL,
 * which means success with nothing to do. An op that returns int returns 0 or
 * -errno, and calls host->fail first so that the user reads a sentence.
 *
 *   create -> start -> (pause -> resume)* -> stop -> destroy
 *                   \-> (pause -> reset -> resume)*
 *
 * Interfaces of other instances may be looked up in start, not in create:
 * by then every instance of the domain has been created. start and reset run
 * in the order mmu, interrupts, platform, console, disk, net; stop in reverse.
 * So the platform loads a kernel into a machine that is at power-on already.
 */
struct gamut_ops {
	uint32_t size;

	/*
	 * Makes an instance. *self is handed to every later op. On error nothing
	 * may stay behind, and destroy is not called. No file may be created or
	 * truncated here.
	 */
	int (*create)(const struct gamut_host *host, struct gamut_inst *inst, void **self);

	/* Wires the instance to its peers and puts the guest-visible state to power-on values. */
	int (*start)(void *self);

	/*
	 * pause: on return no request is in flight and no thread of the plugin
	 * touches guest memory. Pointers into guest memory are dropped.
	 */
	int (*pause)(void *self);
	int (*resume)(void *self);

	/* Guest reset, only while paused: the same state as after start. */
	int (*reset)(void *self);

	/*
	 * Draft, not called by ABI 1.0 hosts: state to and from a stream, only
	 * while paused.
	 */
	int (*save)(void *self, int fd);
	int (*restore)(void *self, int fd);

	/* The domain ends. Data that the guest was told is safe must be safe on return. */
	void (*stop)(void *self);

	/* Frees everything. Called once for every create that succeeded. */
	void (*destroy)(void *self);

	/*
	 * An interface that this instance gives, by id and revision ("xenbus", 1),
	 * or NULL. The struct lives as long as the instance. Any thread, but asked
	 * for in start only, never on a hot path.
	 */
	const void *(*interface)(void *self, const char *id, uint32_t revision);
};

struct gamut_descriptor {
	uint32_t size;
	uint32_t axis;           /* enum gamut_axis */
	uint32_t colour;         /* enum gamut_colour */
	int32_t score;           /* for "auto": the highest that can work wins */
	const char *choice;      /* the word in the domain file: "xen", "hap", ... */
	const char *description; /* one line, no full stop */
	const char *const *needs; /* NULL-terminated: what some other instance must give */
	const char *const *gives; /* NULL-terminated */
	const struct gamut_option *options;
	uint32_t n_options;
	uint32_t reserved;
	const struct gamut_ops *ops;
};

struct gamut_plugin {
	uint32_t magic;     /* GAMUT_PLUGIN_MAGIC */
	uint16_t abi_major; /* GAMUT_ABI_MAJOR */
	uint16_t abi_minor;
	uint32_t size;      /* sizeof(struct gamut_plugin) */
	uint32_t signature; /* GAMUT_BUILD_SIGNATURE */
	const char *name;   /* the file's name without ".so": "disk-xen" */
	const char *version;
	const char *licence; /* SPDX expression of the whole object, libraries included */
	uint32_t n_descriptors;
	uint32_t reserved;
	const struct gamut_descriptor *const *descriptors;
};

/* Fills the leading fields of struct gamut_plugin. */
#define GAMUT_PLUGIN_HEADER                                                                        \
	.magic = GAMUT_PLUGIN_MAGIC, .abi_major = GAMUT_ABI_MAJOR, .abi_minor = GAMUT_ABI_MINOR,       \
	.size = sizeof(struct gamut_plugin), .signature = GAMUT_BUILD_SIGNATURE

#define GAMUT_PLUGIN_SYMBOL "gamut_plugin"

extern GAMUT_EXPORT const struct gamut_plugin gamut_plugin;

#ifdef __cplusplus
}
#endif
#endif
