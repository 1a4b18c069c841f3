/* SPDX-License-Identifier: MIT */
/*
 * Guest virtual memory, through the guest's own page tables and with its
 * rights: 32-bit, PAE, four and five levels, protection keys of user pages
 * (Intel SDM vol. 3, ch. 4). Accessed and dirty bits are set as the processor would, or the guest's kernel might
 * take a page for clean that the host has written.
 *
 * A guest can change its tables while they are walked: every entry is read
 * once, and what it says is checked before it is used.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>

#define CR0_WP (1ull << 16)
#define CR0_PG (1ull << 31)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CR4_PKE (1ull << 22)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)
#define FL_AC (1ull << 18)

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_NX (1ull << 63)
#define PTE_KEY_SHIFT 59
#define PTE_ADDRESS 0x000ffffffffff000ull

struct walk {
	struct engine_vcpu *vcpu;
	struct mem *mem;
	uint64_t cr0, cr3, cr4, efer, rflags;
	bool user, write, fetch;
	/* how the tables look */
	unsigned levels, entry_size, index_bits;
};

static void begin(struct walk *w, struct engine_vcpu *v, unsigned how)
{
	const struct kvm_sregs *s = kvm_sregs(v);

	*w = (struct walk){
		.vcpu = v,
		.mem = v->vm->mem,
		.cr0 = s->cr0,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.efer = s->efer,
		.rflags = kvm_regs(v)->rflags,
		.user = kvm_cpl(v) == 3,
		.write = how & KVM_COPY_WRITE,
		.fetch = how & KVM_COPY_FETCH,
		.entry_size = 8,
		.index_bits = 9,
	};
	if (w->efer & EFER_LMA) {
		w->levels = w->cr4 & CR4_LA57 ? 5 : 4;
	} else if (w->cr4 & CR4_PAE) {
		w->levels = 3;
	} else {
		w->levels = 2;
		w->entry_size = 4;
		w->index_bits = 10;
	}
}

static bool canonical(const struct walk *w, uint64_t va)
{
	unsigned beyond = 64 - (12 + 9 * w->levels);

	if (!(w->efer & EFER_LMA))
		return va >> 32 == 0;
	return (uint64_t)((int64_t)(va << beyond) >> beyond) == va;
}

/* ---- one entry -------------------------------------------------------------------- */

static bool read_entry(const struct walk *w, uint64_t gpa, uint64_t *value)
{
	const void *p = w->mem->base + gpa;

	if (!mem_valid(w->mem, gpa, w->entry_size))
		return false;
	*value = w->entry_size == 8 ? __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED) :
	                              __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
	return true;
}

/* False when the guest has changed it meanwhile: what was found does not hold. */
static bool mark_entry(const struct walk *w, uint64_t gpa, uint64_t seen, uint64_t bits)
{
	void *p = mem_get(w->mem, gpa, w->entry_size);
	uint32_t seen32 = (uint32_t)seen;

	if ((seen & bits) == bits)
		return true;
	/* A table in ROM stays as it is. */
	if (mem_kind(w->mem, gpa) == MEM_ROM)
		return true;
	if (!p)
		return false;
	if (w->entry_size == 8)
		return __atomic_compare_exchange_n((uint64_t *)p, &seen, seen | bits, false, __ATOMIC_SEQ_CST,
		                                   __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint32_t *)p, &seen32, seen32 | (uint32_t)bits, false, __ATOMIC_SEQ_CST,
	                                   __ATOMIC_SEQ_CST);
}

/* PAE's top entries are no more than an address and a present bit. */
static bool is_pdpte(const struct walk *w, unsigned level)
{
	return w->levels == 3 && level == 3;
}

static bool is_leaf(const struct walk *w, unsigned level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_PS) || is_pdpte(w, level) || level > 3)
		return false;
	return w->levels != 2 || (w->cr4 & CR4_PSE);
}

static uint64_t leaf_address(const struct walk *w, unsigned level, uint64_t entry, uint64_t va)
{
	uint64_t size = 1ull << (12 + w->index_bits * (level - 1)), base = entry & PTE_ADDRESS;

	/* 4-MiB pages have bits 32 to 39 of their address in 13 to 20. */
	if (w->levels == 2 && level == 2)
		base = (entry & 0xffc00000u) | (entry >> 13 & 0xff) << 32;
	return (base & ~(size - 1)) | (va & (size - 1));
}

/* ---- rights ------------------------------------------------------------------------- */

/* Of all entries together: rights are the least of them, execution is denied by any. */
static bool allowed(const struct walk *w, uint64_t rights, bool nx)
{
	bool user_page = rights & PTE_U;

	if (w->fetch && (nx || (!w->user && user_page && w->cr4 & CR4_SMEP)))
		return false;
	if (w->user)
		return user_page && (!w->write || rights & PTE_W);
	if (user_page && !w->fetch && w->cr4 & CR4_SMAP && !(w->rflags & FL_AC))
		return false;
	return !w->write || rights & PTE_W || !(w->cr0 & CR0_WP);
}

/* Of user pages' data. PKRU costs a system call, which few copies need: the kernel's own pages have no key. */
static bool key_allows(const struct walk *w, uint64_t rights, uint64_t leaf)
{
	uint32_t denied;

	if (!(w->cr4 & CR4_PKE) || !(w->efer & EFER_LMA) || !(rights & PTE_U) || w->fetch)
		return true;
	denied = kvm_pkru(w->vcpu) >> (leaf >> PTE_KEY_SHIFT & 15) * 2;
	if (denied & 1)
		return false;
	return !w->write || !(denied & 2) || (!w->user && !(w->cr0 & CR0_WP));
}

static uint64_t first_table(const struct walk *w)
{
	return w->levels == 3 ? w->cr3 & 0xffffffe0u : w->cr3 & (w->levels == 2 ? 0xfffff000u : PTE_ADDRESS);
}

/* Guest physical address of va, or UINT64_MAX. */
static uint64_t translate(const struct walk *w, uint64_t va)
{
	uint64_t table = first_table(w), rights = PTE_U | PTE_W;
	bool nx = false;

	for (unsigned level = w->levels;; level--) {
		uint64_t index = va >> (12 + w->index_bits * (level - 1)) & ((1u << w->index_bits) - 1);
		uint64_t gpa = table + index * w->entry_size, entry;
		bool leaf;

		if (!read_entry(w, gpa, &entry) || !(entry & PTE_P) || (entry & PTE_NX && !(w->efer & EFER_NXE)))
			return UINT64_MAX;
		leaf = is_leaf(w, level, entry);
		if (level > 3 && entry & PTE_PS)
			return UINT64_MAX;
		if (!is_pdpte(w, level)) {
			rights &= entry;
			nx |= (entry & PTE_NX) != 0;
		}
		if (leaf && (!allowed(w, rights, nx) || !key_allows(w, rights, entry)))
			return UINT64_MAX;
		if (!is_pdpte(w, level) && !mark_entry(w, gpa, entry, leaf && w->write ? PTE_A | PTE_D : PTE_A))
			return UINT64_MAX;
		if (leaf)
			return leaf_address(w, level, entry, va);
		table = entry & PTE_ADDRESS;
	}
}

/* ---- copies -------------------------------------------------------------------------- */

/* A guest that changes an entry while it is walked gets another try, not for ever. */
static uint64_t address_of(const struct walk *w, uint64_t va)
{
	uint64_t gpa = UINT64_MAX;

	if (!(w->cr0 & CR0_PG))
		return va >> 32 ? UINT64_MAX : va;
	if (!canonical(w, va))
		return UINT64_MAX;
	for (int i = 0; i < 3 && gpa == UINT64_MAX; i++)
		gpa = translate(w, va);
	return gpa;
}

int kvm_guest_copy(struct engine_vcpu *v, uint64_t va, void *buf, uint64_t len, unsigned how)
{
	struct walk w;

	begin(&w, v, how);
	for (uint64_t done = 0, n; done < len; done += n) {
		uint64_t gpa = address_of(&w, va + done);
		int r;

		n = PAGE_SIZE - ((va + done) & ~PAGE_MASK);
		if (n > len - done)
			n = len - done;
		if (gpa == UINT64_MAX)
			return -EFAULT;
		/* To ROM a write goes nowhere, as the guest's own would. */
		if (w.write && mem_kind(w.mem, gpa) == MEM_ROM)
			continue;
		r = w.write ? mem_write(w.mem, gpa, (uint8_t *)buf + done, n) :
		              mem_read(w.mem, gpa, (uint8_t *)buf + done, n);
		if (r)
			return -EFAULT;
	}
	return 0;
}
