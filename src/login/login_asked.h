/*
 * src/login/login_asked.h - what HBA rules and maps ask about a client that takes time to find out: the name of its
 * address, and whether its user is a member of a role.
 *
 * A name counts as in PostgreSQL (hba.c: check_hostname): the address is looked up, and if the resulting name fits a
 * rule, the name's addresses are looked up, and the client's address must be among them. So a login costs at most two
 * lookups, whatever the number of rules; the two have five seconds together. A client without such a name fits no rule
 * with a name. If a role can't be looked up, the login is refused, because the rule might be the one that rejects the
 * client.
 *
 * Each answer is kept until the login has its rule and its user, because the rules are matched again from the first
 * one.
 */
#pragma once

#include "login/login_steps.h"

/* Questions of hba_match() and ident_allows(), whose arg is the struct client. */
enum hba_fit login_has_name(const char *word, void *client);
enum hba_fit login_is_member(const char *role, void *client);
/* Waits for an answer that comes later. Returns 1, and calls again when the answer is there, to ask everything once
 * more; or returns -1 with *why set if no answer can come. */
int login_await(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);
/* Called about every 100 ms. Returns true if name servers were too slow: the login went on, and c may be closed. */
bool login_names_are_late(struct client *c, uint64_t now_us);
void login_asked_free(struct client_login *l); /* no lookup may be running */
