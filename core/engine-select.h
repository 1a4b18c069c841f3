/* SPDX-License-Identifier: MIT */
/*
 * Which engine runs a domain.
 *
 * Looking at the host (engine_survey) and deciding (engine_decide) are apart:
 * the second is a function of its arguments, and `gamut advise` asks it for
 * every mode after one look.
 */
#ifndef ENGINE_SELECT_H
#define ENGINE_SELECT_H

#include "conf.h"
#include "engine/engine.h"
#include "engine/kvm/probe.h"

/* One engine on this host. */
struct engine_state {
	const struct engine_ops *ops; /* NULL: not built in */
	bool works;
	struct engine_caps caps; /* when it works */
	char why[160];           /* when it does not */
};

struct engine_survey {
	struct kvm_probe kvm_probe;
	struct engine_state kvm, bt;
	struct engine_state kvm_pv; /* engine kvm for kernels in ring 3; ops NULL: kvm is for them too */
};

/* What is asked of an engine. */
struct engine_needs {
	const char *mode;        /* the preset's name, for messages */
	struct engine_caps caps; /* what it must have; max_vcpus: at least */
};

struct engine_choice {
	const struct engine_ops *ops; /* NULL: none can */
	struct engine_caps caps;
	bool by_auto;
	bool warn;           /* it was asked for and is taken, but why says what will go wrong */
	const char *lack;    /* of what is needed, as in "has no HAP"; NULL: nothing */
	const char *instead; /* then the name of an engine that has all; NULL: none */
	char why[256];       /* one line: what was chosen and on what grounds, or what is in the way */
};

/* "auto", "bt", "kvm" to the setting; -1 for another word. */
int engine_from_name(const char *name);

/* Measures; takes a few milliseconds. */
void engine_survey(struct engine_survey *survey);

/*
 * "auto" takes kvm where the measurement says that the mode can run on it, and
 * bt otherwise. The engine of another setting is taken when it works at all:
 * what it lacks for the domain is for conf_check_engine to say, with the lines
 * of the axes concerned. Returns choice->ops.
 */
const struct engine_ops *engine_decide(const struct engine_survey *survey, enum conf_engine want,
                                       const struct engine_needs *needs, struct engine_choice *choice);

/* Both; measures only what the setting leaves open. */
const struct engine_ops *engine_select(enum conf_engine want, const struct engine_needs *needs,
                                       struct engine_choice *choice);

#endif
