/* src/server/password_process.h - one run of a password_command. See passwords.h. */
#ifndef PGWEIR_SERVER_PASSWORD_PROCESS_H
#define PGWEIR_SERVER_PASSWORD_PROCESS_H

#include "base/fail.h"
#include "server/passwords.h"

struct password_process; /* opaque: password_process.c */

/* Starts it. NULL and why: it can't be started. */
struct password_process *password_process_new(const struct password_order *order, uint64_t now_us, struct fail *why);
/*
 * Never waits. 0: it runs. Else it is over and freed: 1, and the caller owns *password (to be wiped), or -1 and why: it
 * failed, printed nothing of use, or took too long.
 */
int password_process_poll(struct password_process *process, uint64_t now_us, char **password, struct fail *why);
void password_process_kill(struct password_process *process); /* and frees it */

#endif
