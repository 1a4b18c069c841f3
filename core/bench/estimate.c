/* SPDX-License-Identifier: MIT */
/*
 * Samples are medians of whole runs, two to ten of them, from a machine that
 * does other things as well. They are not normal: most lie close together,
 * some are far out on the slow side, and how far depends on what was measured:
 * a system call repeats to half a per cent, a disk to a fifth.
 *
 * One lot. Middle and spread are the median and the median absolute deviation.
 * The interval of the median is distribution-free: the k-th smallest and the
 * k-th largest of n samples enclose the median unless fewer than k of them
 * fell on one side of it, which is so with a chance of 2 P(B < k), B binomial
 * (n, 1/2). The narrowest that reaches 95 % is taken. Up to five samples have
 * none: then it is their range, and `level` says what that is worth, 94 % for
 * five and 50 % for two.
 *
 * Two lots. A rank test would be the distribution-free way, and it is of no
 * use here: of two lots of three it can never say less than p = 0.1, of two
 * lots of five p = 0.008, and among hundreds of cells that is nothing. What
 * few samples of one cell do not know, how much such figures scatter, the
 * other cells do. So, on logarithms, for a slow-down is a factor:
 *
 *  - The difference of the medians, whose standard error follows from the
 *    scatter about them, distances being cut at three times the usual: a run
 *    that was disturbed counts as one far out, however far.
 *  - The scatter is drawn towards that of all pairs, the more the more alike
 *    they are (the moderated t of Smyth 2004, as known for thousands of genes
 *    with three samples each). The weight is found from how the scatters
 *    scatter; it is at most that of ten samples.
 *  - What is tested is not "equal", which no two things are, but "apart by no
 *    more than the tolerance" (McCarthy and Smyth 2009): a floor, and what the
 *    host itself was seen to have drifted by.
 *  - Three of four pairs of samples must be in that order as well. It takes
 *    care of lots with two humps, whose median says little.
 *  - All pairs are judged together (Benjamini and Hochberg 1995): of what is
 *    called a difference, one in twenty is expected not to be one, and where
 *    nothing differs, one report in twenty says that anything does.
 *
 * The unit test holds it to that, with samples of known kinds.
 */
#include "estimate.h"

#include <math.h>
#include <stdlib.h>

#define CONFIDENCE   0.95
#define FALSE_RATE   0.05 /* of what is called a difference */
#define CUT          3.0  /* times the usual scatter: where distances are cut */
#define NORMAL_MAD   1.4826 /* makes a standard deviation of a MAD */
#define LEAST_SPREAD 1e-3 /* no figure repeats better than to a thousandth, though few samples may */
#define MOST_WEIGHT  10.0 /* of the other pairs' scatter, in samples */
#define ENOUGH_PAIRS 8    /* from here on their scatters say how scatters scatter */
#define SUPERIORITY  0.75

/* ---- one lot ------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sort(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_size);
}

/* Of sorted values, between two where it falls between them. */
static double quantile(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;
	double rest = at - (double)i;

	/* Not a + (b - a) r: that overflows. */
	return i + 1 < n ? sorted[i] * (1 - rest) + sorted[i + 1] * rest : sorted[n - 1];
}

/* The median distance from `middle`, without another array: of sorted values the nearest k lie together. */
static double mad_of(const double *sorted, size_t n, double middle)
{
	size_t from = 0, left = n;

	/* Takes the farther end off until half, and then one, or the mean of the last two, is on the edge. */
	while (left > n / 2 + 1) {
		if (middle - sorted[from] > sorted[from + left - 1] - middle)
			from++;
		left--;
	}
	double low = middle - sorted[from], high = sorted[from + left - 1] - middle, edge = fmax(low, high);

	if (n % 2)
		return edge;
	from += low > high;
	left--;
	return left ? (edge + fmax(middle - sorted[from], sorted[from + left - 1] - middle)) / 2 : edge;
}

/* P(B < k), B binomial (n, 1/2). */
static double fewer_than(size_t k, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < k; i++)
		sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) -
		           (double)n * M_LN2);
	return sum;
}

static void interval(const double *sorted, size_t n, struct bench_estimate *e)
{
	size_t k = 1;

	while (k + 1 <= n / 2 && 1 - 2 * fewer_than(k + 1, n) >= CONFIDENCE)
		k++;
	e->low = sorted[k - 1];
	e->high = sorted[n - k];
	e->level = n > 1 ? 1 - 2 * fewer_than(k, n) : 0;
}

void bench_estimate(double *samples, size_t n, struct bench_estimate *e)
{
	*e = (struct bench_estimate){ .n = n };
	if (!n)
		return;
	sort(samples, n);
	e->min = samples[0];
	e->p25 = quantile(samples, n, 0.25);
	e->median = quantile(samples, n, 0.5);
	e->p75 = quantile(samples, n, 0.75);
	e->max = samples[n - 1];
	e->mad = mad_of(samples, n, e->median);
	interval(samples, n, e);
}

/* ---- functions that the C library has not --------------------------------------------- */

static double digamma(double x)
{
	double sum = 0, y;

	for (; x < 8; x++)
		sum -= 1 / x;
	y = 1 / (x * x);
	return sum + log(x) - 0.5 / x - y * (1.0 / 12 - y * (1.0 / 120 - y / 252));
}

static double trigamma(double x)
{
	double sum = 0, y;

	for (; x < 8; x++)
		sum += 1 / (x * x);
	y = 1 / (x * x);
	return sum + 1 / x + y / 2 + y / x * (1.0 / 6 - y * (1.0 / 30 - y / 42));
}

/* trigamma falls: halving finds where it is y. */
static double trigamma_inverse(double y)
{
	double low = 1e-3, high = 1e6;

	for (int i = 0; i < 100; i++) {
		double middle = sqrt(low * high);

		if (trigamma(middle) > y)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The continued fraction of the incomplete beta function (Lentz). */
static double beta_fraction(double a, double b, double x)
{
	double c = 1, d = 1 - (a + b) * x / (a + 1), f;

	d = 1 / (fabs(d) < 1e-30 ? 1e-30 : d);
	f = d;
	for (int m = 1; m < 300; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));

		d = 1 / (1 + even * d);
		c = 1 + even / c;
		f *= d * c;
		d = 1 / (1 + odd * d);
		c = 1 + odd / c;
		f *= d * c;
		if (fabs(d * c - 1) < 1e-12)
			break;
	}
	return f;
}

static double incomplete_beta(double a, double b, double x)
{
	double front;

	if (x <= 0 || x >= 1)
		return x > 0;
	front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(a, b, x) / a;
	return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* P(T > t) of Student's t with df degrees of freedom. */
static double t_above(double t, double df)
{
	double half = incomplete_beta(df / 2, 0.5, df / (df + t * t)) / 2;

	return t > 0 ? half : 1 - half;
}

static double t_quantile(double above, double df)
{
	double low = 0, high = 1e6;

	for (int i = 0; i < 80; i++) {
		double middle = (low + high) / 2;

		if (t_above(middle, df) > above)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* ---- the scatter of pairs ------------------------------------------------------------------ */

/* A pair while it is judged; all in logarithms. */
struct lot_pair {
	double difference;          /* of the medians */
	double *distances;          /* from their medians, without sign, of both lots */
	size_t n;
	double usual, variance, df; /* usual: by the MAD */
};

static double median_of(double *values, size_t n)
{
	sort(values, n);
	return quantile(values, n, 0.5);
}

/* The median of the logarithms; `distances` gets how far each is from it. */
static double take_logs(const double *samples, size_t n, double *distances)
{
	double middle;

	for (size_t i = 0; i < n; i++)
		distances[i] = log(samples[i]);
	middle = median_of(distances, n);
	for (size_t i = 0; i < n; i++)
		distances[i] = fabs(distances[i] - middle);
	return middle;
}

static int lots_init(struct lot_pair *l, const struct bench_pair *p)
{
	size_t odd = p->n_a % 2 + p->n_b % 2;
	double a;

	l->n = p->n_a + p->n_b;
	l->distances = calloc(l->n, sizeof(*l->distances));
	if (!l->distances)
		return -1;
	a = take_logs(p->a, p->n_a, l->distances);
	l->difference = take_logs(p->b, p->n_b, l->distances + p->n_a) - a;
	sort(l->distances, l->n);
	/* An odd lot's median is a sample, whose distance of nothing says nothing. */
	l->usual = NORMAL_MAD * quantile(l->distances + odd, l->n - odd, 0.5);
	l->df = (double)l->n - 2;
	return 0;
}

/* The variance, of distances that are cut. */
static void scatter(struct lot_pair *l, double usual_of_all)
{
	double cut = CUT * fmax(fmax(l->usual, usual_of_all), LEAST_SPREAD), sum = 0;

	for (size_t i = 0; i < l->n; i++) {
		double d = fmin(l->distances[i], cut);

		sum += d * d;
	}
	l->variance = fmax(sum / l->df, LEAST_SPREAD * LEAST_SPREAD);
}

/* What all pairs say of the scatter of any: a variance, and how many samples that knowledge is worth. */
struct prior {
	double variance, df;
};

static struct prior fit(const struct lot_pair *lots, size_t n)
{
	double mean = 0, square = 0, expected = 0, excess, df;

	if (n < ENOUGH_PAIRS)
		return (struct prior){ .variance = 1, .df = 0 };
	for (size_t i = 0; i < n; i++) {
		double e = log(lots[i].variance) - digamma(lots[i].df / 2) + log(lots[i].df / 2), d = e - mean;

		mean += d / (double)(i + 1);
		square += d * (e - mean);
		expected += trigamma(lots[i].df / 2);
	}
	excess = square / (double)(n - 1) - expected / (double)n;
	df = excess > 0 ? 2 * trigamma_inverse(excess) : MOST_WEIGHT;
	df = fmin(df, MOST_WEIGHT);
	return (struct prior){ .variance = exp(mean + digamma(df / 2) - log(df / 2)), .df = df };
}

/* ---- judging ------------------------------------------------------------------------------- */

/* The variance of the median of n normal samples, in theirs. */
static double of_median(size_t n)
{
	return M_PI / (2 * (double)n + M_PI - 2);
}

static void judge(struct bench_pair *p, const struct lot_pair *l, const struct prior *prior)
{
	double df = l->df + prior->df;
	double variance = (l->df * l->variance + prior->df * prior->variance) / df;
	double error = sqrt(variance * (of_median(p->n_a) + of_median(p->n_b)));
	double within = log1p(p->tolerance), t = t_quantile((1 - CONFIDENCE) / 2, df);

	p->ratio = exp(l->difference);
	p->low = exp(l->difference - t * error);
	p->high = exp(l->difference + t * error);
	p->p = t_above((fabs(l->difference) - within) / error, df) + t_above((fabs(l->difference) + within) / error, df);
	p->p = fmin(p->p, 1);
}

/* Whether enough pairs of samples are in the medians' order. */
static bool apart(const struct bench_pair *p)
{
	double above = 0, all = (double)p->n_a * (double)p->n_b;

	for (size_t i = 0; i < p->n_a; i++)
		for (size_t j = 0; j < p->n_b; j++)
			above += p->b[j] > p->a[i] ? 1 : p->b[j] < p->a[i] ? 0 : 0.5;
	return (p->ratio > 1 ? above : all - above) >= SUPERIORITY * all;
}

/* The largest p that is called a difference, of n in all; below 0: none. */
static double threshold(double *p, size_t n)
{
	sort(p, n);
	for (size_t k = n; k > 0; k--)
		if (p[k - 1] <= FALSE_RATE * (double)k / (double)n)
			return p[k - 1];
	return -1;
}

static enum bench_comparable comparable(const struct bench_pair *p)
{
	if (p->n_a < 2 || p->n_b < 2)
		return BENCH_FEW;
	for (size_t i = 0; i < p->n_a; i++)
		if (p->a[i] <= 0)
			return BENCH_NO_RATIO;
	for (size_t i = 0; i < p->n_b; i++)
		if (p->b[i] <= 0)
			return BENCH_NO_RATIO;
	return BENCH_COMPARED;
}

/* `lots` and `values` are as many as `pairs`. */
static int differ(struct bench_pair **pairs, size_t n, struct lot_pair *lots, double *values)
{
	struct prior prior;
	double usual, limit;

	for (size_t i = 0; i < n; i++) {
		if (lots_init(&lots[i], pairs[i]))
			return -1;
		values[i] = lots[i].usual;
	}
	usual = median_of(values, n);
	for (size_t i = 0; i < n; i++)
		scatter(&lots[i], usual);
	prior = fit(lots, n);
	for (size_t i = 0; i < n; i++) {
		judge(pairs[i], &lots[i], &prior);
		values[i] = pairs[i]->p;
	}
	limit = threshold(values, n);
	for (size_t i = 0; i < n; i++)
		pairs[i]->differs = pairs[i]->p <= limit && apart(pairs[i]);
	return 0;
}

int bench_differ(struct bench_pair *pairs, size_t n)
{
	struct bench_pair **compared = calloc(n + 1, sizeof(*compared));
	struct lot_pair *lots = calloc(n + 1, sizeof(*lots));
	double *values = calloc(n + 1, sizeof(*values));
	int rc = compared && lots && values ? 0 : -1;
	size_t m = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		pairs[i].differs = false;
		pairs[i].comparable = comparable(&pairs[i]);
		if (pairs[i].comparable == BENCH_COMPARED)
			compared[m++] = &pairs[i];
	}
	if (!rc && m)
		rc = differ(compared, m, lots, values);
	for (size_t i = 0; lots && i < m; i++)
		free(lots[i].distances);
	free(values);
	free(lots);
	free(compared);
	return rc;
}
