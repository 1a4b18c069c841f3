/* SPDX-License-Identifier: MIT */
/*
 * What the plugins that have a PC's interrupt controllers (apic, kvmclock)
 * have in common: their options, and making the controllers as these say, of
 * our own or, where the engine has hardware for it, the engine's.
 */
#ifndef DM_PC_INTR_INSTANCE_H
#define DM_PC_INTR_INSTANCE_H

#include "dm/pc/intr.h"
#include "gamut/plugin.h"

/* For a descriptor's table of options. */
#define PC_INTR_OPTIONS                                                                                                \
	{ .size = sizeof(struct gamut_option),                                                                         \
	  .type = GAMUT_OPTION_CHOICE,                                                                                 \
	  .name = "irqchip",                                                                                           \
	  .help = "whose controllers: the host kernel's where the engine is KVM on hardware, or Gamut's own",          \
	  .default_value = "auto",                                                                                     \
	  .choices = pc_intr_irqchips },                                                                               \
	{ .size = sizeof(struct gamut_option),                                                                         \
	  .type = GAMUT_OPTION_BOOL,                                                                                   \
	  .name = "x2apic",                                                                                            \
	  .help = "offer the x2APIC mode of local APICs",                                                              \
	  .default_value = "true" }

extern const char *const pc_intr_irqchips[];

/* The platform has a PC's board, whose chips have lines whatever else there is. From create on. */
bool pc_intr_on_pc(const struct gamut_host *host, struct gamut_inst *inst);
/* Some device will have a line all the same. */
bool pc_intr_has_devices(const struct gamut_host *host, struct gamut_inst *inst);

/* All that return int: 0, or what host->fail gave. [control] */

/* pc_intr_init with the controllers that options, engine and platform make it; `bare` is what there is without a PC. */
int pc_intr_create(struct pc_intr *x, const struct gamut_host *host, struct gamut_inst *inst, enum pc_intr_kind bare);
/* For those that are to be our own for a reason, a clause: an error if the user wants the kernel's. */
int pc_intr_must_be_own(const struct gamut_host *host, struct gamut_inst *inst, const char *why);
/* The other options, after pc_intr_init. */
void pc_intr_options(struct pc_intr *x);
/* pc_intr_register */
int pc_intr_start(struct pc_intr *x);

#endif
