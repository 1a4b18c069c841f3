/* SPDX-License-Identifier: MIT */
#include "dm/limit/rate.h"

#include <string.h>

#define MS 1000000ull
#define S  (1000 * MS)

/* A decimal number of 32 bits, as Xen's. */
static bool parse_number(const char **text, uint64_t *value)
{
	const char *at = *text;

	*value = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		*value = *value * 10 + (uint64_t)(*at - '0');
		if (*value > UINT32_MAX)
			return false;
	}
	if (at == *text)
		return false;
	*text = at;
	return true;
}

static bool parse_bytes(const char **text, uint64_t *value)
{
	if (!parse_number(text, value))
		return false;
	switch (**text) {
	case 'G':
		*value *= 1000;
		/* fall through */
	case 'M':
		*value *= 1000;
		/* fall through */
	case 'K':
		*value *= 1000;
		(*text)++;
	}
	if (**text != 'b' && **text != 'B')
		return false;
	if (**text == 'b')
		*value /= 8;
	if (strncmp(++*text, "/s", 2))
		return false;
	*text += 2;
	return *value;
}

static bool parse_interval(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {{"", S}, {"s", S}, {"ms", MS}, {"us", 1000}};

	if (!parse_number(&text, ns) || !*ns)
		return false;
	for (uint32_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(text, units[i].unit)) {
			*ns *= units[i].ns;
			return true;
		}
	return false;
}

bool rate_parse(const char *text, struct rate *rate)
{
	rate->interval = 50 * MS;
	if (!parse_bytes(&text, &rate->bytes))
		return false;
	return !*text || (*text == '@' && parse_interval(text + 1, &rate->interval));
}

uint64_t rate_burst(uint64_t rate, uint64_t interval)
{
	unsigned __int128 burst = (unsigned __int128)rate * interval / S;

	if (burst > UINT64_MAX)
		return UINT64_MAX;
	return burst ? (uint64_t)burst : 1;
}
