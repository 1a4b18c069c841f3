/* SPDX-License-Identifier: MIT */
/* The little of a C library that the probe needs. */
#include "probe.h"

void *memcpy(void *to, const void *from, size_t n)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
	return start;
}

void *memset(void *to, int c, size_t n)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (uint8_t)*a - (uint8_t)*b;
}

bool has_prefix(const char *s, const char *prefix)
{
	return memcmp(s, prefix, strlen(prefix)) == 0;
}

const char *cmdline_word(const char *name)
{
	const char *s = probe.cmdline;

	while (s && *s) {
		while (*s == ' ')
			s++;
		if (has_prefix(s, name))
			return s + strlen(name);
		while (*s && *s != ' ')
			s++;
	}
	return NULL;
}

uint64_t parse_uint(const char *s)
{
	uint64_t value = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		value = value * 10 + (uint64_t)(*s - '0');
	return value;
}

uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

bool names_sectors(const void *data, uint64_t first, unsigned n)
{
	const uint64_t *at = data;
	uint64_t expected[3]; /* 16 characters, and a NUL */

	for (uint64_t sector = first; sector < first + n; sector++) {
		format_to((char *)expected, sizeof(expected), "sector %08lu\n", sector);
		for (unsigned i = 0; i < 512 / 16; i++, at += 2)
			if (at[0] != expected[0] || at[1] != expected[1])
				return false;
	}
	return true;
}

/* Shell's: samples may be some thousands. */
void sort(uint64_t *v, unsigned n)
{
	for (unsigned gap = n / 2; gap; gap /= 2)
		for (unsigned i = gap; i < n; i++)
			for (unsigned j = i; j >= gap && v[j - gap] > v[j]; j -= gap) {
				uint64_t t = v[j];

				v[j] = v[j - gap];
				v[j - gap] = t;
			}
}

/* ---- formatting ------------------------------------------------------- */

struct out {
	char *buf;
	size_t size, len;
};

static void put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len++] = c;
}

static void put_number(struct out *o, uint64_t value, unsigned base, unsigned width, char fill)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (; width > n; width--)
		put(o, fill);
	while (n)
		put(o, digits[--n]);
}

struct spec {
	unsigned width, longs;
	char fill, conversion;
};

static const char *parse_spec(const char *fmt, struct spec *s)
{
	*s = (struct spec){ .fill = ' ' };
	if (*fmt == '0')
		s->fill = *fmt++;
	while (*fmt >= '0' && *fmt <= '9')
		s->width = s->width * 10 + (unsigned)(*fmt++ - '0');
	while (*fmt == 'l')
		s->longs++, fmt++;
	s->conversion = *fmt;
	return fmt;
}

static void put_string(struct out *o, const char *s)
{
	while (*s)
		put(o, *s++);
}

static void put_signed(struct out *o, int64_t value, const struct spec *s)
{
	if (value < 0)
		put(o, '-');
	put_number(o, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, s->width, s->fill);
}

static void format_args(struct out *o, const char *fmt, va_list ap)
{
	struct spec s;

	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(o, *fmt);
			continue;
		}
		fmt = parse_spec(fmt + 1, &s);
		switch (s.conversion) {
		case 's':
			put_string(o, va_arg(ap, const char *));
			break;
		case 'c':
			put(o, (char)va_arg(ap, int));
			break;
		case 'd':
			put_signed(o, s.longs ? va_arg(ap, long) : va_arg(ap, int), &s);
			break;
		case 'u':
		case 'x':
			put_number(o, s.longs ? va_arg(ap, unsigned long) : va_arg(ap, unsigned),
			           s.conversion == 'u' ? 10 : 16, s.width, s.fill);
			break;
		default:
			put(o, s.conversion);
		}
	}
	o->buf[o->len] = 0;
}

size_t format_to(char *buf, size_t size, const char *fmt, ...)
{
	struct out o = { buf, size, 0 };
	va_list ap;

	va_start(ap, fmt);
	format_args(&o, fmt, ap);
	va_end(ap);
	return o.len;
}

void vprint(const char *fmt, va_list ap)
{
	char line[256];
	struct out o = { line, sizeof(line), 0 };

	format_args(&o, fmt, ap);
	console_write(line, o.len);
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
}
