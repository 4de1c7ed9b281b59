/* src/net/interfaces.h - the present addresses of this machine. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* Returns true if address (IPv4, IPv6, or IPv4-mapped) is one of this machine's or, if is_net, in a network of one of
 * its interfaces. */
bool interfaces_have(const struct sockaddr *address, bool is_net);
