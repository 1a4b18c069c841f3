// SPDX-License-Identifier: MIT
/*
 * A 32-bit program without a library: gcc -m32 -nostdlib. Both ways into the
 * kernel, int $0x80 and whatever instruction the vDSO uses on this processor;
 * thread-local segments, signals and their return, processes; and instructions
 * that exist in 32-bit code alone.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NR_EXIT 1
#define NR_FORK 2
#define NR_READ 3
#define NR_WRITE 4
#define NR_WAITPID 7
#define NR_GETPID 20
#define NR_KILL 37
#define NR_PIPE 42
#define NR_SIGACTION 67
#define NR_MMAP2 192
#define NR_SET_THREAD_AREA 243

#define SIGILL 4
#define SIGUSR1 10
#define SIGSEGV 11
#define SA_NODEFER 0x40000000
#define AT_SYSINFO 32

struct user_desc {
	uint32_t entry, base, limit, flags;
};

/* What the kernel pushes for a handler without SA_SIGINFO, up to where it stood. */
struct context {
	uint32_t gs, fs, es, ds, di, si, bp, sp, bx, dx, cx, ax, trap, error, ip, cs, flags;
};

static uint32_t vdso;

static int int80(int nr, uint32_t a, uint32_t b, uint32_t c)
{
	int rc;

	__asm__ volatile("int $0x80" : "=a"(rc) : "0"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return rc;
}

static int by_vdso(int nr, uint32_t a, uint32_t b, uint32_t c)
{
	int rc;

	__asm__ volatile("call *%5" : "=a"(rc) : "0"(nr), "b"(a), "c"(b), "d"(c), "m"(vdso) : "memory");
	return rc;
}

static uint32_t length(const char *s)
{
	uint32_t n = 0;

	while (s[n])
		n++;
	return n;
}

static void say(const char *s)
{
	int80(NR_WRITE, 1, (uint32_t)s, length(s));
}

static void check(bool ok, const char *name)
{
	say(ok ? "check ok " : "check bad ");
	say(name);
	say("\n");
}

static void entries(void)
{
	int pid = int80(NR_GETPID, 0, 0, 0), bad = 0;

	check(pid > 0, "int $0x80 reaches the kernel");
	check(vdso && by_vdso(NR_GETPID, 0, 0, 0) == pid, "the vDSO's entry reaches it too");
	for (int i = 0; i < 20000; i++)
		bad += int80(NR_GETPID, 0, 0, 0) != pid || by_vdso(NR_GETPID, 0, 0, 0) != pid;
	check(!bad, "and both 20000 times");
	check(int80(9999, 0, 0, 0) == -38, "a number that is none: ENOSYS");
	check(by_vdso(NR_WRITE, 1, 0xffffe000, 16) == -14, "an address that is none: EFAULT");
}

/* All six arguments arrive, and all registers but eax survive. */
static void registers(void)
{
	uint32_t si = 0x11111111, di = 0x22222222, bx = 0x33333333, cx = 0x44444444, dx = 0x55555555;
	int address;

	__asm__ volatile("int $0x80" : : "a"(NR_GETPID), "b"(bx), "c"(cx), "d"(dx), "S"(si), "D"(di));
	__asm__ volatile("int $0x80" : "+S"(si), "+D"(di), "+b"(bx), "+c"(cx), "+d"(dx) : "a"(NR_GETPID));
	check(si == 0x11111111 && di == 0x22222222 && bx == 0x33333333 && cx == 0x44444444 && dx == 0x55555555,
	      "a system call keeps the registers");
	__asm__ volatile("push %%ebp; xor %%ebp, %%ebp; int $0x80; pop %%ebp"
	                 : "=a"(address)
	                 : "0"(NR_MMAP2), "b"(0), "c"(4096), "d"(3), "S"(0x22), "D"(-1)
	                 : "memory");
	check((uint32_t)address < 0xfffff000, "six arguments: mmap2");
	*(volatile uint32_t *)address = 0x1234;
	check(*(volatile uint32_t *)address == 0x1234, "its page is there");
}

static void segments(void)
{
	static uint32_t block[4] = { 0xcafe, 2, 3, 4 };
	/* 32-bit, limit in pages, usable */
	struct user_desc desc = { (uint32_t)-1, (uint32_t)block, 0xfffff, 0x51 };
	uint32_t value = 0, selector;
	int rc = int80(NR_SET_THREAD_AREA, (uint32_t)&desc, 0, 0), pid, status = -1;

	check(rc == 0, "set_thread_area");
	selector = desc.entry << 3 | 3;
	__asm__ volatile("mov %1, %%gs; mov %%gs:0, %0" : "=r"(value) : "r"(selector));
	check(value == 0xcafe, "a thread-local segment is read");
	for (int i = 0; i < 1000; i++)
		int80(NR_GETPID, 0, 0, 0);
	pid = int80(NR_FORK, 0, 0, 0);
	__asm__ volatile("mov %%gs:0, %0" : "=r"(value));
	if (!pid)
		int80(NR_EXIT, value == 0xcafe ? 7 : 8, 0, 0);
	int80(NR_WAITPID, (uint32_t)pid, (uint32_t)&status, 0);
	check(value == 0xcafe, "it is there after a switch of processes");
	check(status == 7 << 8, "and in a child");
	__asm__ volatile("mov %%ds, %0" : "=r"(selector));
	check((selector & 0xffff) == 0x2b, "ds is the kernel's choice");
	__asm__ volatile("mov %%cs, %0" : "=r"(selector));
	check((selector & 3) == 3, "cs is of ring 3");
}

static volatile uint32_t caught, at;

static void on_fault(int number, struct context context)
{
	caught = (uint32_t)number;
	at = context.ip;
	(&context)->ip += number == SIGSEGV ? 6 : 2; /* the instruction's length; the frame is what is restored */
	__asm__ volatile("" : : "m"(context) : "memory");
}

static void on_signal(int number)
{
	caught = (uint32_t)number;
}

static void catch_signal(int number, void *handler)
{
	uint32_t action[4] = { (uint32_t)handler, 0, SA_NODEFER, 0 }; /* no restorer: the vDSO's */

	int80(NR_SIGACTION, (uint32_t)number, (uint32_t)action, 0);
}

static void signals(void)
{
	uint32_t want;

	catch_signal(SIGUSR1, on_signal);
	caught = 0;
	by_vdso(NR_KILL, (uint32_t)int80(NR_GETPID, 0, 0, 0), SIGUSR1, 0);
	check(caught == SIGUSR1, "a signal, and back");
	catch_signal(SIGSEGV, on_fault);
	catch_signal(SIGILL, on_fault);
	caught = 0;
	__asm__ volatile("movl $1f, %0; 1: .byte 0x8b, 0x0d, 0, 0, 0, 0" : "=m"(want) : : "ecx", "memory"); /* mov 0, %ecx */
	check(caught == SIGSEGV && at == want, "a page fault is a signal at its instruction");
	caught = 0;
	__asm__ volatile("movl $1f, %0; 1: ud2" : "=m"(want) : : "memory");
	check(caught == SIGILL && at == want, "so is an instruction that is none");
}

static void processes(void)
{
	int fds[2], pid, good = 0, status;
	char byte;

	for (int i = 0; i < 20; i++) {
		status = -1;
		if (int80(NR_PIPE, (uint32_t)fds, 0, 0))
			break;
		pid = by_vdso(NR_FORK, 0, 0, 0);
		if (!pid) {
			byte = (char)(i * 3);
			by_vdso(NR_WRITE, (uint32_t)fds[1], (uint32_t)&byte, 1);
			int80(NR_EXIT, (uint32_t)i, 0, 0);
		}
		by_vdso(NR_READ, (uint32_t)fds[0], (uint32_t)&byte, 1);
		int80(NR_WAITPID, (uint32_t)pid, (uint32_t)&status, 0);
		good += byte == (char)(i * 3) && status == i << 8;
		int80(6, (uint32_t)fds[0], 0, 0); /* close */
		int80(6, (uint32_t)fds[1], 0, 0);
	}
	check(good == 20, "twenty children through pipes");
}

/* What 64-bit code has no more. */
static void instructions(void)
{
	uint32_t al = 0x3a, order, moved, frame;
	uint8_t carry;
	const struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) far = { 0x1234, 0x2b };
	uint32_t loaded, old;

	__asm__("daa" : "+a"(al) : : "cc");
	check((al & 0xff) == 0x40, "daa");
	al = 0x2f;
	__asm__("das" : "+a"(al) : : "cc");
	check((al & 0xff) == 0x29, "das");
	al = 0x0047;
	__asm__("aam" : "+a"(al) : : "cc");
	check((al & 0xffff) == 0x0701, "aam");
	__asm__("aad" : "+a"(al) : : "cc");
	check((al & 0xff) == 71, "aad");
	/* eax is the first pushed, 28 bytes up; what popa puts there is not what was. */
	__asm__("mov $0x11, %%eax; mov %%esp, %1; pusha; addl $0x22, 28(%%esp); popa; sub %%esp, %1; mov %%eax, %0"
	        : "=&d"(order), "=&D"(moved)
	        :
	        : "eax", "memory");
	check(order == 0x33 && !moved, "pusha and popa");
	__asm__("mov %%ds, %1; les %2, %0; mov %1, %%es" : "=&r"(loaded), "=&r"(old) : "m"(far));
	check(loaded == 0x1234, "les");
	__asm__("stc; .byte 0xd6; mov %%al, %0" : "=r"(carry) : : "eax", "cc"); /* salc */
	check(carry == 0xff, "salc");
	__asm__("push $0x5a5a; inc %%esp; dec %%esp; pop %0" : "=r"(frame));
	check(frame == 0x5a5a, "one-byte inc and dec");
	__asm__("push %%cs; push $1f; lret; ud2; 1: mov $1, %0" : "=r"(frame));
	check(frame == 1, "a far return to its own segment");
}

__attribute__((used)) static void start(const uint32_t *stack)
{
	const uint32_t *p = stack + 1 + stack[0] + 1;

	while (*p++)
		;
	for (; p[0]; p += 2)
		if (p[0] == AT_SYSINFO)
			vdso = p[1];
	entries();
	registers();
	segments();
	signals();
	processes();
	instructions();
	say("check end\n");
	int80(NR_EXIT, 0, 0, 0);
}

__asm__(".globl _start; _start: mov %esp, %eax; and $-16, %esp; sub $12, %esp; push %eax; call start; hlt");
