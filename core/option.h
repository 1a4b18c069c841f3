/* SPDX-License-Identifier: MIT */
/* A plugin's typed options: checking values against them, and describing them. */
#ifndef OPTION_H
#define OPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "gamut/plugin.h"

/* The option that names a host file by convention (plugin.h); others say so by their type. */
#define OPTION_PATH "path"
bool option_is_path(const struct gamut_option *option);

/* A word for files and keys: letters, digits, '-' and '_', at most 63 of them, not empty. */
bool option_word_ok(const char *word);

/*
 * Keys in the groups of an axis' list in a domain file that are the core's own,
 * NULL-terminated: no option can have such a name. NULL: the axis has no list.
 */
const char *const *option_reserved(enum gamut_axis axis);

/* Whether text is one of the choices. */
bool option_choice_ok(const struct gamut_option *option, const char *text);

/*
 * Parses the option's default text: *num for INT and BOOL, *str (the text
 * itself) for STRING, CHOICE, LIST and PATH. False when it is no value of the option.
 * The option must have a default.
 */
bool option_default(const struct gamut_option *option, int64_t *num, const char **str);

/* "true or false", "an integer from 1 to 64", "a string", "one of "a", "b"". Returns buf. */
const char *option_wants(const struct gamut_option *option, char *buf, size_t len);

#endif
