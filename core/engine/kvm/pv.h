/* SPDX-License-Identifier: MIT */
#ifndef ENGINE_KVM_PV_H
#define ENGINE_KVM_PV_H

#include "engine/engine.h"

/* The table of engine kvm for guests whose kernel runs in ring 3. Constant. [any] */
const struct engine_ops *engine_kvm_pv(void);

#endif
