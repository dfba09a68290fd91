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
#include <unistd.h>

_Static_assert(sizeof(((struct squall_address *)0)->bytes) >= sizeof(struct sockaddr_in6),
	       "squall_address holds either family");

int32_t squall_address_parse(const char *text, uint16_t port, struct squall_address *address)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memset(address, 0, sizeof(*address));
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

	if (address->byte_count == sizeof(struct sockaddr_in)) {
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
	int family = ((const struct sockaddr *)address->bytes)->sa_family;
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
	int family = ((const struct sockaddr *)address->bytes)->sa_family;
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

int32_t squall_address_try(const struct squall_address *address, int32_t timeout_ms)
{
	int32_t fd = squall_socket_open(address, timeout_ms);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int32_t squall_socket_open(const struct squall_address *address, int32_t timeout_ms)
{
	int family = ((const struct sockaddr *)address->bytes)->sa_family;
	struct timeval limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;

	/* SO_SNDTIMEO also bounds connect(2), see socket(7). */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)address->bytes, address->byte_count) < 0) {
		int32_t error = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
		close(fd);
		return error;
	}
	return fd;
}
