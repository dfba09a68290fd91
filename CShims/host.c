#define _GNU_SOURCE
#include "CSquall.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Made by scripts/commit; a source archive has none. */
#if __has_include("commit.h")
#include "commit.h"
#else
#define SQUALL_COMMIT ""
#endif

extern char **environ;

#define PASSED_FDS_MAX 8

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

const char *squall_commit(void)
{
	return SQUALL_COMMIT;
}

uint64_t squall_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t squall_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void squall_spin_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

int32_t squall_cpus_allowed(uint16_t *into, uint32_t capacity)
{
	cpu_set_t set;
	uint32_t count = 0;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE && count < capacity; cpu++) {
		if (CPU_ISSET(cpu, &set))
			into[count++] = (uint16_t)cpu;
	}
	return (int32_t)count;
}

int32_t squall_cpu_pin(uint16_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

void squall_timers_sharpen(void)
{
	prctl(PR_SET_TIMERSLACK, 1);
}

int32_t squall_file_mode(const char *path)
{
	struct stat status;

	return stat(path, &status) < 0 ? -errno : (int32_t)status.st_mode;
}

int32_t squall_file_is_regular(int32_t fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

uint64_t squall_files_raise(uint64_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	if (limit.rlim_cur >= wanted)
		return limit.rlim_cur;

	struct rlimit raised = { wanted, limit.rlim_max > wanted ? limit.rlim_max : wanted };
	if (setrlimit(RLIMIT_NOFILE, &raised) < 0) {
		/* Without CAP_SYS_RESOURCE the hard limit is the most there is. */
		raised.rlim_cur = raised.rlim_max = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &raised) < 0)
			return limit.rlim_cur;
	}
	return raised.rlim_cur;
}

int32_t squall_memory_create(const char *label, uint64_t byte_count)
{
	int fd = memfd_create(label, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)byte_count) < 0) {
		int32_t error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

void *squall_memory_map(int32_t fd, uint64_t byte_count)
{
	void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

void squall_memory_unmap(void *memory, uint64_t byte_count)
{
	munmap(memory, byte_count);
}

int64_t squall_memory_size(int32_t fd)
{
	struct stat status;
	return fstat(fd, &status) < 0 ? -errno : status.st_size;
}

void squall_heap_trim(void)
{
	malloc_trim(0);
}

int32_t squall_process_spawn(const char *path, const char *const *arguments,
			     const int32_t *descriptors, uint32_t descriptor_count, int32_t place)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int32_t moved[PASSED_FDS_MAX];
	uint32_t moved_count = 0;
	pid_t pid;
	int error;

	if (descriptor_count > PASSED_FDS_MAX)
		return -EINVAL;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	/* First out of the way of the places they go to, then to these places. */
	int32_t above = place + (int32_t)descriptor_count;
	for (; moved_count < descriptor_count; moved_count++) {
		int32_t fd = fcntl(descriptors[moved_count], F_DUPFD_CLOEXEC, above);
		if (fd < 0) {
			error = errno;
			goto out;
		}
		moved[moved_count] = fd;
		posix_spawn_file_actions_adddup2(&actions, fd,
						 place + (int)moved_count);
	}
	posix_spawn_file_actions_addclosefrom_np(&actions, above);
	/* A worker starts with no signal blocked or ignored, whatever its parent does, and in a
	 * process group of its own: Ctrl-C is for the parent, which stops it in order. */
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	sigset_t defaults;
	sigfillset(&defaults);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETPGROUP);
	error = posix_spawn(&pid, path, &actions, &attributes,
			    (char *const *)(uintptr_t)arguments, environ);
out:
	while (moved_count > 0)
		close(moved[--moved_count]);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return error != 0 ? -error : pid;
}

bool squall_process_follow(int32_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return getppid() == parent;
}

static uint64_t timeval_ns(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

int32_t squall_process_reap(int32_t pid, struct squall_exit *result)
{
	int status;
	struct rusage usage;
	pid_t reaped = wait4(pid, &status, WNOHANG, &usage);

	if (reaped < 0)
		return -errno;
	if (reaped == 0)
		return 0;
	result->code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	result->user_ns = timeval_ns(usage.ru_utime);
	result->system_ns = timeval_ns(usage.ru_stime);
	return 1;
}

uint64_t squall_process_cpu_ns(int32_t pid)
{
	clockid_t clock;
	struct timespec time;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
		return 0;
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void squall_usage(uint64_t *user_ns, uint64_t *system_ns)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	*user_ns = timeval_ns(usage.ru_utime);
	*system_ns = timeval_ns(usage.ru_stime);
}

int32_t squall_pair(int32_t *ours, int32_t *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*ours = pair[0];
	*theirs = pair[1];
	return 0;
}
