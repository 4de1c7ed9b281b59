/*
 * src/http/http_listen.c - see http_state.h. net/listener makes the Unix socket's file, but evhttp accepts connections
 * itself. Only the owner and the owner's group may use the Unix socket, because it has no login.
 */
#include "http/http_state.h"
#include "base/text.h"
#include "net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static int
fail_address(int fd, const char *host, unsigned short port, struct fail *why)
{
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (port != 0)
		fail_set(why, "58000", "could not listen for HTTP on %s port %u: %s", host, port, strerror(error));
	else
		fail_set(why, "58000", "could not listen for HTTP on %s: %s", host, strerror(error));
	if (error == EADDRINUSE)
		fail_hint(why, "Is another pgweir running? Change listen in section [http].");
	return -1;
}

static int
listen_tcp(const char *host, unsigned short port, struct fail *why)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char service[8];
	int fd, error, one = 1;

	snprintf(service, sizeof(service), "%u", port);
	error = getaddrinfo(host, service, &hints, &found);
	if (error != 0)
		return fail_set(why, "22023", "could not listen for HTTP on \"%s\": %s", host, gai_strerror(error));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		error = fail_address(fd, host, port, why);
	freeaddrinfo(found);
	return error == 0 ? fd : -1;
}

static int
listen_unix(const char *path, struct fail *why)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (!copy_string(address.sun_path, sizeof(address.sun_path), path))
		return fail_set(why, "22023", "could not listen for HTTP on \"%s\": the path is too long", path);
	listener_remove_stale(&address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || listener_bind(fd, &address, 0660) < 0 || listen(fd, BACKLOG) < 0)
		return fail_address(fd, path, 0, why);
	return fd;
}

int
http_listen(const char *host, unsigned short port, struct fail *why)
{
	return port != 0 ? listen_tcp(host, port, why) : listen_unix(host, why);
}
