/* SPDX-License-Identifier: MIT */
/*
 * Version of the plugin ABI and the few macros every other header needs.
 *
 * The ABI is frozen at 1.0: a plugin built against 1.0 loads in every 1.x.
 * Every struct that crosses the boundary starts with its own size, as the
 * side that fills it knows it. It grows only at the tail; a reader uses the
 * smaller of the two sizes and treats what it was not given as zero.
 */
#ifndef GAMUT_ABI_H
#define GAMUT_ABI_H

#include <stddef.h>
#include <stdint.h>

#define GAMUT_ABI_MAJOR 1u
#define GAMUT_ABI_MINOR 0u

/* "GMUT", first word of the exported symbol. */
#define GAMUT_PLUGIN_MAGIC 0x54554d47u

/*
 * What must be equal on both sides besides the version: pointer size, the
 * byte order, and the size of time stamps. Compared as a whole.
 */
#define GAMUT_BUILD_SIGNATURE                                                                      \
	((uint32_t)sizeof(void *) | (uint32_t)sizeof(uint64_t) << 8 | (uint32_t)sizeof(int) << 16 |    \
	 1u << 24)

#if defined(__GNUC__)
#define GAMUT_EXPORT __attribute__((visibility("default")))
#define GAMUT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define GAMUT_EXPORT
#define GAMUT_PRINTF(fmt, args)
#endif

/* True when the sized struct at p is long enough to hold member m. */
#define GAMUT_HAS(p, type, m) ((p)->size >= offsetof(type, m) + sizeof((p)->m))

#endif
