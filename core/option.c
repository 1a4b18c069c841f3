/* SPDX-License-Identifier: MIT */
#include "option.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool option_is_path(const struct gamut_option *option)
{
	return option->type == GAMUT_OPTION_PATH ||
	       (option->type == GAMUT_OPTION_STRING && strcmp(option->name, OPTION_PATH) == 0);
}

bool option_word_ok(const char *word)
{
	size_t n = 0;

	for (; word[n]; n++)
		if (n == 63 || (!isalnum((unsigned char)word[n]) && word[n] != '-' && word[n] != '_'))
			return false;
	return n > 0;
}

const char *const *option_reserved(enum gamut_axis axis)
{
	static const char *const type[] = {"type", NULL}, *const of_console[] = {"type", "to", NULL};

	return axis == GAMUT_AXIS_DISK || axis == GAMUT_AXIS_NET ? type : axis == GAMUT_AXIS_CONSOLE ? of_console : NULL;
}

bool option_choice_ok(const struct gamut_option *option, const char *text)
{
	for (const char *const *c = option->choices; *c; c++)
		if (strcmp(*c, text) == 0)
			return true;
	return false;
}

static bool default_bool(const char *text, int64_t *num)
{
	*num = strcmp(text, "true") == 0;
	return *num || strcmp(text, "false") == 0;
}

static bool default_int(const struct gamut_option *option, const char *text, int64_t *num)
{
	char *end;

	errno = 0;
	*num = strtoll(text, &end, 0);
	return errno == 0 && end != text && !*end && *num >= option->min && *num <= option->max;
}

bool option_default(const struct gamut_option *option, int64_t *num, const char **str)
{
	const char *text = option->default_value;

	*num = 0;
	*str = NULL;
	switch (option->type) {
	case GAMUT_OPTION_BOOL:
		return default_bool(text, num);
	case GAMUT_OPTION_INT:
		return default_int(option, text, num);
	case GAMUT_OPTION_CHOICE:
		*str = text;
		return option_choice_ok(option, text);
	default:
		*str = text;
		return true;
	}
}

static const char *wants_choice(const struct gamut_option *option, char *buf, size_t len)
{
	size_t used = (size_t)snprintf(buf, len, "one of");

	for (const char *const *c = option->choices; *c && used < len; c++)
		used += (size_t)snprintf(buf + used, len - used, "%s \"%s\"", c == option->choices ? "" : ",",
		                         *c);
	return buf;
}

const char *option_wants(const struct gamut_option *option, char *buf, size_t len)
{
	switch (option->type) {
	case GAMUT_OPTION_BOOL:
		snprintf(buf, len, "true or false");
		break;
	case GAMUT_OPTION_INT:
		snprintf(buf, len, "an integer from %" PRId64 " to %" PRId64, option->min, option->max);
		break;
	case GAMUT_OPTION_CHOICE:
		return wants_choice(option, buf, len);
	case GAMUT_OPTION_LIST:
		snprintf(buf, len, "a list of strings");
		break;
	case GAMUT_OPTION_PATH:
		snprintf(buf, len, "a path");
		break;
	default:
		snprintf(buf, len, "a string");
		break;
	}
	return buf;
}
