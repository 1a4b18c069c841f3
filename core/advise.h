/* SPDX-License-Identifier: MIT */
/*
 * What a host, a kernel and this build can do together, mode by mode, and
 * which mode to take. Facts are gathered in advise-facts.c; what follows from
 * them is a function of theirs (advise.c).
 */
#ifndef ADVISE_H
#define ADVISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine-select.h"
#include "plugin.h"

#define ADVISE_MODES 8 /* at least as many as there are presets */

struct advise_host {
	char vendor[16], model[80]; /* of the processor, as /proc/cpuinfo has them; "" unknown */
	unsigned cpus;
	bool svm, vmx, npt, ept, virtual_machine; /* flags of the processor; the last: we are in one ourselves */
	int nested;                               /* KVM's module parameter; -1: there is none */
	char release[80];                         /* of Linux */
	uint64_t memory_mib;
	uint64_t huge_kib, huge_total, huge_free; /* size and number of huge pages */
	unsigned iommu_groups;
	bool kvm_device, kvm_allowed; /* /dev/kvm is there; and we may open it */
};

/* What a configuration file says of an option of a Linux kernel. */
enum advise_option { OPTION_UNKNOWN, OPTION_NO, OPTION_MODULE, OPTION_YES };

/* In the order of advise_option_names. */
enum {
	CONFIG_XEN_PV,
	CONFIG_XEN_PVHVM,
	CONFIG_XEN_PVH,
	CONFIG_XEN_BLKDEV_FRONTEND,
	CONFIG_KVM_GUEST,
	CONFIG_VIRTIO_PCI,
	CONFIG_VIRTIO_BLK,
	ADVISE_OPTIONS
};

extern const char *const advise_option_names[ADVISE_OPTIONS];

struct advise_kernel {
	const char *path; /* NULL: none was named */
	const char *format, *packing;
	uint32_t bits;       /* 32 or 64 */
	uint32_t modes;      /* IMAGE_MODE_* */
	char version[96];    /* of Linux; "" when it is none */
	char guest_os[32];   /* notes; "" when absent */
	char loader[32];
	char features[256];
	char supported[320]; /* and SUPPORTED_FEATURES, in words */
	char config[512];    /* the configuration file beside it; "" when there is none */
	enum advise_option options[ADVISE_OPTIONS];
};

/* What this build has of a mode. */
struct advise_build {
	const char *mode;       /* the preset's name */
	char missing[160];      /* plugins that are not there, as "platform-pc.so, ..." */
	char missing_net[64];   /* the same for a network, which a mode can do without */
	char broken[256];       /* why those that are there do not go together */
	struct engine_caps needs;
};

struct advise_facts {
	struct advise_host host;
	struct advise_kernel kernel;
	struct engine_survey engines;
	struct advise_build builds[ADVISE_MODES];
	size_t n_builds;
};

enum advise_state { ADVISE_YES, ADVISE_NO, ADVISE_NOT_BUILT };

struct advise_row {
	const char *mode;
	enum advise_state state;
	const char *engine; /* that "auto" would take; NULL unless the state is YES */
	char reason[320];
};

struct advice {
	struct advise_row rows[ADVISE_MODES]; /* in the order of presets */
	size_t n_rows;
	const struct advise_row *best; /* NULL: none can run */
	char why[640];                 /* one line in both cases */
};

/* "yes", "no", "not in this version". */
const char *advise_state_name(enum advise_state state);

/* The decision. Pointers in *advice lead to itself and to constants. */
void advise(const struct advise_facts *facts, struct advice *advice);

/* ---- facts ---- */

/* root: "", or where a test has its own /proc, /sys and /dev. What cannot be read is left unknown. */
void advise_host_facts(const char *root, struct advise_host *host);

/* Nothing is left behind. 0, or -1 with one line in err. path must outlive *kernel. */
int advise_kernel_facts(const char *path, struct advise_kernel *kernel, char *err, size_t err_len);

/* Loads the plugins of each preset that has them all. */
void advise_build_facts(struct plugin_set *plugins, struct advise_facts *facts);

#endif
