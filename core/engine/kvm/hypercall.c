/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls. The kernel answers vmcall and vmmcall itself, as KVM's own
 * hypercalls, unless it was told that this is a Xen guest; not all kernels can
 * be. On those the hypercall instruction is an OUT to a port of its own, and
 * whoever gives the guest its instruction asks for it (engine_ops.
 * hypercall_insn). From then on this very instruction is a hypercall, and no
 * other access to the port is.
 *
 *     e7 ea    out %eax, $0xea
 *     90       nop: vmcall is three bytes long
 *
 * Where rip stands at the exit depends on how the kernel came to it: a port
 * write that the processor reported leaves it at the instruction, to be moved
 * when the exit is finished; one that the kernel emulated has moved it already.
 * The bytes at rip tell: no OUT begins with the nop.
 */
#include "engine/kvm/kvm.h"

#include <cpuid.h>
#include <string.h>

#define HYPERCALL_PORT 0xea
#define OUT_LEN 2
#define VMCALL_LEN 3
#define UD_VECTOR 6

static const uint8_t out_insn[3] = { 0xe7, HYPERCALL_PORT, 0x90 };

enum { RAX = 0, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10 };

static const uint8_t long_args[6] = { RDI, RSI, RDX, R10, R8, R9 };
static const uint8_t short_args[6] = { RBX, RCX, RDX, RSI, RDI, RBP };

void kvm_hypercall_insn(struct engine_vm *vm, uint8_t insn[3])
{
	vm->hypercall_port = !vm->features.xen_hypercalls;
	if (vm->hypercall_port)
		memcpy(insn, out_insn, sizeof(out_insn));
	else
		engine_native_hypercall(insn);
}

bool kvm_hypercalls(struct engine_vm *vm)
{
	return vm->features.xen_hypercalls;
}

static void fill(struct vcpu_exit *exit, uint64_t nr, unsigned cpl, bool long_mode)
{
	exit->reason = EXIT_HYPERCALL;
	exit->hypercall.nr = nr;
	exit->hypercall.cpl = (uint8_t)cpl;
	exit->hypercall.long_mode = long_mode;
	exit->hypercall.result = 0;
	exit->hypercall.restart = exit->hypercall.undefined = false;
}

static bool insn_at(struct engine_vcpu *v, uint64_t rip)
{
	uint64_t va = kvm_code64(v) ? rip : (uint32_t)(rip + kvm_sregs(v)->cs.base);
	uint8_t bytes[sizeof(out_insn)];

	return !kvm_guest_copy(v, va, bytes, sizeof(bytes), KVM_COPY_FETCH) && !memcmp(bytes, out_insn, sizeof(bytes));
}

/* Finds the instruction at or before rip; skip: what rip has yet to move. */
static bool find_insn(struct engine_vcpu *v, uint64_t *rip)
{
	*rip = kvm_regs(v)->rip;
	v->skip = 0;
	if (insn_at(v, *rip)) {
		v->skip = OUT_LEN;
		return true;
	}
	*rip -= OUT_LEN;
	return insn_at(v, *rip);
}

static bool from_port(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	const struct kvm_run *run = v->run;
	bool long_mode = kvm_code64(v);
	uint64_t mask = long_mode ? UINT64_MAX : UINT32_MAX;
	const uint8_t *args = long_mode ? long_args : short_args;

	if (!v->vm->hypercall_port || run->io.port != HYPERCALL_PORT || run->io.direction != KVM_EXIT_IO_OUT ||
	    run->io.size != 4 || run->io.count != 1 || !find_insn(v, &exit->rip))
		return false;
	fill(exit, *kvm_gpr(kvm_regs(v), RAX) & mask, kvm_cpl(v), long_mode);
	for (unsigned i = 0; i < 6; i++)
		exit->hypercall.args[i] = *kvm_gpr(kvm_regs(v), args[i]) & mask;
	return true;
}

static bool from_xen(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	const struct kvm_xen_exit *x = &v->run->xen;

	if (x->type != KVM_EXIT_XEN_HCALL)
		return false;
	fill(exit, x->u.hcall.input, x->u.hcall.cpl, x->u.hcall.longmode);
	for (unsigned i = 0; i < 6; i++)
		exit->hypercall.args[i] = x->u.hcall.params[i];
	v->skip = VMCALL_LEN;
	exit->rip = kvm_regs(v)->rip;
	return true;
}

bool kvm_hypercall_exit(struct engine_vcpu *v, struct vcpu_exit *exit)
{
	bool is = v->run->exit_reason == KVM_EXIT_XEN ? from_xen(v, exit) :
	          v->run->exit_reason == KVM_EXIT_IO  ? from_port(v, exit) :
	                                                false;

	v->hypercall = is;
	return is;
}

/* Back to the instruction: the kernel first has to be done with it. */
static int back(struct engine_vcpu *v, const struct vcpu_exit *exit)
{
	int r;

	v->owed = KVM_OWES_ENTRY;
	r = kvm_settle(v);
	kvm_regs(v)->rip = exit->rip;
	kvm_touch(v, KVM_SYNC_X86_REGS);
	return r;
}

static int again(struct engine_vcpu *v, const struct vcpu_exit *exit)
{
	const uint8_t *args = exit->hypercall.long_mode ? long_args : short_args;
	int r = back(v, exit);

	for (unsigned i = 0; i < 6; i++)
		*kvm_gpr(kvm_regs(v), args[i]) = exit->hypercall.args[i];
	*kvm_gpr(kvm_regs(v), RAX) = exit->hypercall.nr;
	return r;
}

static int undefined(struct engine_vcpu *v, const struct vcpu_exit *exit)
{
	int r = back(v, exit);

	v->run->kvm_dirty_regs = 0;
	if (!r)
		r = kvm_ioctl(v->fd, KVM_SET_REGS, kvm_regs(v));
	return r ? r : kvm_raise(v, UD_VECTOR);
}

int kvm_hypercall_complete(struct engine_vcpu *v, const struct vcpu_exit *exit)
{
	uint64_t result = exit->hypercall.result;

	v->skip = 0;
	v->hypercall = false;
	if (exit->hypercall.undefined)
		return undefined(v, exit);
	if (exit->hypercall.restart)
		return again(v, exit);
	v->owed = KVM_OWES_ENTRY;
	if (v->run->exit_reason == KVM_EXIT_XEN) {
		v->run->xen.u.hcall.result = result;
		return 0;
	}
	*kvm_gpr(kvm_regs(v), RAX) = exit->hypercall.long_mode ? result : (uint32_t)result;
	kvm_touch(v, KVM_SYNC_X86_REGS);
	return 0;
}
