/* SPDX-License-Identifier: MIT */
/*
 * One file that holds everything: it is mailed, archived, opened where there is
 * no network. Style and charts are in it, nothing is fetched (the policy in its
 * head forbids it), and without the script that sorts tables nothing is
 * missing. Every text that comes from the results goes through figure_html.
 */
#include "html.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "figures.h"
#include "html-internal.h"
#include "missing.h"

static void put_json(FILE *out, const json_t *value)
{
	char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

	figure_html(json_is_string(value) ? json_string_value(value) : text ? text : "?", out);
	free(text);
}

/* ---- the head -------------------------------------------------------------------------------- */

static void put_fact(FILE *out, const char *name, const json_t *value)
{
	if (!value || json_is_null(value))
		return;
	fprintf(out, "<div><dt>%s</dt><dd>", name);
	put_json(out, value);
	fputs("</dd></div>", out);
}

static void put_nav(FILE *out, const struct cells *c)
{
	fputs("<nav><a href=\"#wisdom\">Folk wisdom</a>", out);
	for (size_t w = 0; w < c->n_workloads; w++) {
		fprintf(out, "<a href=\"#w%zu\">", w);
		figure_html(c->workloads[w], out);
		fputs("</a>", out);
	}
	fputs("<a href=\"#missing\">Without figures</a><a href=\"#definitions\">Definitions</a><a href=\"#host\">Host and "
	      "options</a></nav>", out);
}

static void put_header(FILE *out, const struct cells *c)
{
	const json_t *host = json_object_get(c->results, "host"), *plan = json_object_get(c->results, "plan");
	size_t run = 0, figures = 0;

	for (size_t row = 0; row < c->n_rows; row++)
		run += !c->rows[row].left_out;
	for (size_t i = 0; i < c->n_columns; i++)
		figures += !c->columns[i].twin;
	fputs("<header><div><h1>Gamut benchmark matrix</h1><p class=\"soft\">", out);
	fprintf(out, "%zu of %zu rows, %zu workload%s, %zu figures. Started ", run, c->n_rows, c->n_workloads,
	        c->n_workloads == 1 ? "" : "s", figures);
	figure_html(cells_text(c->results, "started"), out);
	if (*cells_text(c->results, "finished")) {
		fputs(", finished ", out);
		figure_html(cells_text(c->results, "finished"), out);
		fputs(".</p><dl class=\"facts\">", out);
	} else {
		fputs(". <strong>Not finished</strong>: rounds may be missing.</p><dl class=\"facts\">", out);
	}
	put_fact(out, "processor", json_object_get(host, "cpu"));
	put_fact(out, "processors", json_object_get(host, "cores"));
	put_fact(out, "memory, MiB", json_object_get(host, "memory_mib"));
	put_fact(out, "kernel", json_object_get(host, "kernel"));
	put_fact(out, "under hypervisor", json_object_get(host, "hypervisor"));
	put_fact(out, "rounds", json_object_get(plan, "repetitions"));
	put_fact(out, "guest memory, MiB", json_object_get(plan, "memory_mib"));
	put_fact(out, "guest processors", json_object_get(plan, "vcpus"));
	put_fact(out, "Gamut", json_object_get(c->results, "version"));
	fputs("</dl>", out);
	put_nav(out, c);
	fputs("</div></header>\n<main>\n", out);
}

/* ---- sections --------------------------------------------------------------------------------- */

/* The first line is the sum, the others make a list. */
static void put_lines(FILE *out, const char *text)
{
	for (bool first = true; *text; first = false) {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);

		fputs(first ? "<p>" : "<li>", out);
		figure_html(line ? line : "?", out);
		fputs(first ? "</p><ul>" : "</li>", out);
		free(line);
		text += len + (text[len] == '\n');
	}
	fputs("</ul>", out);
}

static void put_claim(void *ctx, const struct claim_result *result)
{
	FILE *out = ctx;

	fprintf(out, "<article class=\"claim\"><span class=\"badge v%d\">%s</span><h3>", (int)result->verdict,
	        claim_verdict_name(result->verdict));
	figure_html(result->title, out);
	fputs("</h3>", out);
	put_lines(out, result->text);
	fputs("</article>\n", out);
}

static int put_wisdom(FILE *out, const struct cells *c)
{
	int rc;

	fputs("<section id=\"wisdom\"><h2>Folk wisdom, measured here</h2><p class=\"soft\">What is commonly said of the modes, "
	      "held against the figures of this run and nothing else.</p><div class=\"claims\">\n", out);
	rc = claims_judge(c, put_claim, out);
	fputs("</div></section>\n", out);
	return rc;
}

static int put_workload(FILE *out, const struct cells *c, size_t workload)
{
	int rc;

	fprintf(out, "<section id=\"w%zu\"><h2>", workload);
	figure_html(c->workloads[workload], out);
	fputs("</h2><div class=\"legend\"><span><i style=\"background:var(--v)\"></i>V, emulated</span>"
	      "<span><i style=\"background:var(--vh)\"></i>VH, by hardware or translator</span>"
	      "<span><i style=\"background:var(--p)\"></i>P, paravirtual</span>"
	      "<span>★ best, and what does not differ from it beyond noise; × to the best; ↓ less, ↑ more is better</span></div>\n",
	      out);
	html_table(out, c, workload);
	rc = html_accounts(out, c, workload);
	fputs("<h3>Figure by figure</h3><div class=\"legend\"><span><i style=\"background:var(--best)\"></i>best, beyond "
	      "noise</span><span><i style=\"background:var(--bar)\"></i>other rows</span><span><i class=\"pq\"></i>other programs, "
	      "imported</span><span>● a sample</span><span>├┤ confidence interval of the median</span></div>\n", out);
	html_charts(out, c, workload);
	fputs("</section>\n", out);
	return rc;
}

static void put_missing_item(FILE *out, const struct missing *m)
{
	fprintf(out, "<tr><td>%s</td><td>", missing_kind_name(m->kind));
	figure_html(m->rows, out);
	fputs("</td><td>", out);
	figure_html(m->workload, out);
	fputs("</td><td>", out);
	figure_html(m->what, out);
	if (m->runs && (m->runs < m->of || m->kind != MISSING_VALUE))
		fprintf(out, "%s%zu of %zu runs", *m->what ? ", " : "", m->runs, m->of);
	fputs("</td><td>", out);
	figure_html(m->why, out);
	fputs("</td></tr>\n", out);
}

static int put_missing(FILE *out, const struct cells *c)
{
	struct missing *list = NULL;
	size_t n = 0;

	if (missing_list(c, &list, &n))
		return -1;
	fputs("<section id=\"missing\"><h2>Without figures</h2>", out);
	if (n)
		fputs("<div class=\"scroll list\"><table><thead><tr><th></th><th>row</th><th>workload</th><th>what</th><th>why</th>"
		      "</tr></thead><tbody>\n", out);
	for (size_t i = 0; i < n; i++)
		put_missing_item(out, &list[i]);
	fputs(n ? "</tbody></table></div>" : "<p>Nothing was left out, failed or skipped.</p>", out);
	fputs("</section>\n", out);
	missing_free(list, n);
	return 0;
}

/* ---- host, options, commands --------------------------------------------------------------------- */

static void put_members(FILE *out, const char *title, const json_t *object)
{
	const char *key;
	json_t *value;

	if (!json_object_size(object))
		return;
	fprintf(out, "<h3>%s</h3><dl class=\"def\">", title);
	json_object_foreach((json_t *)object, key, value) {
		fputs("<dt>", out);
		figure_html(key, out);
		fputs("</dt><dd>", out);
		put_json(out, value);
		fputs("</dd>", out);
	}
	fputs("</dl>\n", out);
}

/* How the host was while the row's runs went: medians. */
static void put_noise(FILE *out, const struct cells *c)
{
	fputs("<h3>Noise</h3><p class=\"soft\">Of the host while runs went, as medians: its load before, what a fixed loop took, "
	      "what its processors were stolen of by a hypervisor below.</p><div class=\"scroll\"><table><thead><tr><th>row</th>"
	      "<th>workload</th><th>rounds</th><th>load</th><th>fixed loop</th><th>stolen</th></tr></thead><tbody>\n", out);
	for (size_t row = 0; row < c->n_rows; row++) {
		for (size_t w = 0; w < c->n_workloads; w++) {
			const struct attempt *a = cells_attempt(c, row, w);
			char load[FIGURE], spin[FIGURE], steal[FIGURE];

			if (!a->n)
				continue;
			fputs("<tr><th>", out);
			figure_html(c->rows[row].id, out);
			fputs("</th><td>", out);
			figure_html(c->workloads[w], out);
			fprintf(out, "</td><td>%zu</td><td>%s</td><td>%s</td><td>%s</td></tr>\n", a->n,
			        figure_text(a->account.load, load), figure_time(a->account.spin_ns, spin),
			        figure_time(a->account.steal_ns, steal));
		}
	}
	fputs("</tbody></table></div>\n", out);
}

static void put_lines_as_they_are(FILE *out, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);

		figure_html(line ? line : "?", out);
		fputc('\n', out);
		free(line);
		text += len + (text[len] == '\n');
	}
}

static void put_command(FILE *out, const struct cells_row *row)
{
	const json_t *command = json_object_get(row->json, "command");
	const char *domain = cells_text(row->json, "domain");

	if (!json_array_size(command) && !*domain)
		return;
	fputs("<tr><td>", out);
	figure_html(row->id, out);
	fputs("</td><td><code>", out);
	for (size_t i = 0; i < json_array_size(command); i++) {
		fputs(i ? " " : "", out);
		put_json(out, json_array_get(command, i));
	}
	fputs("</code>", out);
	if (*domain) {
		fputs("<details><summary>its domain file</summary><pre>", out);
		put_lines_as_they_are(out, domain);
		fputs("</pre></details>", out);
	}
	fputs("</td></tr>\n", out);
}

static void put_workload_files(FILE *out, const struct cells *c)
{
	const json_t *workloads = json_object_get(c->results, "workloads");

	for (size_t i = 0; i < json_array_size(workloads); i++) {
		const json_t *workload = json_array_get(workloads, i);

		fputs("<tr><td>", out);
		figure_html(cells_text(workload, "id"), out);
		fputs("</td><td>kernel <code>", out);
		figure_html(cells_text(workload, "kernel"), out);
		fputs("</code>, ramdisk <code>", out);
		figure_html(cells_text(workload, "ramdisk"), out);
		fputs("</code>, command line <code>", out);
		figure_html(cells_text(workload, "cmdline"), out);
		fputs("</code></td></tr>\n", out);
	}
}

static void put_host(FILE *out, const struct cells *c)
{
	fputs("<section id=\"host\"><h2>Host and options</h2>", out);
	put_members(out, "Host", json_object_get(c->results, "host"));
	put_members(out, "Options", json_object_get(c->results, "plan"));
	put_members(out, "Versions", json_object_get(c->results, "versions"));
	fputs("<h3>Commands and guests</h3><div class=\"scroll list\"><table><tbody>\n", out);
	for (size_t row = 0; row < c->n_rows; row++)
		put_command(out, &c->rows[row]);
	put_workload_files(out, c);
	fputs("</tbody></table></div>\n", out);
	put_noise(out, c);
	fputs("</section>\n", out);
}

/* ---- all of it -------------------------------------------------------------------------------------- */

static int put_page(FILE *out, const struct cells *c)
{
	int rc;

	fprintf(out,
	        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
	        "script-src 'unsafe-inline'\">"
	        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	        "<title>Gamut benchmark matrix</title><style>%s</style></head><body>\n",
	        html_style);
	put_header(out, c);
	rc = put_wisdom(out, c);
	for (size_t w = 0; w < c->n_workloads && !rc; w++)
		rc = put_workload(out, c, w);
	rc = rc ? rc : put_missing(out, c);
	fprintf(out, "<section id=\"definitions\"><h2>Definitions</h2>%s</section>\n", html_definitions);
	put_host(out, c);
	fprintf(out, "</main><footer>Made by <code>gamut matrix</code>. Every sample is in the results file and its CSV.</footer>"
	             "<script>%s</script></body></html>\n", html_script);
	return rc;
}

int bench_html(const json_t *results, FILE *out)
{
	struct cells cells;
	char err[128];
	int rc = cells_init(&cells, results, err, sizeof(err));

	if (rc)
		return rc;
	rc = put_page(out, &cells);
	cells_finish(&cells);
	return fflush(out) || ferror(out) ? -1 : rc;
}
