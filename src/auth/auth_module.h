/*
 * src/auth/auth_module.h - a method of authentication by which somebody else judges what a client shows: an LDAP
 * server, PAM, Kerberos. Each is a module (modules/modules.h). The core asks the client for its password, in clear
 * text, or for tokens; it has prove() run on a thread of net/jobs.h, and keeps external_timeout.
 *
 * A rule of hba_file has options of its own for it. They are the module's, immutable once settle() has returned 0, and
 * live as long as the rules.
 */
#pragma once

#include "auth/delegation.h"
#include "base/buf.h"
#include "base/fail.h"
#include "modules/modules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FAILED: nobody could tell. MORE: another token is to come. */
enum proof { PROOF_RIGHT, PROOF_WRONG, PROOF_FAILED, PROOF_MORE };

/* A client, or PostgreSQL, and a module talk in turn, by tokens; one of these for each login. */
struct auth_tokens {
	const uint8_t *token; /* the other side's; NULL: none has come */
	size_t token_len;
	struct buf reply; /* to the other side, unless it is empty; also where the token is refused */
	void *context; /* the module's, from one token to the next; NULL at first */
	/* PROOF_RIGHT: where what the client delegates is put, a reference; NULL: it is not taken. */
	struct delegated **delegated;
	char name[AUTH_NAME_MAX + 1]; /* PROOF_RIGHT: who the client is, for map= */
};

struct auth_question {
	const void *options; /* the rule's */
	const char *setting; /* the module's setting in [auth] */
	const char *user, *password; /* password: never empty; NULL: there are tokens */
	struct auth_tokens *tokens; /* NULL: there is a password */
	const char *address; /* whence the client comes: "192.0.2.1", "::1" or "[local]" */
	uint64_t deadline_us;
};

/* A PostgreSQL that pgweir itself logs in to. */
struct auth_server {
	const char *host; /* as in upstream */
	const char *service; /* krbsrvname of upstream; NULL: postgres */
	const struct delegated *delegated; /* by whose credentials, which are there; NULL: by pgweir's own */
};

struct auth_module {
	const char *title; /* in messages */
	const char *wrong; /* PROOF_WRONG, as the log's reason; NULL: a wrong password */
	const char *rule; /* the method and options of the rule that method = NAME is; %s: the setting's value */
	/* The code of the AuthenticationRequest that asks for tokens: the client's name is found by them, and its rules
	 * may have map=. 0: it is asked for its password. */
	uint32_t token_request;
	/* Options of a rule. option() returns 0, or -1 with *why set: it is not known, or its value is wrong. settle():
	 * all were taken; returns 0, or -1 with *why set. doubt() calls say for what looks wrong. */
	void *(*options_new)(void);
	int (*option)(void *options, const char *name, const char *value, struct fail *why);
	int (*settle)(void *options, struct fail *why); /* NULL: nothing can be wrong */
	void (*doubt)(const void *options, void (*say)(void *arg, const char *text), void *arg); /* NULL: nothing is */
	void (*options_free)(void *options); /* wipes; NULL is fine */
	/* Returns true if the setting's value has a secret in it; NULL: none ever has. */
	bool (*holds_secret)(const char *setting);
	/* Returns what is asked, for the log; it lives as long as the two. Calls for the same share their threads. */
	const char *(*place)(const void *options, const char *setting);
	/* Blocks, on a thread. *why is set where PROOF_WRONG or PROOF_FAILED is returned. */
	enum proof (*prove)(const struct auth_question *q, struct fail *why);
	/* Makes pgweir's own token for a PostgreSQL that has sent token_request, or t->token. The first time, when
	 * t->context is NULL, it may block, on a thread; later it does not. PROOF_RIGHT: PostgreSQL has proved who it
	 * is. PROOF_FAILED: another time it may be possible. NULL: pgweir can't log in by this method. */
	enum proof (*show)(const struct auth_server *to, struct auth_tokens *t, struct fail *why);
	void (*context_free)(void *context); /* of tokens; NULL is fine. On any thread, but while none uses it */
};

extern const struct auth_module *const auth_modules[AUTH_MODULE_COUNT + 1]; /* modules/modules.c; ends with NULL */
