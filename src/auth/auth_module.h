/*
 * src/auth/auth_module.h - methods of authentication in which another service judges the client's proof: LDAP, PAM,
 * Kerberos. Each method is a module (modules/modules.h). The proof is a password in clear text or, for Kerberos, a
 * series of tokens. The code outside the module asks the client for its proof, calls judge_proof() on a thread of
 * net/jobs.h, and enforces external_timeout.
 *
 * A rule of hba_file may have options for its module. The module defines the struct of these options, which are
 * immutable after finish_options() has returned 0, and live as long as the rules.
 */
#pragma once

#include "auth/delegation.h"
#include "base/buf.h"
#include "base/fail.h"
#include "modules/modules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A module's verdict. PROOF_FAILED: the service could not judge the proof. PROOF_MORE: another token must follow. */
enum proof_verdict { PROOF_RIGHT, PROOF_WRONG, PROOF_FAILED, PROOF_MORE };

/* A login's exchange of tokens between a module and its peer: a client, or a PostgreSQL that pgweir logs in to. */
struct auth_tokens {
	const uint8_t *token; /* the token that the peer has sent; NULL if it has sent none yet */
	size_t token_len;
	struct buf reply; /* the module's token for the peer; sent unless empty, even after PROOF_WRONG */
	void *context; /* the module's state between two tokens; NULL at first */
	/* where judge_proof() stores, with PROOF_RIGHT, a counted reference to the credentials that the client
	 * delegates; NULL if pgweir accepts no such credentials */
	struct delegated **delegated;
	char name[AUTH_NAME_MAX + 1]; /* set with PROOF_RIGHT: the name that the client has proved, for map= */
};

/* A client's proof, and the facts by which judge_proof() judges it. */
struct auth_question {
	const void *options; /* the options of the rule */
	const char *setting; /* the value of the module's setting in [auth] */
	const char *user, *password; /* password is not empty; NULL if the proof is tokens */
	struct auth_tokens *tokens; /* NULL if the proof is a password */
	const char *address; /* the client's address: "192.0.2.1", "::1" or "[local]" */
	uint64_t deadline_us;
};

/* A PostgreSQL that pgweir logs in to. */
struct auth_server {
	const char *host; /* upstream_host.host */
	const char *service; /* krbsrvname of upstream; NULL stands for "postgres" */
	/* a client's credentials to log in with, never DELEGATED_NONE; NULL to use pgweir's own credentials */
	const struct delegated *delegated;
};

struct auth_module {
	const char *title; /* the name in messages */
	const char *wrong_reason; /* what the log says after PROOF_WRONG; NULL to say that the password was wrong */
	/* "method = NAME" in [auth] is short for this HBA rule, which has a method and options. %s is the setting's
	 * value. */
	const char *rule;
	/* The code of the AuthenticationRequest that asks the client for tokens; 0 if the client is asked for its
	 * password. Tokens prove a name, so rules may have map=. */
	uint32_t token_request;
	/* Makes a struct for the options of one rule. */
	void *(*options_new)(void);
	/* Takes one option. Returns 0, or -1 with *why set if the option is unknown or its value is wrong. */
	int (*option)(void *options, const char *name, const char *value, struct fail *why);
	/* Called after the last option; may be NULL. Returns 0, or -1 with *why set if the options don't fit. */
	int (*finish_options)(void *options, struct fail *why);
	/* Calls say() with a warning for each option that looks wrong. May be NULL. */
	void (*warn)(const void *options, void (*say)(void *arg, const char *text), void *arg);
	void (*options_free)(void *options); /* wipes and frees the options, which may be NULL */
	/* Returns true if the setting's value contains a secret. NULL if no value does. */
	bool (*holds_secret)(const char *setting);
	/* Returns the name of the service that judges, such as an LDAP server, for the log. The name lives as long as
	 * both arguments. Proofs for services with the same name share a few threads. */
	const char *(*service_name)(const void *options, const char *setting);
	/* Judges a proof. Runs on a thread, and may block. Sets *why with PROOF_WRONG and PROOF_FAILED. */
	enum proof_verdict (*judge_proof)(const struct auth_question *q, struct fail *why);
	/* Makes pgweir's next token for PostgreSQL, which has sent token_request or t->token. The first call, in which
	 * t->context is NULL, is made on a thread, because it may block; later calls do not block. PROOF_RIGHT means
	 * that PostgreSQL has proved its identity, PROOF_FAILED that a retry may succeed. NULL if pgweir can't log in
	 * by this method. */
	enum proof_verdict (*make_token)(const struct auth_server *to, struct auth_tokens *t, struct fail *why);
	/* Frees auth_tokens.context, which may be NULL. Called on any thread, while no other uses the context. */
	void (*context_free)(void *context);
};

extern const struct auth_module *const auth_modules[AUTH_MODULE_COUNT + 1]; /* in modules.c; the last element is NULL */
