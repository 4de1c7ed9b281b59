/* src/net/interfaces.h - the addresses of this machine, as they are at the moment of asking. */
#ifndef PGWEIR_NET_INTERFACES_H
#define PGWEIR_NET_INTERFACES_H

#include <stdbool.h>
#include <sys/socket.h>

/* Is address (IPv4, IPv6, or IPv4 written as IPv6) one of ours, or, with is_net, in a network we have an interface in?
 */
bool interfaces_have(const struct sockaddr *address, bool is_net);

#endif
