#ifndef CSQUALL_H
#define CSQUALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The only door to liburing and to glibc's macros. No header of either is
 * included here: liburing.h defines _GNU_SOURCE, which gives this module other
 * versions of fd_set and rusage than Swift's Glibc module has.
 */

/* ---- ring.c: one queue of operations to the kernel, used by one thread ---- */

typedef struct squall_ring squall_ring;

enum squall_backend {
	/* io_uring, or epoll where the kernel refuses io_uring or has too old a one. */
	SQUALL_BACKEND_AUTO,
	SQUALL_BACKEND_URING,
	SQUALL_BACKEND_EPOLL,
};

struct squall_ring_options {
	enum squall_backend backend;
	uint32_t submission_count; /* power of two */
	uint32_t completion_count; /* power of two */
	uint32_t file_count;       /* slots for sockets */
	uint32_t buffer_count;     /* power of two, at most 32,768; 0 for none */
	uint32_t buffer_bytes;
	/*
	 * Once a buffer came full, these are lent instead, and no others: fewer and
	 * larger. At most buffer_count; 0 to stay with the small ones.
	 */
	uint32_t large_buffer_count;
	uint32_t large_buffer_bytes;
};

/* The call that failed and its errno, for a sentence that names both. */
struct squall_failure {
	const char *call;
	int32_t error;
};

struct squall_completion {
	uint64_t token;
	int32_t result;
	uint32_t flags;
};

/* Bits of squall_completion.flags; the buffer's id is in the upper half. */
#define SQUALL_HAS_BUFFER 1u /* IORING_CQE_F_BUFFER */
#define SQUALL_HAS_MORE 2u   /* IORING_CQE_F_MORE */

/* A ring, or NULL with the cause in `failure`. */
squall_ring *squall_ring_create(const struct squall_ring_options *options,
				struct squall_failure *failure);
void squall_ring_destroy(squall_ring *ring);

/* What the ring came to stand on: never SQUALL_BACKEND_AUTO. */
enum squall_backend squall_ring_backend(const squall_ring *ring);

/* What only newer kernels do: wait for an absolute instant (6.12), and make and
 * bind sockets in the ring (6.11). */
bool squall_ring_waits_absolutely(const squall_ring *ring);
bool squall_ring_connects_in_ring(const squall_ring *ring);

/* System calls so far. */
uint64_t squall_ring_call_count(const squall_ring *ring);

/*
 * Submits all that is queued and waits until a completion is there or
 * `deadline_ns` of CLOCK_MONOTONIC has passed: 0 does not wait, UINT64_MAX waits
 * without end. Returns 0, also when the wait ended by the deadline or a signal,
 * or -errno.
 */
int32_t squall_ring_enter(squall_ring *ring, uint64_t deadline_ns);

/*
 * Whether the kernel did not take all that was queued before the last enter, for want of memory.
 * It reads what belongs to the rest with one of the next.
 */
bool squall_ring_is_behind(const squall_ring *ring);

/* Whether squall_ring_enter would find work without waiting. */
bool squall_ring_has_work(squall_ring *ring);

/* Copies up to `capacity` completions out and gives their slots back. */
uint32_t squall_ring_take(squall_ring *ring, struct squall_completion *into, uint32_t capacity);

/* The bytes of a provided buffer, valid until it is recycled. */
const void *squall_ring_buffer(const squall_ring *ring, uint16_t id);
/* Lends the buffer to the kernel again, from the next enter on. */
void squall_ring_recycle(squall_ring *ring, uint16_t id);

/* An address as bind(2) and connect(2) want it: IPv4, IPv6 or the path of a Unix socket. */
struct squall_address {
	uint8_t bytes[112];
	uint32_t byte_count;
};

/*
 * Opens a TCP socket in `slot` of the registered files with TCP_NODELAY and any free port for its
 * own (IP_LOCAL_PORT_RANGE), binds it to `source` when that is not NULL (without choosing a port
 * yet, IP_BIND_ADDRESS_NO_PORT), and connects it to `peer`. The addresses must stay in place until
 * the next enter. One completion in all: 0 or the first failure. Where the kernel lacks one of the
 * operations (before 6.11) the socket is made with system calls. Returns 0 or their -errno; -EBUSY
 * when the close of the slot's last socket is still on its way to the kernel.
 */
int32_t squall_ring_connect(squall_ring *ring, uint32_t slot, const struct squall_address *peer,
			    const struct squall_address *source, uint64_t token);

/*
 * Puts a socket that is connected already into `slot`, as the outcome of a connect with `token`. The
 * descriptor stays the caller's. Returns 0 or -errno.
 */
int32_t squall_ring_adopt(squall_ring *ring, uint32_t slot, int32_t fd, uint64_t token);

enum squall_operation_kind {
	/* Down to RESET `file` is a slot whose socket is used. */

	/*
	 * Receives once per arrival, each time into a buffer the kernel picks, until a completion
	 * comes without SQUALL_HAS_MORE. Linux 6.0; see io_uring_prep_recv_multishot(3).
	 */
	SQUALL_RECEIVE,
	/* Sends all `byte_count` bytes, which must stay in place until the peer's answer. */
	SQUALL_SEND,
	/*
	 * Sends what the socket takes at once, of bytes that must stay in place until an enter that
	 * is not behind. Silent, it completes when that was not all of it: with how many bytes it
	 * took, or -EAGAIN for none.
	 */
	SQUALL_SEND_NOW,
	/* Completes once when the socket can take bytes again, or is broken. */
	SQUALL_AWAIT_ROOM,
	/*
	 * Ends our side with a FIN behind what was sent. A shutdown always runs on a thread of the
	 * kernel's (io_shutdown_prep sets REQ_F_FORCE_ASYNC), which looks the slot up only then:
	 * closed and taken again in between, it would be the next connection that ends.
	 */
	SQUALL_FINISH,
	/* Ends both sides with a RST. The slot stays taken. */
	SQUALL_RESET,
	/*
	 * Ends the operation that `target` armed on the slot `file`: it completes with -ECANCELED if
	 * it was still under way. Silent, it completes when there was nothing to cancel.
	 */
	SQUALL_CANCEL,
	/* Closes the socket in the slot. */
	SQUALL_CLOSE,
	/* Accepts into free slots until a completion comes without SQUALL_HAS_MORE; each result is a
	 * slot. Linux 5.19. The listener may be made non-blocking. */
	SQUALL_ACCEPT,
	/* read(2) and write(2) of a descriptor. */
	SQUALL_READ,
	SQUALL_WRITE,
};

struct squall_operation {
	enum squall_operation_kind kind;
	int32_t file;
	const void *bytes;
	uint32_t byte_count;
	bool is_silent; /* completes only on failure */
	uint64_t target;
	uint64_t token;
};

/*
 * Queues the operation for the next enter. It is never refused: what the kernel does not take yet
 * waits behind what it has, in this order, in memory that grows with it; without that memory the
 * process aborts.
 */
void squall_ring_queue(squall_ring *ring, const struct squall_operation *operation);

/* ---- address.c ---- */

/*
 * Parses an IPv4 or IPv6 address in text (no name is looked up). Returns 0 or
 * -EINVAL.
 */
int32_t squall_address_parse(const char *text, uint16_t port, struct squall_address *address);
/* Writes "1.2.3.4:80" or "[::1]:80"; `capacity` of 64 always suffices. */
void squall_address_format(const struct squall_address *address, char *text, size_t capacity);
/*
 * All TCP addresses of a host name, at most `capacity`. Returns how many, or a
 * negative getaddrinfo(3) code; squall_resolve_explain gives its sentence.
 */
int32_t squall_address_resolve(const char *host, uint16_t port, struct squall_address *into,
			       uint32_t capacity);
const char *squall_resolve_explain(int32_t code);
/*
 * A listening TCP socket with SO_REUSEPORT, or -errno. `port_out` gets the port
 * the kernel chose when the address has port 0. Its connections have TCP_NODELAY.
 */
int32_t squall_listen(const struct squall_address *address, uint16_t *port_out);
/*
 * Whether squall_listen would be alone on the address: 0 or -errno. SO_REUSEPORT
 * itself would share the port with another program of the same user, in silence.
 */
int32_t squall_listen_check(const struct squall_address *address);

/* ---- host.c ---- */

/* The commit this program was built from, empty when unknown. */
const char *squall_commit(void);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t squall_now_ns(void);
/* Wall clock, nanoseconds since 1970. */
uint64_t squall_wall_ns(void);
/* Tells the processor that this is a spin loop. */
void squall_spin_pause(void);

/* CPUs this thread may run on, ascending, at most `capacity`. Returns how many, or -errno. */
int32_t squall_cpus_allowed(uint16_t *into, uint32_t capacity);
/* Binds this thread to one CPU. Returns 0 or -errno. */
int32_t squall_cpu_pin(uint16_t cpu);

/* Lets this thread's waits end at their deadline instead of up to 50 µs after it
 * (PR_SET_TIMERSLACK, prctl(2)). */
void squall_timers_sharpen(void);

/* Raises RLIMIT_NOFILE to at least `wanted` where allowed. Returns the limit now in force. */
uint64_t squall_files_raise(uint64_t wanted);
/* Kind and permissions of the file at `path` (st_mode, inode(7)), or -errno. */
int32_t squall_file_mode(const char *path);
/* Whether `fd` is a regular file. */
int32_t squall_file_is_regular(int32_t fd);

/* Shared memory of `byte_count` zero bytes without a name, or -errno. */
int32_t squall_memory_create(const char *label, uint64_t byte_count);
/* The memory mapped here, or NULL with errno. */
void *squall_memory_map(int32_t fd, uint64_t byte_count);
void squall_memory_unmap(void *memory, uint64_t byte_count);
/* Bytes of a memory made by squall_memory_create, or -errno. */
int64_t squall_memory_size(int32_t fd);
/* Gives the kernel back whole pages of the heap that are free (malloc_trim(3)). */
void squall_heap_trim(void);

/*
 * Starts the program at `path` with `arguments` (the first is its name, NULL ends
 * them), its descriptors `place`, `place` + 1, … being `descriptors`, those below
 * `place` ours, and no others. Returns the process id or -errno.
 */
int32_t squall_process_spawn(const char *path, const char *const *arguments,
			     const int32_t *descriptors, uint32_t descriptor_count, int32_t place);
/* Asks for SIGKILL when the thread that started this process ends; false when
 * `parent` is gone already. */
bool squall_process_follow(int32_t parent);

struct squall_exit {
	int32_t code;   /* exit code, or -signal */
	uint64_t user_ns;
	uint64_t system_ns;
};

/* 1 with `result` when the child has ended, 0 while it runs, or -errno. */
int32_t squall_process_reap(int32_t pid, struct squall_exit *result);
/* CPU time of another process in nanoseconds, or 0 when it is gone. */
uint64_t squall_process_cpu_ns(int32_t pid);
/* User and system time of this process. */
void squall_usage(uint64_t *user_ns, uint64_t *system_ns);
/* A pair of connected stream sockets, close-on-exec. Returns 0 or -errno. */
int32_t squall_pair(int32_t *ours, int32_t *theirs);

/* A connected socket whose calls block up to `timeout_ms` each, or -errno; -ETIMEDOUT
 * when that was not enough to connect. */
int32_t squall_socket_open(const struct squall_address *address, int32_t timeout_ms);

/* ---- deflate.c ---- */

/* The most that squall_deflate writes for so many bytes. */
uint64_t squall_deflate_bound(uint64_t byte_count);
/* Writes `bytes` as a zlib stream (RFC 1950). Returns its length, or 0 when `capacity` is too small. */
uint64_t squall_deflate(const void *bytes, uint64_t byte_count, void *into, uint64_t capacity);

/* ---- inflate.c ---- */

/* The state of one stream that is being inflated, about 40 KiB, to be used again for others. NULL without
 * memory. */
struct squall_inflater;
struct squall_inflater *squall_inflater_create(void);
void squall_inflater_destroy(struct squall_inflater *inflater);
/* Begins with a stream: gzip (RFC 1952), or what HTTP calls deflate, which is a zlib stream (RFC 1950) by
 * RFC 9110 8.4.1.2 and a raw one (RFC 1951) of some servers. `first`: its first byte. */
void squall_inflater_begin(struct squall_inflater *inflater, int32_t is_gzip, uint8_t first);
/* The stream is complete. */
int32_t squall_inflater_has_ended(const struct squall_inflater *inflater);
/* Takes of `bytes` what fits `into`. Returns the bytes written, 0 when more is needed, -EBADMSG for what is no
 * such stream, or -ENOMEM. */
int64_t squall_inflate(
	struct squall_inflater *inflater, const void **bytes, uint64_t *byte_count, void *into,
	uint32_t capacity);

/* ---- shared words, between processes ---- */

static inline uint64_t squall_load_acquire(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void squall_store_release(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

#endif
