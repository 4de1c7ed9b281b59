/* src/net/tcp_options.h - how the kernel watches over TCP connections: tcp(7), socket(7). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tcp_options {
	bool is_kept_alive; /* SO_KEEPALIVE; the next three are then: */
	uint32_t probe_count, idle_s, interval_s; /* 0: the system's own */
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT; 0: the system's own */
	uint32_t defer_accept_s; /* TCP_DEFER_ACCEPT, of listeners; 0: off */
	bool is_port_shared; /* SO_REUSEPORT, of listeners */
};

/* For a connection, or a listener whose connections inherit them (Linux). */
void tcp_options_set(const struct tcp_options *options, int fd);
/* Sets the options that only listeners have; before bind(2). */
void tcp_options_listen(const struct tcp_options *options, int fd);
/* Undoes all of these, in a listener that another process has set up: next comes tcp_options_listen(). */
void tcp_options_clear(int fd);
