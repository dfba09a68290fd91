#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *const usage =
	"HOST PORT PATH [-c connections] [-d seconds] [-n requests] [-R rate] [-p pipeline]\n"
	"  [--spin microseconds] [--pin cpu]\n";

static void refuse(const char *tool, const char *what)
{
	fprintf(stderr, "%s: %s\nusage: %s %s", tool, what, tool, usage);
	exit(2);
}

static double number(const char *tool, const char *flag, const char *text, double low, double high)
{
	char *end = NULL;
	double value = text ? strtod(text, &end) : 0;
	char message[128];

	if (text && end != text && *end == '\0' && value >= low && value <= high)
		return value;
	snprintf(message, sizeof(message), "%s takes a number from %g to %g, not '%s'", flag, low,
		 high, text ? text : "");
	refuse(tool, message);
	return 0;
}

static void pin(const char *tool, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0) {
		fprintf(stderr, "%s: cannot pin to CPU %d: %s\n", tool, cpu, strerror(errno));
		exit(1);
	}
}

void client_options_read(struct client_options *options, int argc, char **argv)
{
	const char *tool = argv[0];
	struct rlimit limit;

	*options = (struct client_options){
		.connection_count = 1, .pipeline = 1, .duration_ns = 1000000000, .cpu = -1};
	if (argc < 4)
		refuse(tool, "host, port and path are needed");
	options->host = argv[1];
	options->path = argv[3];
	options->address.sin_family = AF_INET;
	options->address.sin_port = htons((uint16_t)number(tool, "PORT", argv[2], 1, 65535));
	if (inet_pton(AF_INET, options->host, &options->address.sin_addr) != 1)
		refuse(tool, "HOST is an IPv4 address in dotted form");
	for (int i = 4; i < argc; i += 2) {
		const char *flag = argv[i], *text = argv[i + 1];

		if (!strcmp(flag, "-c"))
			options->connection_count = number(tool, flag, text, 1, 30000);
		else if (!strcmp(flag, "-d"))
			options->duration_ns = number(tool, flag, text, 0.001, 86400) * 1e9;
		else if (!strcmp(flag, "-n"))
			options->request_count_max = number(tool, flag, text, 1, 1e15);
		else if (!strcmp(flag, "-R"))
			options->rate_hz = number(tool, flag, text, 0.001, 1e8);
		else if (!strcmp(flag, "-p"))
			options->pipeline = number(tool, flag, text, 1, 128);
		else if (!strcmp(flag, "--spin"))
			options->spin_ns = number(tool, flag, text, 0, 1e6) * 1e3;
		else if (!strcmp(flag, "--pin"))
			options->cpu = number(tool, flag, text, 0, CPU_SETSIZE - 1);
		else
			refuse(tool, "unknown flag");
	}
	if (options->rate_hz > 0 && options->pipeline > 1)
		refuse(tool, "-R sends one request at a time: leave -p out");
	if (options->cpu >= 0)
		pin(tool, options->cpu);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int client_connect(const struct client_options *options)
{
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)&options->address, sizeof(options->address)) != 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

char *client_request(const struct client_options *options, size_t *byte_count)
{
	char one[2048];
	int length = snprintf(one, sizeof(one), "GET %s HTTP/1.1\r\nHost: %s:%u\r\n\r\n",
			      options->path, options->host, ntohs(options->address.sin_port));
	char *all;

	if (length < 0 || (size_t)length >= sizeof(one)) {
		fprintf(stderr, "the path is longer than 1,900 bytes\n");
		exit(2);
	}
	all = malloc((size_t)length * options->pipeline);
	if (!all)
		abort();
	for (uint32_t i = 0; i < options->pipeline; i++)
		memcpy(all + (size_t)length * i, one, (size_t)length);
	*byte_count = (size_t)length * options->pipeline;
	return all;
}

size_t client_answer_byte_count(const char *bytes, size_t have)
{
	const char *end = memmem(bytes, have, "\r\n\r\n", 4);
	const char *field = strcasestr(bytes, "\r\ncontent-length:");

	if (!end)
		return 0;
	if (strncmp(bytes, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "the probe was answered with '%.40s'\n", bytes);
		exit(1);
	}
	if (!field || field > end) {
		fprintf(stderr, "the answer has no Content-Length: bytes cannot count it\n");
		exit(1);
	}
	return (size_t)(end - bytes) + 4 + strtoull(field + 17, NULL, 10);
}

size_t client_learn(const struct client_options *options)
{
	struct client_options single = *options;
	char head[16385];
	size_t have = 0, whole = 0, request_byte_count;
	char *request;
	int fd;

	single.pipeline = 1;
	fd = client_connect(&single);
	if (fd < 0) {
		fprintf(stderr, "cannot connect to %s:%u: %s\n", options->host,
			ntohs(options->address.sin_port), strerror(-fd));
		exit(1);
	}
	request = client_request(&single, &request_byte_count);
	if (send(fd, request, request_byte_count, MSG_NOSIGNAL) != (ssize_t)request_byte_count) {
		fprintf(stderr, "the probe could not be sent: %s\n", strerror(errno));
		exit(1);
	}
	while (whole == 0 || have < whole) {
		size_t room = whole ? sizeof(head) - 1 : sizeof(head) - 1 - have;
		char *at = whole ? head : head + have;
		ssize_t got = recv(fd, at, room, 0);

		if (got <= 0) {
			fprintf(stderr, "the probe's answer ended after %zu bytes\n", have);
			exit(1);
		}
		have += (size_t)got;
		if (whole == 0) {
			head[have] = '\0';
			whole = client_answer_byte_count(head, have);
		}
	}
	close(fd);
	free(request);
	return whole;
}

uint64_t client_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t timeval_ns(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

void client_result_begin(struct client_result *result, const char *name)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	result->name = name;
	result->probes = 1;
	result->cpu_user_ns = timeval_ns(usage.ru_utime);
	result->cpu_system_ns = timeval_ns(usage.ru_stime);
	result->started_ns = client_now_ns();
}

void client_result_end(struct client_result *result)
{
	struct rusage usage;

	result->ended_ns = client_now_ns();
	getrusage(RUSAGE_SELF, &usage);
	result->cpu_user_ns = timeval_ns(usage.ru_utime) - result->cpu_user_ns;
	result->cpu_system_ns = timeval_ns(usage.ru_stime) - result->cpu_system_ns;
}

void client_result_print(const struct client_result *result, const struct client_options *options,
			 size_t response_byte_count)
{
	double seconds = (double)(result->ended_ns - result->started_ns) / 1e9;
	double count = result->received > 0 ? (double)result->received : 1;
	/* A closed loop without a clock per request knows its mean from Little's law alone. */
	double mean_ns = options->rate_hz > 0 ? (double)result->response_ns_sum / count
					      : seconds * 1e9 * options->connection_count *
							options->pipeline / count;

	printf("{\"client\":\"%s\",\"requests\":%llu,\"sent\":%llu,\"probes\":%llu,\"failed\":%llu,"
	       "\"seconds\":%.6f,\"requests_per_s\":%.1f,"
	       "\"cpu_user_ns\":%llu,\"cpu_system_ns\":%llu,\"cpu_us_per_request\":%.4f,"
	       "\"enter_calls\":%llu,\"enter_calls_per_request\":%.4f,\"connections\":%u,"
	       "\"opened\":%llu,\"pipeline\":%u,\"response_byte_count\":%zu,"
	       "\"mean_latency_ns\":%.0f,\"mean_latency_source\":\"%s\",\"lag_ns_max\":%llu}\n",
	       result->name, (unsigned long long)result->received, (unsigned long long)result->sent,
	       (unsigned long long)result->probes,
	       (unsigned long long)result->failed, seconds, count / seconds,
	       (unsigned long long)result->cpu_user_ns, (unsigned long long)result->cpu_system_ns,
	       (double)(result->cpu_user_ns + result->cpu_system_ns) / 1e3 / count,
	       (unsigned long long)result->enter_calls, (double)result->enter_calls / count,
	       options->connection_count, (unsigned long long)result->opened, options->pipeline,
	       response_byte_count, mean_ns, options->rate_hz > 0 ? "clock" : "little",
	       (unsigned long long)result->lag_ns_max);
}
