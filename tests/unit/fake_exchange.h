/*
 * tests/unit/fake_exchange.h - a client with a server, for the unit tests of statements/, state/ and listen/.
 *
 * The exchange, the server and its pool are real structs; the ledger, the outboxes, the store and the GUC sets are the
 * real code. What would do I/O is a fake that writes down what it was asked: fake.sent has the messages that went to
 * the server, fake.told those that went to the client. Server replies are given by type (fake_reply).
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

struct fake_exchange {
	struct exchange x;
	struct exchange_env env;
	struct exchange_ops ops;
	struct server srv;
	struct server_env server_env;
	struct server_target target;
	struct upstream upstream;
	struct pool pool;
	struct pool_database database;
	struct database_code code;
	struct config config;
	struct guc_store *guc_store;
	struct statement_store *store;
	uint64_t now_us;
	void (*settled)(struct server *srv, const struct owed *o, enum owed_end how); /* as relay/replies.c has it */
	struct sql_traits traits; /* of the last request, if that was a Query */
	struct scan scan;
	struct buf message; /* the last request */
	char sent[2048], told[2048]; /* "P(s1|SELECT 1) S" */
	unsigned closed, released, resumed, steps, spoiled; /* calls */
	bool may_spoil; /* a test without memory for something: counted in spoiled, else a failure */
	enum client_event last_step;
};

extern struct fake_exchange *fake; /* the present test's */

void fake_begin(void (*settled)(struct server *srv, const struct owed *o, enum owed_end how));
void fake_end(void); /* free what features own before */
/* Another server in place of the present one: with nothing on it. */
void fake_change_server(void);
/* Moves what is in the outbox to fake->sent, and returns all of it since the last call. Names of pgweir's: "#1"; long
 * SQL is cut. */
const char *fake_sent(void);
const char *fake_told(void); /* the same for the client: types only, "1 2 3", and the text of tags and errors */
/* Requests, taken apart as relay/send.c does it; fake->x.srv must be set. */
struct request fake_query(const char *sql);
struct request fake_parse(const char *name, const char *sql);
struct request fake_bind(const char *portal, const char *statement);
struct request fake_target(uint8_t type, uint8_t target, const char *name); /* Describe, Close */
struct request fake_execute(void);
/* The message is forwarded as it lies: enters it in the ledger. */
void fake_forward(const struct request *m, enum owed_kind kind);
void fake_sync(void);
/* The server sends these replies, given by their types: "1 2 Z"; 'Z' leaves srv->tx alone. */
void fake_reply(const char *types);
