/* SPDX-License-Identifier: MIT */
#include "figures.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Commas between thousands, from the end of the digits on. */
static void put_commas(char buf[FIGURE])
{
	size_t len = strlen(buf), first = buf[0] == '-';

	for (size_t at = len; at > first + 3 && len + 1 < FIGURE; len++) {
		at -= 3;
		memmove(buf + at + 1, buf + at, len - at + 1);
		buf[at] = ',';
	}
}

const char *figure_text(double value, char buf[FIGURE])
{
	double size = fabs(value);
	int digits = 0;

	if (isnan(value)) {
		snprintf(buf, FIGURE, "-");
		return buf;
	}
	if (size >= 1e9 || (size > 0 && size < 1e-4)) {
		snprintf(buf, FIGURE, "%.3g", value);
		return buf;
	}
	while (size > 0 && digits < 6 && size * pow(10, digits) < 999.95)
		digits++;
	snprintf(buf, FIGURE, "%.*f", value == 0 ? 0 : digits, value);
	if (!digits)
		put_commas(buf);
	return buf;
}

const char *figure_count(double value, char buf[FIGURE])
{
	double unit = 1;

	if (isnan(value) || fabs(value) >= 1e9)
		return figure_text(value, buf);
	while (fabs(value) / unit >= 1000)
		unit *= 10;
	snprintf(buf, FIGURE, "%.0f", round(value / unit) * unit);
	put_commas(buf);
	return buf;
}

const char *figure_time(double ns, char buf[FIGURE])
{
	static const struct {
		double ns;
		const char *name;
	} units[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "µs" }, { 1, "ns" } };
	size_t i = 0;
	double value;

	if (isnan(ns)) {
		snprintf(buf, FIGURE, "-");
		return buf;
	}
	while (i < 3 && fabs(ns) < units[i].ns)
		i++;
	value = ns / units[i].ns;
	if (fabs(value) >= 1e6)
		snprintf(buf, FIGURE, "%.3g %s", value, units[i].name);
	else
		snprintf(buf, FIGURE, "%.*f %s", i == 3 || fabs(value) >= 99.95 ? 0 : fabs(value) >= 9.995 ? 1 : 2, value,
		         units[i].name);
	return buf;
}

const char *figure_percent(double fraction, char buf[FIGURE])
{
	double percent = fraction * 100;

	if (isnan(percent))
		snprintf(buf, FIGURE, "-");
	else if (fabs(percent) >= 1e6)
		snprintf(buf, FIGURE, "%.3g %%", percent);
	else
		snprintf(buf, FIGURE, "%.*f %%", percent && fabs(percent) < 0.95 ? 1 : 0, percent);
	return buf;
}

const char *figure_ratio(double ratio, char buf[FIGURE])
{
	if (isnan(ratio))
		snprintf(buf, FIGURE, "-");
	else if (ratio >= 1e6 || ratio < 0.0995)
		snprintf(buf, FIGURE, "%.2g×", ratio);
	else
		snprintf(buf, FIGURE, "%.*f×", ratio < 9.95 ? 2 : ratio < 99.5 ? 1 : 0, ratio);
	return buf;
}

/* ---- foreign text ------------------------------------------------------------------------ */

/* The bytes of the character at text, and its code. Bytes that are no UTF-8 are a control character each. */
static size_t decode(const char *text, uint32_t *code)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	uint32_t c = len < 2 ? s[0] : s[0] & (0x7fu >> len);

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			len = 0;
			break;
		}
		c = c << 6 | (s[i] & 0x3f);
	}
	*code = len ? c : 0;
	return len ? len : 1;
}

static int harmless(uint32_t c)
{
	return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && !(c >= 0x200b && c <= 0x200f) &&
	       !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2060 && c <= 0x206f) && c != 0xfeff && c != 0x61c;
}

void figure_plain(const char *text, size_t most, FILE *out)
{
	for (size_t n = 0; *text && (!most || n < most); n++) {
		uint32_t code;
		size_t len = decode(text, &code);

		if (harmless(code))
			fwrite(text, 1, len, out);
		else
			fputc('?', out);
		text += len;
	}
}

void figure_html(const char *text, FILE *out)
{
	while (*text) {
		uint32_t code;
		size_t len = decode(text, &code);

		if (code < 0x80 && code && strchr("&<>\"'", (int)code))
			fprintf(out, "&#%u;", code);
		else if (harmless(code))
			fwrite(text, 1, len, out);
		else
			fputs(code == '\n' ? " " : "\xef\xbf\xbd", out);
		text += len;
	}
}

size_t figure_width(const char *text)
{
	size_t n = 0;
	uint32_t code;

	for (; *text; n++)
		text += decode(text, &code);
	return n;
}
