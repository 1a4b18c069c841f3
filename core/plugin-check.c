/* SPDX-License-Identifier: MIT */
/*
 * `gamut plugin check`: everything that is wrong with a plugin file, for its
 * author. The loader stops at the first problem; this looks at the ELF file
 * itself as well, because the dynamic linker names only the first undefined
 * symbol and never complains of symbols exported by mistake.
 */
#include "plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "option.h"

#define MAX_NEEDED 64

struct object {
	const char *path;
	struct diag *diag;
	Elf *elf;
	Elf_Scn *dynsym, *dynamic;
	GElf_Shdr dynsym_hdr, dynamic_hdr;
	void *needed[MAX_NEEDED]; /* libraries it names, opened */
	size_t n_needed;
	size_t before;        /* errors in diag when it began */
	uint64_t symbol_size; /* of gamut_plugin; 0: not exported */
};

/* Made by every linker; nobody exports them on purpose. */
static bool is_linkers_own(const char *name)
{
	static const char *const names[] = {"_init", "_fini", "_edata", "_end", "__bss_start"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int find_sections(struct object *o)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr hdr;

	while ((scn = elf_nextscn(o->elf, scn)) != NULL) {
		if (!gelf_getshdr(scn, &hdr))
			continue;
		if (hdr.sh_type == SHT_DYNSYM) {
			o->dynsym = scn;
			o->dynsym_hdr = hdr;
		} else if (hdr.sh_type == SHT_DYNAMIC) {
			o->dynamic = scn;
			o->dynamic_hdr = hdr;
		}
	}
	return o->dynsym && o->dynamic ? 0 : -1;
}

static int check_kind(struct object *o)
{
	GElf_Ehdr hdr;

	if (elf_kind(o->elf) != ELF_K_ELF || !gelf_getehdr(o->elf, &hdr))
		return diag_error(o->diag, o->path, 0, "is no ELF file; a plugin is a shared object");
	if (hdr.e_type != ET_DYN || hdr.e_machine != EM_X86_64 || hdr.e_ident[EI_CLASS] != ELFCLASS64)
		return diag_error(o->diag, o->path, 0,
		                  "is no shared object for 64-bit x86; link it with -shared");
	if (find_sections(o))
		return diag_error(o->diag, o->path, 0, "has no dynamic symbols; link it with -shared");
	return 0;
}

static void open_needed(struct object *o)
{
	Elf_Data *data = elf_getdata(o->dynamic, NULL);
	GElf_Dyn dyn;

	for (int i = 0; data && gelf_getdyn(data, i, &dyn) && dyn.d_tag != DT_NULL; i++) {
		const char *name;

		if (dyn.d_tag != DT_NEEDED)
			continue;
		name = elf_strptr(o->elf, o->dynamic_hdr.sh_link, dyn.d_un.d_val);
		if (!name || o->n_needed == MAX_NEEDED)
			continue;
		o->needed[o->n_needed] = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
		if (o->needed[o->n_needed])
			o->n_needed++;
		else
			diag_error(o->diag, o->path, 0, "the library %s, which it needs, is not there", name);
	}
}

static bool satisfied(const struct object *o, const char *name)
{
	if (dlsym(RTLD_DEFAULT, name))
		return true;
	for (size_t i = 0; i < o->n_needed; i++)
		if (dlsym(o->needed[i], name))
			return true;
	return false;
}

static void check_symbol(struct object *o, const GElf_Sym *sym, const char *name)
{
	unsigned bind = GELF_ST_BIND(sym->st_info), visibility = GELF_ST_VISIBILITY(sym->st_other);

	if (!*name || bind == STB_LOCAL)
		return;
	if (sym->st_shndx == SHN_UNDEF) {
		if (bind != STB_WEAK && !satisfied(o, name))
			diag_error(o->diag, o->path, 0,
			           "undefined symbol %s: a plugin links nothing of the core; use the host "
			           "table, "
			           "or link the library that has it",
			           name);
	} else if (strcmp(name, GAMUT_PLUGIN_SYMBOL) == 0) {
		o->symbol_size = sym->st_size;
	} else if (visibility != STV_HIDDEN && visibility != STV_INTERNAL && sym->st_shndx != SHN_ABS &&
	           !is_linkers_own(name)) {
		diag_error(
		        o->diag, o->path, 0,
		        "exports %s; only %s may be seen: build with -fvisibility=hidden and an export map",
		        name, GAMUT_PLUGIN_SYMBOL);
	}
}

static void check_symbols(struct object *o)
{
	Elf_Data *data = elf_getdata(o->dynsym, NULL);
	GElf_Sym sym;

	for (int i = 1; data && gelf_getsym(data, i, &sym); i++) {
		const char *name = elf_strptr(o->elf, o->dynsym_hdr.sh_link, sym.st_name);

		if (name)
			check_symbol(o, &sym, name);
	}
	if (o->symbol_size == 0)
		diag_error(o->diag, o->path, 0, "exports no symbol %s; mark it GAMUT_EXPORT",
		           GAMUT_PLUGIN_SYMBOL);
}

static int check_elf(const char *path, int fd, struct object *o)
{
	int rc;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return diag_error(o->diag, path, 0, "libelf is too old");
	o->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!o->elf)
		return diag_error(o->diag, path, 0, "cannot be read as ELF: %s", elf_errmsg(-1));
	rc = check_kind(o);
	if (rc == 0) {
		open_needed(o);
		check_symbols(o);
	}
	for (size_t i = 0; i < o->n_needed; i++)
		dlclose(o->needed[i]);
	elf_end(o->elf);
	return rc;
}

/* The name inside should be the file's own; links to it may have others. */
static void check_name(const struct gamut_plugin *symbol, const char *path, struct diag *diag)
{
	char *real = realpath(path, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;
	size_t len = strlen(symbol->name);

	if (slash && (strncmp(slash + 1, symbol->name, len) != 0 || strcmp(slash + 1 + len, ".so") != 0))
		diag_error(diag, path, 0, "its name is \"%s\", so the file should be called %s.so",
		           symbol->name, symbol->name);
	free(real);
}

/* An option that no domain file can give: no fault to refuse the plugin for, but nothing that its author wants. */
static void check_reserved(const struct object *o)
{
	char err[8];
	struct plugin *p = plugin_open(o->path, err, sizeof(err));

	for (size_t i = 0; p && i < p->n_descriptors; i++) {
		const struct gamut_descriptor *d = &p->descriptors[i].d;
		const char *const *word = option_reserved(d->axis);

		for (; word && *word; word++)
			for (uint32_t j = 0; j < d->n_options; j++)
				if (strcmp(d->options[j].name, *word) == 0)
					diag_error(o->diag, o->path, 0,
					           "%s: option \"%s\" cannot be given: in a domain file that key of a %s is the core's",
					           d->choice, *word, axis_name(d->axis));
	}
	if (p)
		plugin_close(p);
}

static void check_loaded(const struct object *o)
{
	char *path;
	void *handle;
	const struct gamut_plugin *symbol;

	if (asprintf(&path, "%s%s", strchr(o->path, '/') ? "" : "./", o->path) < 0) {
		diag_error(o->diag, o->path, 0, "out of memory");
		return;
	}
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	free(path);
	if (!handle) {
		/* With a problem named already, this is most likely the same once more. */
		if (o->diag->n_errors == o->before)
			diag_error(o->diag, o->path, 0, "cannot be loaded: %s", dlerror());
		return;
	}
	symbol = dlsym(handle, GAMUT_PLUGIN_SYMBOL);
	if (symbol && o->symbol_size >= 4 * sizeof(uint32_t) && symbol->size > o->symbol_size)
		diag_error(o->diag, o->path, 0, "%s is %llu bytes long, and says it has %u",
		           GAMUT_PLUGIN_SYMBOL, (unsigned long long)o->symbol_size, symbol->size);
	else if (symbol && plugin_validate(symbol, o->path, false, o->diag) == 0) {
		check_name(symbol, o->path, o->diag);
		check_reserved(o);
	}
	dlclose(handle);
}

int plugin_check(const char *path, struct diag *diag)
{
	struct object o = {.path = path, .diag = diag, .before = diag->n_errors};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return diag_error(diag, path, 0, "%s", strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		diag_error(diag, path, 0, "is no regular file");
	else if (check_elf(path, fd, &o) == 0 && o.symbol_size)
		check_loaded(&o);
	close(fd);
	return diag->n_errors == o.before ? 0 : -1;
}
