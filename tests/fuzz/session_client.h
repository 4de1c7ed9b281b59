/*
 * tests/fuzz/session_client.h - an application: sends what it is told to, answers password requests if asked to, and
 * looks at every byte that comes back.
 *
 * It aborts if it gets what is no message, a token of another client (session_text.h), or more ReadyForQuery than it
 * has sent requests.
 */
#pragma once

#include "session_text.h"

#include "auth/scram.h"

#define SESSION_PASSWORD "secret"

/* What was sent so far, as a reader of the protocol sees it. */
struct sent {
	enum { SENT_STARTUP, SENT_TYPED, SENT_WILD } phase; /* wild: nobody can tell where messages begin */
	uint8_t head[8];
	size_t have;
	uint32_t left;
	unsigned encryption_requests, requests; /* requests: Query, Sync and FunctionCall */
	bool is_open, is_mixed; /* messages without a Sync; a Query behind them */
};

struct fake_client {
	char letter; /* in its tokens */
	unsigned sequence;
	int fd; /* -1: not connected */
	uint64_t id; /* pgweir's */
	struct buf in, out;
	struct sent sent;
	unsigned ready_count;
	bool is_deaf, is_console, has_copied, is_leak_free; /* leak_free: session state may not follow others */
	bool shares_names; /* of prepared statements, as the configuration asks for: it may run another client's */
	bool is_answering; /* password requests */
	size_t piece; /* bytes sent per turn; 0: all */
	size_t allowed; /* so many more bytes; SIZE_MAX: all */
	char user[64];
	struct scram_client *scram;
	uint32_t pid, secret;
	/* Each message that came, once it was looked at; NULL: nobody wants to know. Both stay when it connects again.
	 */
	void (*on_message)(void *arg, uint8_t type, const uint8_t *body, size_t len);
	void *arg;
};

void fclient_init(struct fake_client *c, char letter);
void fclient_open(struct fake_client *c, int fd, uint64_t id); /* takes fd */
void fclient_close(struct fake_client *c); /* fine if it is not connected */
/* A startup packet with the settings ("name=value" each). */
void fclient_login(struct fake_client *c, const char *user, const char *database, char **settings, size_t count);
void fclient_message(struct fake_client *c, uint8_t type, const struct buf *body);
bool fclient_turn(struct fake_client *c); /* true: something happened */
/* All that was asked for must have been answered by now. */
void fclient_check_answered(const struct fake_client *c);
