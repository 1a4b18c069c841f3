/* SPDX-License-Identifier: MIT */
/*
 * MC146818A (Motorola data sheet ADI-1016) in a PC: the century is byte 0x32,
 * and the memory behind the clock's 14 bytes is firmware's.
 *
 * Nothing ticks. The time is computed when it is read: wall clock and offset;
 * flags are brought up to date when register C is read, from what has passed
 * since they were last looked at. A timer runs only for an interrupt that is
 * enabled and whose flag is not set yet: a guest that ignores its interrupts
 * costs nothing.
 *
 * While SET is 1 or the divider is held in reset the clock is stopped and its
 * bytes are memory; when it starts again, they become the offset.
 */
#include "dm/pc/cmos.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "gamut/plugin.h"

#define SECOND 1000000000ll
#define DAY 86400ll

/* UIP is 1 from 244 us before an update cycle to its end 1984 us later, when the new second shows. */
#define UIP_NS (244000ll + 1984000ll)

#define LINE 8u
#define NMI_MASK 0x80u

enum {
	R_SECONDS = 0,
	R_SECONDS_ALARM = 1,
	R_MINUTES = 2,
	R_MINUTES_ALARM = 3,
	R_HOURS = 4,
	R_HOURS_ALARM = 5,
	R_WEEKDAY = 6,
	R_DAY = 7,
	R_MONTH = 8,
	R_YEAR = 9,
	R_A = 10,
	R_B = 11,
	R_C = 12,
	R_D = 13,
	R_CENTURY = 0x32,
};

enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_RUNNING = 0x20, A_RATE = 0x0f };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 8, B_BINARY = 4, B_24 = 2, B_DSE = 1 };
enum { C_IRQ = 0x80, C_PERIODIC = 0x40, C_ALARM = 0x20, C_UPDATE = 0x10, C_FLAGS = 0x70 };
enum { D_VALID = 0x80, HOURS_PM = 0x80 };

/* ---- calendar ---- */

struct date {
	int64_t year, month, day; /* month and day from 1 */
};

/* Days since 1970-01-01 of any date of the Gregorian calendar; months beyond 12 go on into the next years. */
static int64_t days_from_date(struct date d)
{
	int64_t y, era, of_era, of_year;

	d.year += (d.month - 1) / 12;
	d.month = (d.month - 1) % 12 + 1;
	if (d.month < 1) {
		d.month += 12;
		d.year--;
	}
	/* Years begin in March, so that the leap day is the last. */
	y = d.month <= 2 ? d.year - 1 : d.year;
	era = (y >= 0 ? y : y - 399) / 400;
	of_era = y - era * 400;
	of_year = (153 * (d.month + (d.month > 2 ? -3 : 9)) + 2) / 5 + d.day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct date date_from_days(int64_t days)
{
	int64_t era, of_era, year_of_era, of_year, month;
	struct date d;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	of_era = days - era * 146097;
	year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	month = (5 * of_year + 2) / 153;
	d.day = of_year - (153 * month + 2) / 5 + 1;
	d.month = month < 10 ? month + 3 : month - 9;
	d.year = year_of_era + era * 400 + (d.month <= 2);
	return d;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
	return a - floor_div(a, b) * b;
}

/* 0 is Sunday; 1970 began on a Thursday. */
static int64_t weekday(int64_t days)
{
	return floor_mod(days + 4, 7);
}

/* ---- the time ---- */

static int64_t wall(const struct cmos *c)
{
	struct timespec now;

	if (c->config.wall)
		return c->config.wall(c->config.opaque);
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* What the clock shows, in seconds since 1970 as if it were UTC; years up to 16665 do not fit ns. */
static int64_t shown(const struct cmos *c)
{
	int64_t now = wall(c);

	return floor_div(now, SECOND) + c->offset + (floor_mod(now, SECOND) + c->phase >= SECOND);
}

/* And the ns of the second that have passed. */
static int64_t fraction(const struct cmos *c)
{
	return (floor_mod(wall(c), SECOND) + c->phase) % SECOND;
}

static bool running(const struct cmos *c)
{
	return !(c->ram[R_B] & B_SET) && (c->ram[R_A] & A_DIVIDER) == A_RUNNING;
}

static uint8_t encode(const struct cmos *c, int64_t value)
{
	return c->ram[R_B] & B_BINARY ? (uint8_t)value : (uint8_t)(value / 10 << 4 | value % 10);
}

static int64_t decode(const struct cmos *c, uint8_t value)
{
	return c->ram[R_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hours(const struct cmos *c, int64_t hours)
{
	if (c->ram[R_B] & B_24)
		return encode(c, hours);
	return encode(c, (hours + 11) % 12 + 1) | (hours >= 12 ? HOURS_PM : 0);
}

static int64_t decode_hours(const struct cmos *c, uint8_t value)
{
	if (c->ram[R_B] & B_24)
		return decode(c, value);
	return decode(c, value & (uint8_t)~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

/* The ten bytes and the century as they show at a time. */
static void spell(struct cmos *c, int64_t seconds)
{
	int64_t days = floor_div(seconds, DAY), of_day = floor_mod(seconds, DAY);
	struct date d = date_from_days(days);

	c->ram[R_SECONDS] = encode(c, of_day % 60);
	c->ram[R_MINUTES] = encode(c, of_day / 60 % 60);
	c->ram[R_HOURS] = encode_hours(c, of_day / 3600);
	c->ram[R_WEEKDAY] = encode(c, (weekday(days) + c->weekday) % 7 + 1);
	c->ram[R_DAY] = encode(c, d.day);
	c->ram[R_MONTH] = encode(c, d.month);
	c->ram[R_YEAR] = encode(c, floor_mod(d.year, 100));
	c->ram[R_CENTURY] = encode(c, floor_mod(floor_div(d.year, 100), 100));
}

/* The opposite. What is no date (the 31st of February) is the one that many days later. */
static int64_t parse(struct cmos *c)
{
	struct date d = {
		.year = decode(c, c->ram[R_CENTURY]) * 100 + decode(c, c->ram[R_YEAR]),
		.month = decode(c, c->ram[R_MONTH]),
		.day = decode(c, c->ram[R_DAY]),
	};
	int64_t days = days_from_date(d);

	c->weekday = (uint8_t)floor_mod(decode(c, c->ram[R_WEEKDAY]) - 1 - weekday(days), 7);
	return days * DAY + decode_hours(c, c->ram[R_HOURS]) * 3600 + decode(c, c->ram[R_MINUTES]) * 60 +
	       decode(c, c->ram[R_SECONDS]);
}

/* ---- daylight saving: as the chip has it, whatever the law says now ---- */

/* The last Sunday of a month, at an hour. */
static int64_t last_sunday(int64_t year, int64_t month, int64_t hour)
{
	int64_t last = days_from_date((struct date){ .year = year, .month = month + 1, .day = 1 }) - 1;

	return (last - weekday(last)) * DAY + hour * 3600;
}

/* April: 2:00 becomes 3:00. October: the first 2:00 becomes 1:00. */
static void save_daylight(struct cmos *c)
{
	int64_t now = shown(c);
	int64_t year = date_from_days(floor_div(now, DAY)).year;
	int64_t spring = last_sunday(year, 4, 2), autumn = last_sunday(year, 10, 2);

	if (!(c->ram[R_B] & B_DSE))
		return;
	if (c->seen < spring && now >= spring && now < autumn)
		c->offset += 3600;
	if (now < spring)
		c->fell_back = 0;
	if (c->seen < autumn && c->seen >= spring && now >= autumn && !c->fell_back) {
		c->offset -= 3600;
		c->fell_back = 1;
	}
}

/* ---- flags; all under the lock ---- */

static bool alarm_byte(uint8_t alarm, uint8_t now)
{
	return alarm >= 0xc0 || alarm == now;
}

static bool alarm_at(const struct cmos *c, int64_t of_day)
{
	return alarm_byte(c->ram[R_SECONDS_ALARM], encode(c, of_day % 60)) &&
	       alarm_byte(c->ram[R_MINUTES_ALARM], encode(c, of_day / 60 % 60)) &&
	       alarm_byte(c->ram[R_HOURS_ALARM], encode_hours(c, of_day / 3600));
}

/* Whether one of the seconds in (from, to] was the alarm's; a day has all there are. */
static bool alarm_between(const struct cmos *c, int64_t from, int64_t to)
{
	if (to - from > DAY)
		from = to - DAY;
	while (from < to)
		if (alarm_at(c, floor_mod(++from, DAY)))
			return true;
	return false;
}

/* The time base: domain time in 1/32768 s. */
static uint64_t ticks_now(const struct cmos *c)
{
	uint64_t ns = c->host->time_now(c->inst), s = ns / (uint64_t)SECOND;

	return s * 32768 + (ns - s * (uint64_t)SECOND) * 32768 / (uint64_t)SECOND;
}

/* Ticks between two periodic events; 0: there are none. */
static uint64_t period(const struct cmos *c)
{
	uint8_t rate = c->ram[R_A] & A_RATE;

	if (!rate || (c->ram[R_A] & A_DIVIDER) != A_RUNNING)
		return 0;
	return 1ull << (rate < 3 ? rate + 6 : rate - 1);
}

/* Everything that has happened since the last look. */
static void look(struct cmos *c)
{
	uint64_t ticks = ticks_now(c), every = period(c);

	if (every && ticks / every != c->ticks_seen / every)
		c->ram[R_C] |= C_PERIODIC;
	c->ticks_seen = ticks;
	if (!running(c))
		return;
	save_daylight(c);
	if (shown(c) != c->seen) {
		c->ram[R_C] |= C_UPDATE;
		/* A clock that went back has no seconds in between, but the new one. */
		if (alarm_between(c, shown(c) > c->seen ? c->seen : shown(c) - 1, shown(c)))
			c->ram[R_C] |= C_ALARM;
	}
	c->seen = shown(c);
}

static void forget(struct cmos *c)
{
	c->seen = shown(c);
	c->ticks_seen = ticks_now(c);
}

static bool wants(const struct cmos *c, uint8_t flags)
{
	return c->ram[R_B] & flags & ~c->ram[R_C];
}

static void arm_periodic(struct cmos *c)
{
	uint64_t every = period(c), next;

	if (!every || !wants(c, B_PIE)) {
		c->host->timer_cancel(c->inst, c->periodic);
		return;
	}
	/* The first nanosecond at which the tick has come. */
	next = (c->ticks_seen / every + 1) * every;
	c->host->timer_set(c->inst, c->periodic,
	                   next / 32768 * (uint64_t)SECOND + (next % 32768 * (uint64_t)SECOND + 32767) / 32768);
}

/* At the next second of the wall clock, which domain time does not know: it may be early, then once more. */
static void arm_update(struct cmos *c)
{
	if (!running(c) || !wants(c, B_UIE | B_AIE)) {
		c->host->timer_cancel(c->inst, c->update);
		return;
	}
	c->host->timer_set(c->inst, c->update,
	                   c->host->time_now(c->inst) + (uint64_t)(SECOND - fraction(c)));
}

static void update(struct cmos *c)
{
	bool before = c->ram[R_C] & C_IRQ, now = c->ram[R_B] & c->ram[R_C] & C_FLAGS;

	c->ram[R_C] = (uint8_t)((c->ram[R_C] & C_FLAGS) | (now ? C_IRQ : 0));
	if (now && !before)
		isa_count(c->interrupts, 1);
	isa_line_set(&c->line, now);
	arm_periodic(c);
	arm_update(c);
}

static void timer_fired(void *opaque)
{
	struct cmos *c = opaque;

	pthread_mutex_lock(&c->lock);
	look(c);
	update(c);
	pthread_mutex_unlock(&c->lock);
}

void cmos_resume(struct cmos *c)
{
	timer_fired(c);
}

/* ---- stop and go ---- */

static void stop_clock(struct cmos *c)
{
	spell(c, shown(c));
}

/* ns of its second have passed already. */
static void start_clock(struct cmos *c, int64_t ns)
{
	c->phase = 0;
	c->phase = floor_mod(ns - fraction(c), SECOND);
	c->offset += parse(c) - shown(c);
	c->fell_back = 0;
	isa_count(c->sets, 1);
	forget(c);
}

/*
 * SET leaves the divider running, so the second's fraction goes on; a divider
 * that is let go has half a second to the first update. Also the two formats
 * may change while it runs: the time is the same, spelled otherwise.
 */
static void write_control(struct cmos *c, uint32_t reg, uint8_t value)
{
	bool before = running(c), held = (c->ram[R_A] & A_DIVIDER) != A_RUNNING;

	look(c);
	if (before)
		stop_clock(c);
	/* Setting SET clears UIE. */
	if (reg == R_B && value & B_SET)
		value &= (uint8_t)~B_UIE;
	c->ram[reg] = reg == R_A ? value & (uint8_t)~A_UIP : value;
	if (running(c) && !before)
		start_clock(c, held ? SECOND / 2 : fraction(c));
	update(c);
}

static bool is_time(uint32_t reg)
{
	return reg == R_CENTURY || (reg <= R_YEAR && (reg > R_HOURS_ALARM || !(reg & 1)));
}

/* A byte of a running clock changes in place. */
static void write_time(struct cmos *c, uint32_t reg, uint8_t value)
{
	int64_t ns = fraction(c);

	if (!running(c)) {
		c->ram[reg] = value;
		return;
	}
	look(c);
	spell(c, shown(c));
	c->ram[reg] = value;
	start_clock(c, ns);
	update(c);
}

/* ---- registers ---- */

static uint8_t read_a(const struct cmos *c)
{
	bool uip = running(c) && fraction(c) >= SECOND - UIP_NS;

	return c->ram[R_A] | (uip ? A_UIP : 0);
}

static uint8_t read_c(struct cmos *c)
{
	uint8_t value;

	look(c);
	update(c);
	value = c->ram[R_C];
	c->ram[R_C] = 0;
	update(c);
	return value;
}

static uint8_t read_register(struct cmos *c, uint32_t reg)
{
	if (reg == R_A)
		return read_a(c);
	if (reg == R_C)
		return read_c(c);
	if (reg == R_D)
		return D_VALID;
	if (is_time(reg) && running(c)) {
		look(c);
		spell(c, shown(c));
	}
	return c->ram[reg];
}

static void write_register(struct cmos *c, uint32_t reg, uint8_t value)
{
	if (is_time(reg)) {
		write_time(c, reg, value);
	} else if (reg == R_A || reg == R_B) {
		write_control(c, reg, value);
	} else if (reg <= R_HOURS_ALARM) {
		look(c);
		c->ram[reg] = value;
		update(c);
	} else if (reg != R_C && reg != R_D) {
		c->ram[reg] = value;
	}
}

/* ---- ports ---- */

static uint32_t selected(const struct cmos *c, uint32_t bank)
{
	return (c->index[bank] & 0x7fu) + bank * 128;
}

static void write_index(struct cmos *c, uint32_t bank, uint8_t value)
{
	uint8_t changed = c->index[bank] ^ value;

	c->index[bank] = value;
	if (!bank && changed & NMI_MASK && c->config.nmi_mask)
		c->config.nmi_mask(c->config.opaque, !!(value & NMI_MASK));
}

/* The index cannot be read. */
static uint8_t port_read(void *opaque, uint32_t offset)
{
	struct cmos *c = opaque;
	uint8_t value;

	if (!(offset & 1))
		return 0xff;
	__atomic_fetch_add(c->reads, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&c->lock);
	value = read_register(c, selected(c, offset >> 1 & 1));
	pthread_mutex_unlock(&c->lock);
	return value;
}

static void port_write(void *opaque, uint32_t offset, uint8_t value)
{
	struct cmos *c = opaque;
	uint32_t bank = offset >> 1 & 1;

	pthread_mutex_lock(&c->lock);
	if (offset & 1)
		write_register(c, selected(c, bank), value);
	else
		write_index(c, bank, value);
	pthread_mutex_unlock(&c->lock);
}

static uint64_t io_read(void *opaque, uint64_t offset, uint32_t width)
{
	return isa_read(port_read, opaque, offset, width);
}

static void io_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	isa_write(port_write, opaque, offset, width, value);
}

const struct gamut_io_ops cmos_io_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = io_read,
	.write = io_write,
};

/* ---- what firmware is told ---- */

/* In units of 1 << shift bytes, n bytes long, at most all ones. */
static void put_size(struct cmos *c, uint32_t at, uint32_t n, uint64_t bytes, uint32_t shift)
{
	uint64_t value = bytes >> shift, most = (1ull << (8 * n)) - 1;

	if (value > most)
		value = most;
	for (uint32_t i = 0; i < n; i++)
		c->ram[at + i] = (uint8_t)(value >> (8 * i));
}

static uint64_t beyond(uint64_t bytes, uint64_t from)
{
	return bytes > from ? bytes - from : 0;
}

static void put_memory(struct cmos *c)
{
	uint64_t low = c->config.ram_below_4g;

	put_size(c, 0x15, 2, low < (640u << 10) ? low : 640u << 10, 10);
	put_size(c, 0x17, 2, beyond(low, 1u << 20), 10);
	put_size(c, 0x30, 2, beyond(low, 1u << 20), 10);
	put_size(c, 0x34, 2, beyond(low, 16u << 20), 16);
	put_size(c, 0x5b, 3, c->config.ram_above_4g, 16);
}

/* The AT's: big-endian sum of 0x10 to 0x2d. */
static void put_checksum(struct cmos *c)
{
	uint32_t sum = 0;

	for (uint32_t i = 0x10; i <= 0x2d; i++)
		sum += c->ram[i];
	c->ram[0x2e] = (uint8_t)(sum >> 8);
	c->ram[0x2f] = (uint8_t)sum;
}

/*
 * SeaBIOS's bytes (src/hw/rtc.h of its sources): 0x38 and 0x3d are the boot
 * order, whose bit 0 of 0x38 lets a floppy without a signature boot; 0x5f is
 * the number of processors less one.
 */
static void put_configuration(struct cmos *c)
{
	c->ram[0x0f] = 0; /* shutdown status: after power on */
	c->ram[0x10] = 0; /* no floppy drives */
	c->ram[0x12] = 0; /* disks are found by other means */
	c->ram[0x14] = (uint8_t)(0x02 | (c->config.no_mouse ? 0 : 0x04)); /* coprocessor, mouse; EGA or better */
	put_memory(c);
	c->ram[0x38] = (uint8_t)(c->config.boot[2] << 4 | 1);
	c->ram[0x3d] = (uint8_t)(c->config.boot[1] << 4 | (c->config.boot[0] & 15));
	c->ram[0x5f] = (uint8_t)(c->config.cpus > 256 ? 255 : c->config.cpus ? c->config.cpus - 1 : 0);
	put_checksum(c);
}

/* ---- life ---- */

/* Local time as it is now: when the law changes it, the guest's clock does not jump. */
static int64_t zone_offset(int64_t now)
{
	time_t seconds = (time_t)floor_div(now, SECOND);
	struct tm local;

	return localtime_r(&seconds, &local) ? (int64_t)local.tm_gmtoff : 0;
}

int cmos_init(struct cmos *c, const struct gamut_host *host, struct gamut_inst *inst,
              const struct cmos_config *config)
{
	memset(c, 0, sizeof(*c));
	c->host = host;
	c->inst = inst;
	c->config = *config;
	pthread_mutex_init(&c->lock, NULL);
	c->periodic = host->timer_create(inst, timer_fired, c);
	c->update = host->timer_create(inst, timer_fired, c);
	if (!c->periodic || !c->update) {
		cmos_finish(c);
		return -ENOMEM;
	}
	c->interrupts = host->counter(inst, "rtc-interrupts");
	c->sets = host->counter(inst, "rtc-sets");
	c->reads = host->sign(inst, GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_V, "CMOS");
	c->ram[R_A] = A_RUNNING | 6;
	c->ram[R_B] = B_24;
	if (config->local)
		c->offset = zone_offset(wall(c));
	cmos_reset(c);
	return 0;
}

int cmos_register(struct cmos *c, const struct gamut_irq_lines_ops *lines, void *lines_self)
{
	c->line = (struct isa_line){ .ops = lines, .self = lines_self, .number = LINE };
	return c->host->pio_register(c->inst, CMOS_INDEX, CMOS_PORTS, &cmos_io_ops, c);
}

/* The reset pin clears the enables and the flags, and nothing else. */
void cmos_reset(struct cmos *c)
{
	pthread_mutex_lock(&c->lock);
	c->ram[R_B] &= (uint8_t)~(B_PIE | B_AIE | B_UIE | B_SQWE);
	c->ram[R_C] = 0;
	c->index[0] = c->index[1] = 0;
	put_configuration(c);
	forget(c);
	update(c);
	pthread_mutex_unlock(&c->lock);
}

void cmos_finish(struct cmos *c)
{
	if (!c->host)
		return;
	if (c->periodic)
		c->host->timer_destroy(c->inst, c->periodic);
	if (c->update)
		c->host->timer_destroy(c->inst, c->update);
	pthread_mutex_destroy(&c->lock);
	c->host = NULL;
}
