/* SPDX-License-Identifier: MIT */
/* Which engine runs a domain. */
#ifndef ENGINE_SELECT_H
#define ENGINE_SELECT_H

#include "conf.h"
#include "engine/engine.h"

/* "auto", "bt", "kvm" to the setting; -1 for another word. */
int engine_from_name(const char *name);

/*
 * The engine for a setting, probed. NULL when it cannot be; why holds one line
 * in both cases: what was chosen and on what grounds, or what is in the way.
 */
const struct engine_ops *engine_select(enum conf_engine want, struct engine_caps *caps, char *why, unsigned why_len);

#endif
