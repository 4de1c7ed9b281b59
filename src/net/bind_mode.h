/*
 * src/net/bind_mode.h - a Unix socket's file has its mode from the moment it is there. chmod(2) would follow a link
 * that somebody has put in its place meanwhile.
 */
#ifndef PGWEIR_NET_BIND_MODE_H
#define PGWEIR_NET_BIND_MODE_H

#include <sys/stat.h>
#include <sys/un.h>

int bind_with_mode(int fd, const struct sockaddr_un *at, mode_t mode); /* as bind(2) */

#endif
