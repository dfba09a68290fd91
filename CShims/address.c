#define _GNU_SOURCE
#include "CSquall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(sizeof(((struct squall_address *)0)->bytes) >= sizeof(struct sockaddr_un),
	       "squall_address holds every family");

static int family_of(const struct squall_address *address)
{
	return ((const struct sockaddr *)address->bytes)->sa_family;
}

static int protocol_of(int family)
{
	return family == AF_UNIX ? 0 : IPPROTO_TCP;
}

static int32_t parse_path(const char *path, struct squall_address *address)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	size_t length = strlen(path);

	if (length >= sizeof(local.sun_path))
		return -ENAMETOOLONG;
	memcpy(local.sun_path, path, length);
	memcpy(address->bytes, &local, sizeof(local));
	address->byte_count = sizeof(local);
	return 0;
}

int32_t squall_address_parse(const char *text, uint16_t port, struct squall_address *address)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memset(address, 0, sizeof(*address));
	if (text[0] == '/')
		return parse_path(text, address);
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memcpy(address->bytes, &v4, sizeof(v4));
		address->byte_count = sizeof(v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		memcpy(address->bytes, &v6, sizeof(v6));
		address->byte_count = sizeof(v6);
		return 0;
	}
	return -EINVAL;
}

void squall_address_format(const struct squall_address *address, char *text, size_t capacity)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (family_of(address) == AF_UNIX) {
		struct sockaddr_un local;
		memcpy(&local, address->bytes, sizeof(local));
		snprintf(text, capacity, "%s", local.sun_path);
	} else if (address->byte_count == sizeof(struct sockaddr_in)) {
		struct sockaddr_in v4;
		memcpy(&v4, address->bytes, sizeof(v4));
		inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
		snprintf(text, capacity, "%s:%u", host, ntohs(v4.sin_port));
	} else {
		struct sockaddr_in6 v6;
		memcpy(&v6, address->bytes, sizeof(v6));
		inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
		snprintf(text, capacity, "[%s]:%u", host, ntohs(v6.sin6_port));
	}
}

int32_t squall_address_resolve(const char *host, uint16_t port, struct squall_address *into,
			       uint32_t capacity)
{
	if (capacity > 0 && squall_address_parse(host, port, into) == 0)
		return 1;

	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	int code = getaddrinfo(host, service, &hints, &found);
	if (code != 0)
		return code < 0 ? code : -code;

	uint32_t count = 0;
	for (struct addrinfo *each = found; each != NULL && count < capacity; each = each->ai_next) {
		if (each->ai_addrlen > sizeof(into[count].bytes))
			continue;
		memset(&into[count], 0, sizeof(into[count]));
		memcpy(into[count].bytes, each->ai_addr, each->ai_addrlen);
		into[count].byte_count = each->ai_addrlen;
		count++;
	}
	freeaddrinfo(found);
	return (int32_t)count;
}

const char *squall_resolve_explain(int32_t code)
{
	return gai_strerror(code);
}

int32_t squall_listen(const struct squall_address *address, uint16_t *port_out)
{
	const int32_t one = 1;
	int family = family_of(address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;

	struct sockaddr_in6 bound;
	socklen_t bound_bytes = sizeof(bound);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)address->bytes, address->byte_count) < 0 ||
	    listen(fd, 65535) < 0 ||
	    getsockname(fd, (struct sockaddr *)&bound, &bound_bytes) < 0) {
		int32_t error = -errno;
		close(fd);
		return error;
	}
	/* The port stands at the same place in sockaddr_in and sockaddr_in6. */
	*port_out = ntohs(bound.sin6_port);
	return fd;
}

int32_t squall_listen_check(const struct squall_address *address)
{
	const int32_t one = 1;
	int family = family_of(address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;

	int32_t result = 0;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)address->bytes, address->byte_count) < 0)
		result = -errno;
	close(fd);
	return result;
}

int32_t squall_socket_open(const struct squall_address *address, int32_t timeout_ms)
{
	int family = family_of(address);
	struct timeval limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol_of(family));
	if (fd < 0)
		return -errno;

	if (family != AF_UNIX) {
		const int32_t one = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	/* SO_SNDTIMEO also bounds connect(2), see socket(7). */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	int result;
	/* Called again, it goes on waiting for the same connection. */
	do {
		result = connect(fd, (const struct sockaddr *)address->bytes, address->byte_count);
	} while (result < 0 && errno == EINTR);
	if (result < 0) {
		int32_t error = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
		close(fd);
		return error;
	}
	return fd;
}
